"""Which parameters go to which optimizer, and with how much weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tonne.train.muon import Muon

if TYPE_CHECKING:
    from tonne.describe.training import Training

TABLES = ("embedding", "head", "output_table", "relative")  # parts whose rows are looked up or are the output's classes
MATRIX_DIMENSIONS = 2


class Optimizers:
    """One or two optimizers that step together; ``set_rate`` follows the schedule."""

    def __init__(self, parts: Iterable[torch.optim.Optimizer]) -> None:
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
            part.zero_grad(set_to_none=True)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All that learn."""
        for part in self.parts:
            for group in part.param_groups:
                yield from group["params"]


def optimizers_of(model: nn.Module, training: Training, *, blocks: dict[str, int] | None = None) -> Optimizers:
    """The optimizers of a model as its plan asks.

    Args:
        model: Its parameters that want a gradient learn; the order of their names is that of the groups.
        training: Optimizer, rates, decay.
        blocks: Of parameters that hold several matrices one below the other, how many; Muon makes each orthogonal.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    muon = training.optimizer == "muon"
    hidden = [(name, parameter) for name, parameter in named if muon and is_hidden_matrix(name, parameter)]
    names = {name for name, _ in hidden}
    rest = [(name, parameter) for name, parameter in named if name not in names]
    parts: list[torch.optim.Optimizer] = [_adamw(rest, training)] if rest else []
    return Optimizers(parts + ([_muon(hidden, training, blocks or {})] if hidden else []))


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter multiplies hidden states: a matrix that is no table and no output."""
    return parameter.ndim == MATRIX_DIMENSIONS and not any(part in name for part in TABLES)


def _adamw(named: list[tuple[str, nn.Parameter]], training: Training) -> torch.optim.Optimizer:
    """AdamW in one fused kernel, without decay of norms and biases."""
    matrices = [parameter for _, parameter in named if parameter.ndim >= MATRIX_DIMENSIONS]
    others = [parameter for _, parameter in named if parameter.ndim < MATRIX_DIMENSIONS]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        fused=True,
    )


def _muon(named: list[tuple[str, nn.Parameter]], training: Training, blocks: dict[str, int]) -> torch.optim.Optimizer:
    """Muon, with a group for each number of blocks."""
    by_blocks: dict[int, list[nn.Parameter]] = {}
    for name, parameter in named:
        by_blocks.setdefault(blocks.get(name, 1), []).append(parameter)
    return Muon(
        [{"params": parameters, "blocks": count} for count, parameters in sorted(by_blocks.items())],
        lr=training.matrix_learning_rate or training.learning_rate,
        weight_decay=training.weight_decay,
        momentum=training.momentum,
    )
