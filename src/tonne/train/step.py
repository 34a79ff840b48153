"""One optimizer step: micro-batches forward and backward, gradients agreed on, clipped and applied."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tonne.errors import TrainingError
from tonne.train.distribution import gathering
from tonne.train.losses import Counted, check_ids, moved, shares
from tonne.train.sharding import whole

if TYPE_CHECKING:
    from tonne.train.batch import Batch
    from tonne.train.distribution import Processes
    from tonne.train.optimizers import Optimizers
    from tonne.train.schedules import Schedule

SIXTEEN_BIT = {"bf16": torch.bfloat16}
GOLDEN = 0x9E3779B97F4A7C15  # spreads neighbouring seeds over 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one step saw: losses [nat], the norm of its gradients before clipping, and what was in it."""

    loss: float
    token_loss: float
    sentence_loss: float | None
    gradient_norm: float
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepper:
    """What makes a step: a pure function of the step's number, the weights and the optimizer's state."""

    losses: nn.Module
    optimizers: Optimizers
    schedule: Schedule
    processes: Processes
    precision: str
    clip: float | None
    seed: int
    vocabulary: int

    def make(self, step: int, batches: Sequence[Batch]) -> StepResult:
        """Make the step with this number, from 0, on this process's micro-batches.

        Raises:
            TrainingError: The loss or a gradient is no number; weights and optimizer are as they were.
            DescriptionError: An id is beyond the vocabulary.
        """
        self.optimizers.set_rate(self.schedule.share(step))
        counted = Counted.of(batches, self.processes)
        losses = torch.zeros(2, dtype=torch.float64)
        for index, batch in enumerate(batches):
            check_ids(batch, self.vocabulary, step + 1)
            torch.manual_seed(dropout_seed(self.seed, step, self.processes.rank, index))
            losses += self._backward(batch, counted, last=index == len(batches) - 1)
        token_loss, sentence_loss = self.processes.total(losses.tolist())
        self._check(token_loss + sentence_loss, "the loss", step, batches)
        norm = gradient_norm(self.optimizers.parameters(), self.clip)
        self._check(norm, "the norm of the gradients", step, batches)
        self.optimizers.step()
        return StepResult(
            loss=token_loss + sentence_loss,
            token_loss=token_loss,
            sentence_loss=sentence_loss if counted.sentences else None,
            gradient_norm=norm,
            counted=counted,
        )

    def _backward(self, batch: Batch, counted: Counted, *, last: bool) -> Tensor:
        """Add a micro-batch's gradients; its share of the step's two losses (2,)."""
        device = self.processes.device
        weight = torch.tensor(shares(batch, counted), dtype=torch.float64)
        with gathering(self.losses, last=last):
            with mixed(self.precision, device):
                losses: Tensor = self.losses(moved(batch, device))
            # Wrappers average over the processes; the shares make it a sum over all tokens.
            weighted = losses * (weight * self.processes.ranks).to(losses)
            torch.autograd.backward(weighted.sum())
        return losses.detach().double().cpu() * weight

    def _check(self, value: float, what: str, step: int, batches: Sequence[Batch]) -> None:
        """Stop where a number is none."""
        if math.isfinite(value):
            return
        shapes = ", ".join(str(tuple(batch.tokens.shape)) for batch in batches)
        raise TrainingError(
            f"step {step + 1}: {what} is {value}. The batch is number {step + 1} of the run (micro-batches {shapes} on "
            f"process {self.processes.rank}); the step was not applied. Lower learning_rate, lengthen warmup_steps or "
            f"use precision = 'fp32', and go on from the last checkpoint."
        )


def mixed(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Products in 16 bits, weights as they are; nothing where the precision is not a mixed one."""
    dtype = SIXTEEN_BIT.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def dropout_seed(seed: int, step: int, rank: int, micro_batch: int) -> int:
    """Seed of a micro-batch's dropout: a resumed step drops what the first one did, and no state has to be kept."""
    mixed_seed = seed
    for part in (step, rank, micro_batch):
        mixed_seed = ((mixed_seed ^ part) * GOLDEN + part) % 2**63
    return mixed_seed


def gradient_norm(parameters: Iterable[nn.Parameter], clip: float | None) -> float:
    """Norm of all gradients together, before they were cut down to ``clip``."""
    held = [parameter for parameter in parameters if parameter.grad is not None]
    if clip is None:
        return float(whole(nn.utils.get_total_norm([p.grad for p in held if p.grad is not None])))
    return float(whole(nn.utils.clip_grad_norm_(held, clip)))
