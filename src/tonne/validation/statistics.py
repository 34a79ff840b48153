"""Quantiles, and the exact interval of a share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

BISECTIONS = 60  # to the last bits of a float


def quantile(values: Sequence[float], share: float) -> float:
    """Quantile of some values, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def binomial_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper-Pearson) interval of a share seen as hits of trials.

    Equation: P(X >= hits | low) = P(X <= hits | high) = (1 - confidence) / 2.

    Args:
        hits: Successes.
        trials: Attempts.
        confidence: Two-sided.

    Returns:
        Lower and upper end.
    """
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _root(lambda p: 1.0 - _at_most(hits - 1, trials, p) - tail)
    high = 1.0 if hits == trials else _root(lambda p: tail - _at_most(hits, trials, p))
    return low, high


def _at_most(hits: int, trials: int, share: float) -> float:
    return math.fsum(math.comb(trials, k) * share**k * (1.0 - share) ** (trials - k) for k in range(hits + 1))


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < 0.0 else (low, middle)
    return (low + high) / 2.0
