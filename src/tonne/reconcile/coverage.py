"""Of all runs that were forecast, how many lay inside the interval: whether 90 % means 90 %."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tonne.estimate import binomial_interval
from tonne.ledger.records import FORECAST, Run
from tonne.reconcile.quantities import (
    COST,
    DURATION,
    EMBODIED,
    FACILITY,
    FRACTION,
    IT,
    LOCATION,
)
from tonne.reconcile.reconciling import verdicts_of
from tonne.reconcile.result import ABOVE, BELOW, INSIDE, UNKNOWN

COVERED = (DURATION, FRACTION, IT, FACILITY, LOCATION, EMBODIED, "water_l", COST)
FINISHED = "finished"
CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of one quantity: of how many runs it was forecast and measured, and where the measured value lay.

    ``share`` is that inside; ``low`` and ``high`` its exact (binomial) 90 % interval, in which 0.9 lies where the
    intervals of forecasts are right.
    """

    quantity: str
    runs: int
    inside: int
    above: int
    below: int
    share: float
    low: float
    high: float


def coverage_of(runs: Iterable[Run]) -> tuple[Coverage, ...]:
    """How often what was measured lay inside the 90 % interval that was forecast for it.

    Args:
        runs: Of a ledger. Those count that have finished and were forecast before they began: a run that failed or was
            stopped did not do what was forecast.

    Returns:
        One for each quantity that any of them has on both sides.
    """
    verdicts: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        if not counts(run):
            continue
        for quantity, verdict in verdicts_of(run, COVERED).items():
            if verdict != UNKNOWN:
                verdicts[quantity].append(verdict)
    return tuple(_coverage(quantity, verdicts[quantity]) for quantity in COVERED if verdicts[quantity])


def counts(run: Run) -> bool:
    """Whether a run says how good forecasts are."""
    measured = run.account is not None and run.account.duration_s is not None and run.account.duration_s.value > 0
    return (
        run.kind != FORECAST
        and run.status == FINISHED
        and run.ended_unix_s is not None
        and run.forecast is not None
        and measured
    )


def _coverage(quantity: str, verdicts: list[str]) -> Coverage:
    inside = verdicts.count(INSIDE)
    low, high = binomial_interval(inside, len(verdicts), CONFIDENCE)
    return Coverage(
        quantity=quantity,
        runs=len(verdicts),
        inside=inside,
        above=verdicts.count(ABOVE),
        below=verdicts.count(BELOW),
        share=inside / len(verdicts),
        low=low,
        high=high,
    )
