"""What every part of a model is made with (dropout, device, type), and its least parts: linears, tables, norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

INITIAL_STD = 0.02  # of a part that is made alone; a Transformer draws all its weights by its Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How the parts of one model are made."""

    dropout: float = 0.0
    attention_dropout: float = 0.0
    device: torch.device | str | None = None
    dtype: torch.dtype | None = None

    @property
    def place(self) -> dict[str, Any]:
        """Device and type, as torch's factories take them."""
        return {"device": self.device, "dtype": self.dtype}


class Linear(nn.Linear):
    """torch's linear, drawn with a small normal spread and without a bias at the start."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, making: Making) -> None:
        """A matrix (outputs, inputs), and a bias where it has one."""
        super().__init__(inputs, outputs, bias=bias, **making.place)

    def reset_parameters(self) -> None:
        """Draw the matrix anew, and set the bias to zero."""
        nn.init.normal_(self.weight, std=INITIAL_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Table(nn.Embedding):
    """A row of numbers for each index."""

    def __init__(self, rows: int, width: int, *, making: Making) -> None:
        """A table (rows, width)."""
        super().__init__(rows, width, **making.place)

    def reset_parameters(self) -> None:
        """Draw it anew; of a unit spread, tied logits would be so large that their gradients are denormal."""
        nn.init.normal_(self.weight, std=INITIAL_STD)


class Norm(nn.Module):
    """Layer norm or RMS norm over the last dimension.

    Equation: layer: (x - mean(x)) / sqrt(var(x) + epsilon) w + b; rms: x / sqrt(mean(x^2) + epsilon) w.

    Source: ba2016layer, section 3; zhang2019rms, section 3.
    """

    def __init__(self, architecture: Architecture, width: int, *, making: Making, rows: int | None = None) -> None:
        """Norm over ``width`` features; with ``rows`` each of so many rows has a weight of its own, and no bias."""
        super().__init__()
        a, shape = architecture, (width,) if rows is None else (rows, width)
        self.width, self.epsilon, self.rms = width, a.norm_epsilon, a.norm == "rms"
        self.offset = 1.0 if a.norm_unit_offset else 0.0
        self.weight = nn.Parameter(torch.empty(shape, **making.place)) if a.norm_weight else None
        self.bias = nn.Parameter(torch.empty(shape, **making.place)) if a.norm_bias and rows is None else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """One and zero, so that it only normalizes."""
        if self.weight is not None:
            nn.init.constant_(self.weight, 1.0 - self.offset)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Normalized states (..., width)."""
        weight: torch.Tensor | None = self.weight
        if weight is not None and self.offset:
            weight = weight + self.offset
        own = weight is not None and weight.dim() > 1
        inside = None if own else weight
        if self.rms:
            if inside is not None and inside.dtype != states.dtype:
                states = states.to(inside.dtype)  # under autocast, which widens layer norms by itself but not these
            normal = functional.rms_norm(states, (self.width,), inside, self.epsilon)
            normal = normal if self.bias is None else normal + self.bias
        else:
            normal = functional.layer_norm(states, (self.width,), inside, self.bias, self.epsilon)
        return normal * weight if own and weight is not None else normal
