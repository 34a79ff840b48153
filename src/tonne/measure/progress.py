"""Where a run will end: from the steps it took, the energy they took, and how evenly they took it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tonne.account import Account
from tonne.estimate import Z_90, Basis, Estimate, propagate
from tonne.measure.replay import Measured

Point = tuple[float, float]  # steps taken, and what they took so far

WARM_UP_SHARE = (
    0.1  # of the steps so far, at least the first one told: compiling and filling caches is not like the rest
)
MOST_BLOCKS = 10  # that the steps so far are cut into, to see how they differ
FEW_BLOCKS = 3  # below, steps say nothing of how they differ
UNSEEN_SPREAD = 0.3  # of the rest, as a log-spread, where they say nothing
DRIFT_SPREAD = 0.05  # a run of even steps may still change: evaluations, checkpoints, other load; of the rest
STUDENT_90 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)  # by degrees of freedom, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a run will have taken at its end."""

    step: int
    total_steps: int
    duration_s: Estimate
    facility_kwh: Estimate | None
    operational_location_kgco2e: Estimate | None
    cost_usd: Estimate | None


def rest_factor(points: Sequence[Point], total_steps: float) -> tuple[float, float] | None:
    """By what the amount so far is multiplied at the end, and the log-spread of the rest alone.

    Equation: F = 1 + (N - s) g / E, with N = total_steps, s and E = the last point, g = the slope since the warm-up.

    Args:
        points: Steps taken and the amount so far, in their order.
        total_steps: Of the whole run.

    Returns:
        Factor, and half of the rest's 90 % interval in logarithms; None where the points say no rate.
    """
    rising = [points[0], *(b for a, b in pairwise(points) if b[0] > a[0])] if points else []
    if len(rising) < 2 or rising[-1][1] <= 0:
        return None
    last_step, last = rising[-1]
    begin = next((i for i, (step, _) in enumerate(rising) if step >= WARM_UP_SHARE * last_step and i > 0), 1)
    even = rising[begin:] if len(rising) - begin >= 2 else rising
    slope = (even[-1][1] - even[0][1]) / (even[-1][0] - even[0][0])
    rest = max(total_steps - last_step, 0.0) * slope
    return 1.0 + rest / last, _spread(even, slope)


def _spread(points: Sequence[Point], slope: float) -> float:
    """Half of the 90 % interval, in logarithms, of what a further step takes."""
    blocks = min(MOST_BLOCKS, len(points) - 1)
    if blocks < FEW_BLOCKS or slope <= 0:
        return UNSEEN_SPREAD
    cuts = [points[round(i * (len(points) - 1) / blocks)] for i in range(blocks + 1)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(cuts)]
    student = STUDENT_90[blocks - 2] if blocks - 2 < len(STUDENT_90) else Z_90
    own = student * statistics.stdev(slopes) / math.sqrt(blocks) / slope
    return math.hypot(own, DRIFT_SPREAD)


def so_far(measured: Measured, site: Any) -> tuple[Account, Expected | None]:  # noqa: ANN401 - see site_of
    """The account of a run, and what it will have taken at its end."""
    from tonne.measure.accounting import account_of  # noqa: PLC0415 - tables that others here do not need

    account = account_of(measured, site=site)
    return account, expected(measured, account)


def expected(measured: Measured, account: Account) -> Expected | None:
    """What the run will have taken at its end; None where it does not say how many steps it will take, or no rate.

    Args:
        measured: The run so far.
        account: Of it.
    """
    told = [line for line in measured.progress if line.get("total")]
    if len(told) < 2 or account.duration_s is None or not account.duration_s.value:
        return None
    total = int(told[-1]["total"])
    times = [(float(line["step"]), float(line["s"])) for line in told]
    with_energy = [(float(line["step"]), float(line["j"])) for line in told if line.get("j") is not None]
    return expected_by(times, with_energy if len(with_energy) > len(told) / 2 else [], total, account)


def expected_by(
    times: Sequence[Point], energies: Sequence[Point], total_steps: int, account: Account
) -> Expected | None:
    """What a run will have taken at its end; None where its steps say no rate.

    Args:
        times: Steps taken and the time so far, in their order.
        energies: Steps taken and the energy so far; empty where it goes with the time.
        total_steps: Of the whole run.
        account: Of the run so far.
    """
    by_time = rest_factor(times, total_steps)
    by_energy = rest_factor(energies, total_steps)
    if by_time is None or account.duration_s is None:
        return None
    return Expected(
        step=int(times[-1][0]),
        total_steps=total_steps,
        duration_s=_grown(account.duration_s, by_time),
        facility_kwh=_maybe(account.energy.facility_kwh, by_energy or by_time),
        operational_location_kgco2e=_maybe(account.carbon.operational_location_kgco2e, by_energy or by_time),
        cost_usd=_maybe(account.cost_usd, by_time),
    )


def _maybe(so_far: Estimate | None, factor: tuple[float, float]) -> Estimate | None:
    return None if so_far is None else _grown(so_far, factor)


def _grown(so_far: Estimate, factor: tuple[float, float]) -> Estimate:
    """What was taken, and the rest at the same rate; the rest alone is uncertain."""
    grown, spread = factor
    rest = Estimate(
        value=1.0, low=math.exp(-spread), high=math.exp(spread), basis=Basis.MODELLED, sources=("steps so far",)
    )
    found = propagate(
        lambda x: {"end": x["so_far"] * (1.0 + (grown - 1.0) * x["rest"])}, {"so_far": so_far, "rest": rest}
    ).outputs["end"]
    assert found is not None
    return found
