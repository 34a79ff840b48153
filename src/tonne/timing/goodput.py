"""The share of a run's time that its steps take: what failures leave, and what people and routine take."""

from __future__ import annotations

import math

from tonne.estimate import Number
from tonne.units import SECONDS_PER_HOUR


def goodput(best: Number, met: Number, recovery_share: Number, routine_share: Number) -> Number:
    """Share of the time of a run that goes into steps that count.

    Equation: g = r k^p b, with r = routine_share, k = recovery_share, p = met, b = best.

    Args:
        best: Share that failures leave where each is mended as fast as is best.
        met: Probability that a run of so many meets a failure at all.
        recovery_share: Share that runs which met failures kept beside that: people who restart them, nodes waited
            for, steps repeated.
        routine_share: Share that evaluation, the start, data and checkpoints leave of any run.

    Returns:
        Share of the time, below 1.

    Source: tonne, fitted on recovery_evidence.csv
    """
    return routine_share * recovery_share**met * best


def failure_met(accelerators: Number, run_h: Number, accelerator_mtbf_h: Number) -> Number:
    """Probability that a run meets a failure: a month of a server hardly, a month of a thousand accelerators surely.

    Equation: p = 1 - exp(-N t / M), with N = accelerators, t = run_h, M = accelerator_mtbf_h.

    Args:
        accelerators: That run together; may be an array.
        run_h: Length of the run [h].
        accelerator_mtbf_h: Mean time between the failures of one accelerator [h].

    Returns:
        Probability.

    Valid for: failures that know nothing of each other.
    Source: tonne
    """
    return 1 - math.e ** (-accelerators * run_h / accelerator_mtbf_h)


def best_goodput(accelerators: Number, accelerator_mtbf_h: Number, restart_s: Number, checkpoint_s: Number) -> Number:
    """Goodput where nothing is lost but by failures and by guarding against them, checkpoints as often as is best.

    Equation: g = 1 / (1 + N (T + t / 2) / M + c / t), t = (2 c M / N)^0.5, with N = accelerators, M = mean time
    between the failures of one, T = restart_s, c = checkpoint_s, t = time between checkpoints.

    Args:
        accelerators: That run together; may be an array.
        accelerator_mtbf_h: Mean time between the failures of one accelerator [h].
        restart_s: Time until a run that failed steps again [s].
        checkpoint_s: Time of a checkpoint [s].

    Returns:
        Share of the time, below 1. Stragglers, evaluation and idling are not included.

    Valid for: steps that wait for all accelerators.
    Source: young1974, equation 5; dubey2024llama3, section 3.3.4.
    """
    failures_per_s = accelerators / (accelerator_mtbf_h * SECONDS_PER_HOUR)
    between_s = checkpoint_interval_s(failures_per_s, checkpoint_s)
    return 1 / (1 + failures_per_s * (restart_s + between_s / 2) + checkpoint_s / between_s)


def checkpoint_interval_s(failures_per_s: Number, checkpoint_s: Number) -> Number:
    """Time between checkpoints that loses least.

    Equation: t = (2 c / f)^0.5, with c = checkpoint_s, f = failures_per_s.

    Args:
        failures_per_s: Of the whole run [1/s].
        checkpoint_s: Time of one checkpoint [s].

    Returns:
        Time [s].

    Source: young1974, equation 5.
    """
    return (2 * checkpoint_s / failures_per_s) ** 0.5
