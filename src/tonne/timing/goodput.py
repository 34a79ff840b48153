"""The most of its time that a run of so many accelerators can spend on steps that count."""

from __future__ import annotations

import math

from tonne.estimate import Number
from tonne.reference.goodput import goodput_constant
from tonne.units import SECONDS_PER_HOUR


def best_goodput(accelerators: Number) -> Number:
    """Goodput where nothing is lost but by failures and by guarding against them, checkpoints as often as is best.

    Equation: g = 1 / (1 + l N (T + t / 2) + c / t), t = (2 c / (l N))^0.5, with N = accelerators, l = failures of one
    in an hour, T = time to start again, c = time of a checkpoint, t = time between checkpoints.

    Args:
        accelerators: That run together; may be an array.

    Returns:
        Share of the time, below 1. Stragglers, evaluation and idling are not included.

    Valid for: steps that wait for all accelerators.
    Source: young1974, equation 5; dubey2024llama3, section 3.3.4.
    """
    failures_per_s = goodput_constant("failures_per_accelerator_hour") / SECONDS_PER_HOUR * accelerators
    restart_s, checkpoint_s = goodput_constant("restart_s"), goodput_constant("checkpoint_s")
    between_s = checkpoint_interval_s(failures_per_s, checkpoint_s)
    return 1 / (1 + failures_per_s * (restart_s + between_s / 2) + checkpoint_s / between_s)


def checkpoint_interval_s(failures_per_s: Number, checkpoint_s: float) -> Number:
    """Time between checkpoints that loses least.

    Equation: t = (2 c / f)^0.5, with c = checkpoint_s, f = failures_per_s.

    Args:
        failures_per_s: Of the whole run [1/s].
        checkpoint_s: Time of one checkpoint [s].

    Returns:
        Time [s].

    Source: young1974, equation 5.
    """
    return math.sqrt(2 * checkpoint_s) / failures_per_s**0.5
