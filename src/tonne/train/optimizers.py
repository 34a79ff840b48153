"""Which parameters go to which optimizer, and with how much weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tonne.train.adamw import AdamW
from tonne.train.grouped import GroupedOptimizer
from tonne.train.muon import Muon

if TYPE_CHECKING:
    from tonne.describe.training import Training

LAYERS = ".layers."
NO_PRODUCT = ("relative", "position", "router")  # looked up by index, or so few rows that each is its own direction
MATRIX_DIMENSIONS = 2


class Optimizers:
    """One or two optimizers that step together; ``set_rate`` follows the schedule."""

    def __init__(self, parts: Iterable[GroupedOptimizer]) -> None:
        self.parts = tuple(parts)
        self._peaks = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def set_rate(self, share: float) -> None:
        """Every learning rate at a share of its peak."""
        for part, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * share

    @property
    def learning_rate(self) -> float:
        """That of the first optimizer now."""
        return float(self.parts[0].param_groups[0]["lr"])

    def step(self) -> None:
        """Apply the gradients, and forget them."""
        for part in self.parts:
            part.step()
            part.zero_grad()

    def parameters(self) -> Iterator[nn.Parameter]:
        """All that learn."""
        for part in self.parts:
            for group in part.param_groups:
                yield from group["params"]


def optimizers_of(model: nn.Module, training: Training) -> Optimizers:
    """The optimizers of a model as its plan asks.

    Args:
        model: Its parameters that want a gradient learn; the order of their names is that of the groups.
        training: Optimizer, rates, decay.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    muon = training.optimizer == "muon"
    hidden = {name: p for name, p in named.items() if muon and is_hidden_matrix(name, p)}
    rest = [parameter for name, parameter in named.items() if name not in hidden]
    parts: list[GroupedOptimizer] = [_adamw(rest, training)] if rest else []
    return Optimizers(parts + ([_muon(hidden, training)] if hidden else []))


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter multiplies hidden states inside a layer: a matrix, or the matrices of experts."""
    product = LAYERS in name and not any(part in name for part in NO_PRODUCT)
    return product and parameter.ndim >= MATRIX_DIMENSIONS


def matrices_in(name: str, shapes: Mapping[str, torch.Size]) -> tuple[int, ...] | None:
    """Rows of each of the matrices that a parameter holds one below the other; None where it is one.

    Args:
        name: The parameter's, as the model names it.
        shapes: Of all parameters.
    """
    rows, last = shapes[name][-2], name.removesuffix(".weight").rpartition(".")[2]
    if last == "query_key_value":
        query = shapes[name.replace("query_key_value", "output")][-1]  # as wide as what comes back from the heads
        return query, (rows - query) // 2, (rows - query) // 2
    if last in {"key_value", "gate_up"}:
        return rows // 2, rows // 2
    down = shapes.get(name.removesuffix("up") + "down") if last == "up" else None  # of experts: a gate's half too
    return (rows // 2, rows // 2) if down is not None and rows == 2 * down[-1] else None


def _adamw(parameters: Sequence[nn.Parameter], training: Training) -> GroupedOptimizer:
    """AdamW in one fused kernel, without decay of norms and biases."""
    matrices = [parameter for parameter in parameters if parameter.ndim >= MATRIX_DIMENSIONS]
    others = [parameter for parameter in parameters if parameter.ndim < MATRIX_DIMENSIONS]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
    )


def _muon(named: Mapping[str, nn.Parameter], training: Training) -> GroupedOptimizer:
    """Muon, with a group for each way in which parameters hold several matrices."""
    shapes = {name: parameter.shape for name, parameter in named.items()}
    groups: dict[tuple[int, ...] | None, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        groups.setdefault(matrices_in(name, shapes), []).append(parameter)
    return Muon(
        [{"params": parameters, "rows": rows} for rows, parameters in groups.items()],
        lr=training.matrix_learning_rate or training.learning_rate,
        weight_decay=training.weight_decay,
        momentum=training.momentum,
    )
