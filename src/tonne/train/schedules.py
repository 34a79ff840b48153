"""The learning rate of a step, as a share of its peak: pure functions, so that a resumed run continues on the curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tonne.describe.training import ScheduleShape, Training

WARMUP_SHARE = 100  # a hundredth of the steps, where the plan leaves the warm-up out


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A curve over ``total_steps``: a linear rise over ``warmup_steps``, then the shape, down to ``final_fraction``.

    ``total_steps`` are those of the whole plan: a run that is cut short stays on the same curve.
    """

    shape: ScheduleShape
    total_steps: int
    warmup_steps: int = 0
    final_fraction: float = 0.0
    decay_fraction: float = 0.2

    @classmethod
    def of(cls, training: Training, total_steps: int) -> Schedule:
        """The schedule that a plan describes."""
        warmup = training.warmup_steps
        return cls(
            shape=training.schedule,
            total_steps=total_steps,
            warmup_steps=total_steps // WARMUP_SHARE if warmup is None else warmup,
            final_fraction=training.final_fraction,
            decay_fraction=training.decay_fraction,
        )

    def share(self, step: int) -> float:
        """Learning rate of a step over its peak, in (0, 1].

        Args:
            step: Steps that were made before it, from 0.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return self.final_fraction + (1 - self.final_fraction) * self._height(step)

    def _height(self, step: int) -> float:
        """The shape alone, from 1 to 0."""
        if self.shape == "constant":
            return 1.0
        done = _progress(step, self.warmup_steps, self.total_steps)
        if self.shape == "cosine":
            return cosine(done)
        if self.shape == "linear":
            return 1 - done
        decay_steps = math.ceil(self.decay_fraction * self.total_steps)
        return 1 - _progress(step, max(self.warmup_steps, self.total_steps - decay_steps), self.total_steps)


def cosine(done: float) -> float:
    """Half a period of the cosine, from 1 to 0.

    Equation: s = (1 + cos(pi x)) / 2, with x = done.

    Source: loshchilov2017sgdr, equation 5.
    """
    return (1 + math.cos(math.pi * done)) / 2


def _progress(step: int, start: int, end: int) -> float:
    """Share of the way from start to end, 0 before and 1 after it."""
    return min(1.0, max(0.0, (step - start) / max(1, end - start)))
