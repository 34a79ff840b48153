"""Time of steps and of the run, from work, peak and the achieved fraction of it."""

from __future__ import annotations

from tonne.estimate import Number
from tonne.units import SECONDS_PER_HOUR


def useful_time_s(
    training_flop: Number, accelerators: Number, peak_flop_per_s: Number, achieved_peak_fraction: Number
) -> Number:
    """Time that the run's steps take, when nothing is lost between them.

    Equation: t_u = C / (n P f), with C = training_flop, n = accelerators, P = peak_flop_per_s,
    f = achieved_peak_fraction.

    Args:
        training_flop: Model FLOP of the whole run [FLOP].
        accelerators: How many run.
        peak_flop_per_s: Dense peak of one at the run's precision [FLOP/s].
        achieved_peak_fraction: Model FLOP/s over peak while stepping.

    Returns:
        Time [s]. Restarts, evaluation and checkpoints are not included.

    Source: chowdhery2022palm, Appendix B.
    """
    return training_flop / (accelerators * peak_flop_per_s * achieved_peak_fraction)


def duration_s(useful_s: Number, goodput: Number, pace: Number = 1.0) -> Number:
    """Wall-clock time of the run.

    Equation: t = t_u / (g q), with t_u = useful_s, g = goodput (share of the time that is useful), q = pace.

    Args:
        useful_s: Time of the steps alone [s].
        goodput: Useful share of the time; the rest is restarts, lost work, evaluation, checkpoints, idling.
        pace: Speed of the steps of runs whose layout is not known, as a share of that forecast for them.

    Returns:
        Time [s].

    Source: dubey2024llama3, section 3.3.4.
    """
    return useful_s / (goodput * pace)


def accelerator_hours(run_s: Number, accelerators: Number) -> Number:
    """Chip-hours that the run occupies.

    Equation: H = n t / 3600, with n = accelerators, t = run_s.

    Args:
        run_s: Wall-clock time of the run [s].
        accelerators: How many are held.

    Returns:
        Accelerator-hours [h].

    Source: tonne
    """
    return accelerators * run_s / SECONDS_PER_HOUR
