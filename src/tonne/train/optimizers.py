"""Which parameters go to which optimizer, and with how much weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

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
LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.")
ENTRANCES = ("embedding.", "encoder.inputs.", "decoder.inputs.", "encoder.relative", "decoder.relative")


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
    depths = depths_below_head(name for name, _ in model.named_parameters())
    shares = {name: training.layer_decay**depth for name, depth in depths.items()}
    muon = training.optimizer == "muon"
    hidden = {name: p for name, p in named.items() if muon and is_hidden_matrix(name, p)}
    rest = {name: parameter for name, parameter in named.items() if name not in hidden}
    parts: list[GroupedOptimizer] = [_adamw(rest, training, shares)] if rest else []
    return Optimizers(parts + ([_muon(hidden, training, shares)] if hidden else []))


def depths_below_head(names: Iterable[str]) -> dict[str, int]:
    """How many steps down from the head each parameter lies: 0 above the layers, 1 in the last layer of its stack.

    What enters the layers lies one below the first; each stack counts from its own top, the token tables from the top
    of the taller one.
    """
    matches = {name: LAYER.match(name) for name in names}
    sizes: dict[str, int] = {}
    for match in matches.values():
        if match is not None:
            sizes[match[1]] = max(sizes.get(match[1], 0), int(match[2]) + 1)
    tallest = max(sizes.values(), default=0)
    return {
        name: sizes[match[1]] - int(match[2])
        if match is not None
        else (sizes.get(name.partition(".")[0], tallest) + 1) * name.startswith(ENTRANCES)
        for name, match in matches.items()
    }


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


def _adamw(named: Mapping[str, nn.Parameter], training: Training, shares: Mapping[str, float]) -> GroupedOptimizer:
    """AdamW in one fused kernel, without decay of norms and biases; a group for each rate.

    The first group has the highest, which is the one that is told.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        groups.setdefault((shares[name], parameter.ndim >= MATRIX_DIMENSIONS), []).append(parameter)
    return AdamW(
        [
            {
                "params": groups[share, matrices],
                "weight_decay": training.weight_decay if matrices else 0.0,
                "lr": training.learning_rate * share,
            }
            for share, matrices in sorted(groups, reverse=True)
        ],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
    )


def _muon(named: Mapping[str, nn.Parameter], training: Training, shares: Mapping[str, float]) -> GroupedOptimizer:
    """Muon, with a group for each way in which parameters hold several matrices."""
    shapes = {name: parameter.shape for name, parameter in named.items()}
    rate = training.matrix_learning_rate or training.learning_rate
    groups: dict[tuple[float, tuple[int, ...] | None], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        groups.setdefault((shares[name], matrices_in(name, shapes)), []).append(parameter)
    return Muon(
        [{"params": held, "rows": rows, "lr": rate * share} for (share, rows), held in groups.items()],
        lr=rate,
        weight_decay=training.weight_decay,
        momentum=training.momentum,
    )
