"""AdamW in one fused kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from tonne.train.grouped import GroupedOptimizer

STEP, FIRST, SECOND = "step", "exp_avg", "exp_avg_sq"  # as torch's optimizer calls them


class AdamW(GroupedOptimizer):
    """Adam with decoupled weight decay.

    Equation: m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- (1 - l d) w - l m' / (sqrt(v') + e), with
    m' = m / (1 - b1^t), v' = v / (1 - b2^t), l = lr, d = weight_decay, e = eps.

    Source: loshchilov2019decoupled, algorithm 2.
    """

    def __init__(
        self, groups: Iterable[Mapping[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps)

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients."""
        for group in self.param_groups:
            held = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not held:
                continue
            states = [self._state(parameter) for parameter in held]
            steps = [state[STEP] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                held,
                [parameter.grad for parameter in held],
                [state[FIRST] for state in states],
                [state[SECOND] for state in states],
                [],
                steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        """What is kept of a parameter; zeros before its first step."""
        state = self.state[parameter]
        if STEP not in state:
            state[STEP] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state[FIRST], state[SECOND] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
