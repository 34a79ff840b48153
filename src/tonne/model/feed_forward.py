"""The feed-forward block: plain or gated, and its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from tonne.count.layers import has_bias
from tonne.model.making import Linear, Making

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

QUICK_GELU = 1.702  # hendrycks2016gelu, section 2: the sigmoid's slope that is nearest
XIELU_BETA = 0.5  # huang2024xielu, section 3.2: the slope at zero, on either side
XIELU_EPSILON = -1e-6  # lest the exponential's argument is zero

Function = Callable[[torch.Tensor], torch.Tensor]


def activation(architecture: Architecture) -> Function:
    """The function between the two linears. xIELU, which learns, is a module instead.

    Source: hendrycks2016gelu, section 2.
    """
    a = architecture
    if a.activation == "gelu":
        return GELUS[a.gelu_approximation]
    return FUNCTIONS[a.activation]


def _tanh_gelu(states: torch.Tensor) -> torch.Tensor:
    return functional.gelu(states, approximate="tanh")


def _quick_gelu(states: torch.Tensor) -> torch.Tensor:
    return states * torch.sigmoid(QUICK_GELU * states)


def _squared_relu(states: torch.Tensor) -> torch.Tensor:
    return functional.relu(states).square()


def _learned(states: torch.Tensor) -> torch.Tensor:
    """Stands where xIELU's two slopes are not stored: those that it starts from."""
    return xielu(states, states.new_tensor(_inverse_softplus(0.8)), states.new_tensor(_inverse_softplus(0.3)))


def xielu(states: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """An activation with two learned slopes.

    Equation: a_p x^2 + b x for x > 0, a_n (e^x - 1 - x) + b x else, a_p = softplus(positive),
    a_n = b + softplus(negative), b = 0.5.

    Source: huang2024xielu, section 3.2.
    """
    above, below = functional.softplus(positive), XIELU_BETA + functional.softplus(negative)
    curve = torch.expm1(states.clamp(max=XIELU_EPSILON)) - states
    return torch.where(states > 0, above * states * states, below * curve) + XIELU_BETA * states


def _inverse_softplus(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).expm1().log())


GELUS: dict[str, Function] = {"none": functional.gelu, "tanh": _tanh_gelu, "sigmoid": _quick_gelu}
FUNCTIONS: dict[str, Function] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "relu2": _squared_relu,
    "xielu": _learned,
}


class FeedForward(nn.Module):
    """Two linears with an activation between, or three of which one gates.

    Equation: W_2 f(W_1 x + b_1) + b_2; gated: W_2 (f(W_g x) * (W_1 x)).

    Source: vaswani2017attention, section 3.3; shazeer2020glu, section 2.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        making: Making,
        inner: int | None = None,
        bias: bool | None = None,
        gated: bool | None = None,
    ) -> None:
        """Of the layers' inner width, bias and gate, or of others (experts)."""
        super().__init__()
        a = architecture
        inner = a.feed_forward_width if inner is None else inner
        bias = has_bias(a, "feed_forward") if bias is None else bias
        self.gated = a.feed_forward == "gated" if gated is None else gated
        if self.gated:
            self.gate_up = Linear(a.width, 2 * inner, bias=bias, making=making)  # one product: the gate's rows first
        else:
            self.up = Linear(a.width, inner, bias=bias, making=making)
        self.down = Linear(inner, a.width, bias=bias, making=making)
        self.slopes = activation_slopes(a, (), making)
        self.function = activation(a)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (..., width), each on its own."""
        if self.gated:
            gate, up = self.gate_up(states).chunk(2, -1)  # (..., F) twice
            inner = self._active(gate) * up
        else:
            inner = self._active(self.up(states))
        result: torch.Tensor = self.down(inner)
        return result

    def _active(self, states: torch.Tensor) -> torch.Tensor:
        return self.function(states) if self.slopes is None else xielu(states, *self.slopes.unbind(-1))


def activation_slopes(a: Architecture, rows: tuple[int, ...], making: Making) -> nn.Parameter | None:
    """The numbers that an activation learns, (*rows, 2): those of xIELU as it starts."""
    if not a.activation_weights:
        return None
    start = torch.tensor([_inverse_softplus(0.8), _inverse_softplus(0.3)])[: a.activation_weights]
    return nn.Parameter(start.to(**making.place).expand(*rows, -1).clone())
