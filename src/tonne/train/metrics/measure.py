"""One metric of one set of examples, for any weighting of them: weights of one give it, others resample it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.int64]  # how often each example counts, (resamples, examples)
Values = NDArray[np.float64]  # the metric, (resamples,)
WEIGHTS_AT_ONCE = 2**22  # 32 MiB
TAIL = 0.05  # to either side of an interval of 90 %
LEAST_EXAMPLES = 2  # one alone says nothing about others


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric of some examples.

    ``values``: of weights (resamples, examples), the metric (resamples,). ``mean``: it is the mean over the examples of
    a share between 0 and 1, in percent. ``signature``: what it is a number of, so that another can be compared.
    """

    values: Callable[[Weights], Values]
    signature: str
    mean: bool = False


def mean_of(shares: Sequence[float] | NDArray[np.float64], signature: str) -> Measure:
    """The mean of shares of examples, 0 to 1, in percent."""
    held = np.asarray(shares, dtype=np.float64)
    return Measure(values=lambda weights: 100.0 * (weights @ held) / weights.sum(1), signature=signature, mean=True)


def value_of(measure: Measure, examples: int) -> float:
    """The metric itself: each example counts once."""
    return float(measure.values(np.ones((1, examples), dtype=np.int64))[0])


def interval(measure: Measure, examples: int, *, resamples: int, seed: int) -> tuple[float, float] | None:
    """The 5th and the 95th percentile of the metric over examples drawn with replacement, as many as there are.

    Where all examples are wholly right, or none at all, resampling sees no spread: the bound of a mean is then the
    share p with which so many right (or wrong) ones in a row have a probability of 5 %: p^n = 0.05.

    Returns:
        Low and high; None for a single example, and without resamples.

    Source: efron1979bootstrap, section 2; hanley1983nothing, whole.
    """
    if examples < LEAST_EXAMPLES or resamples < 1:
        return None
    value = value_of(measure, examples)
    if measure.mean and value in (0.0, 100.0):
        bound = 100.0 * TAIL ** (1.0 / examples)
        return (bound, value) if value else (value, 100.0 - bound)
    found = np.concatenate([measure.values(weights) for weights in resampled(examples, resamples, seed)])
    low, high = np.quantile(found, [TAIL, 1.0 - TAIL])
    return min(float(low), value), max(float(high), value)


def resampled(examples: int, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each example is drawn, (some resamples, examples) at a time; the same for each metric of a seed."""
    draws = np.random.default_rng(seed)
    together = max(1, WEIGHTS_AT_ONCE // examples)
    for start in range(0, resamples, together):
        rows = [
            np.bincount(draws.integers(0, examples, examples), minlength=examples)
            for _ in range(min(together, resamples - start))
        ]
        yield np.stack(rows).astype(np.int64)
