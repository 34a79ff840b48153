"""Muon: momentum whose matrices are brought near to orthogonal before they are applied.

The iteration runs in the precision of the parameters: where 16-bit products are emulated they take longer than 32-bit
ones, and a matrix of a small model costs nothing either way. Matrices of one shape are stacked, and go through it
together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from tonne.train.grouped import GroupedOptimizer
from tonne.train.sharding import like, whole

A, B, C = 3.4445, -4.7750, 2.0315  # steepest at zero: singular values end between 0.7 and 1.2, not at 1
ITERATIONS = 5
TINY = 1e-7
RMS_OF_ADAMW = 0.2  # root mean square of an AdamW update, so that both take one learning rate and weight decay


def orthogonal(matrices: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Matrices with the same singular vectors, and singular values near 1.

    Equation: X <- a X + (b X X' + c (X X')^2) X, from X = G / |G|.

    Args:
        matrices: (count, rows, columns).
        iterations: How often the equation is applied.

    Source: jordan2024muon, Newton-Schulz iteration.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices  # (count, short side, long side): the smaller square is the cheaper one
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=TINY)
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x


def update_scale(rows: int, columns: int) -> float:
    """Factor that gives an orthogonal matrix the root mean square of an AdamW update.

    Equation: 0.2 sqrt(max(m, n)), with m = rows, n = columns.

    Source: liu2025muon, section 2.2.
    """
    return RMS_OF_ADAMW * math.sqrt(max(rows, columns))


class Muon(GroupedOptimizer):
    """Nesterov momentum, made orthogonal, with decoupled weight decay; for matrices, or stacks of them.

    A group may say ``rows``: its parameters hold matrices of so many rows each, one below the other (query, key and
    value of one product, say), and each is made orthogonal by itself.
    """

    def __init__(
        self, groups: Iterable[Mapping[str, Any]], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(groups, lr=lr, weight_decay=weight_decay, momentum=momentum, rows=None)

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients."""
        pieces: list[Tensor] = []
        owners: list[tuple[Tensor, dict[str, Any], int]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    direction = self._direction(parameter, group["momentum"])
                    own = torch.split(direction, group["rows"] or direction.shape[-2], dim=-2)
                    pieces += own
                    owners.append((parameter, group, len(own)))
        made = iter(scaled_orthogonal(pieces))
        for parameter, group, count in owners:
            update = torch.cat([next(made) for _ in range(count)], dim=-2)
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.sub_(like(parameter, update), alpha=group["lr"])

    def _direction(self, parameter: Tensor, momentum: float) -> Tensor:
        """Gradient with Nesterov momentum, whole also where the parameter is sharded."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        state["momentum"].lerp_(gradient, 1 - momentum)
        return whole(gradient.lerp(state["momentum"], momentum))


def scaled_orthogonal(matrices: list[Tensor]) -> list[Tensor]:
    """Each of the matrices (or stacks of them) made orthogonal, with the size of an AdamW update, in their order."""
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        rows, columns = matrix.shape[-2:]
        by_shape[min(rows, columns), max(rows, columns)].append(index)  # a tall one goes with its wide transposes
    found = list(matrices)
    for (short, long), indices in by_shape.items():
        flat = [matrices[index] if _wide(matrices[index]) else matrices[index].mT for index in indices]
        made = orthogonal(torch.cat([matrix.reshape(-1, short, long) for matrix in flat])).mul_(
            update_scale(short, long)
        )
        parts = torch.split(made, [matrix.numel() // (short * long) for matrix in flat])
        for index, wide, part in zip(indices, flat, parts, strict=True):
            shaped = part.reshape(wide.shape)
            found[index] = shaped if _wide(matrices[index]) else shaped.mT
    return found


def _wide(matrix: Tensor) -> bool:
    return matrix.shape[-2] <= matrix.shape[-1]
