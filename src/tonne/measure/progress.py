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

WARM_UP_SHARE = 0.1  # of the steps so far, and the first point: compiling and filling caches is not like the rest
SLOW_BEGINNING = 1.2  # first blocks that are each slower than all others by that belong to the warm-up too
FEWEST_POINTS = 5  # of which a slow beginning is left out
BLOCKS = (10, 5, 3)  # that the steps so far are cut into, to see how they differ: also where one is like its neighbour
FEW_BLOCKS = 3  # below, steps say nothing of how they differ
UNSEEN_SPREAD = 0.3  # of the rest, as a log-spread, where they say nothing
DRIFT_SPREAD = 0.08  # a run of even steps may still change: evaluations, checkpoints, other load; of the rest
SETTLING_S, SETTLING_STEPS = 1.0, 1.0  # seen for no longer than that, the rest may as well take half or double
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
    energy_cost_usd: Estimate | None = None
    rest_spread: float = 0.0  # half of the 90 % interval, in logarithms, of what is left of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What further steps of a run take each."""

    per_step: float
    spread: float  # half of its 90 % interval, in logarithms
    steps: float  # over which it was seen

    def rest(self, steps: float) -> float:
        """What so many further steps take."""
        return self.per_step * steps


def pace_of(points: Sequence[Point]) -> Pace | None:
    """What a step takes since the warm-up; None where the points say no rate.

    Equation: g = (E_1 - E_0) / (s_1 - s_0), with E_1 at step s_1 = the last point, E_0 at step s_0 = the first one
    after the warm-up.

    Args:
        points: Steps taken and the amount so far, in their order.
    """
    even = _even(_rising(points))
    if len(even) < 2 or even[-1][1] <= even[0][1]:
        return None
    steps = even[-1][0] - even[0][0]
    return Pace(per_step=(even[-1][1] - even[0][1]) / steps, spread=_spread(even), steps=steps)


def _rising(points: Sequence[Point]) -> list[Point]:
    """Points without those that a later one goes back behind."""
    found: list[Point] = []
    for point in points:
        while found and found[-1][0] > point[0]:
            found.pop()
        if not found or point[0] > found[-1][0]:
            found.append(point)
    return found


def _even(points: list[Point]) -> list[Point]:
    """Points after the warm-up, and after a beginning that is slower than all that follows."""
    if len(points) < 3:
        return points
    warm = points[0][0] + WARM_UP_SHARE * (points[-1][0] - points[0][0])
    even = [point for point in points[1:] if point[0] >= warm]
    even = even if len(even) >= 2 else points[-2:]
    while len(even) >= FEWEST_POINTS and (slow := _slow_blocks(_slopes(_cuts(even, BLOCKS[0])))):
        even = even[even.index(_cuts(even, BLOCKS[0])[slow]) :]
    return even


def _slow_blocks(slopes: Sequence[float]) -> int:
    """How many blocks at the beginning, at most half of them, are each slower than all others."""
    half = len(slopes) // 2
    return next((n for n in range(half, 0, -1) if min(slopes[:n]) > SLOW_BEGINNING * max(slopes[n:])), 0)


def _cuts(points: Sequence[Point], most: int) -> list[Point]:
    """Ends of so many blocks of about as many points each, or of fewer where there are few points."""
    blocks = min(most, len(points) - 1)
    return [points[round(i * (len(points) - 1) / blocks)] for i in range(blocks + 1)]


def _slopes(points: Sequence[Point]) -> list[float]:
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]


def _spread(points: Sequence[Point]) -> float:
    """Half of the 90 % interval, in logarithms, of what a further step takes."""
    own = max(_own_spread(_slopes(_cuts(points, most))) for most in BLOCKS)
    return math.hypot(own, DRIFT_SPREAD)


def _own_spread(slopes: Sequence[float]) -> float:
    """By how much blocks of steps differ, as half of the interval of their mean."""
    blocks = len(slopes)
    if blocks < FEW_BLOCKS:
        return UNSEEN_SPREAD
    student = STUDENT_90[blocks - 2] if blocks - 2 < len(STUDENT_90) else Z_90
    return student * statistics.stdev(slopes) / math.sqrt(blocks) / statistics.mean(slopes)


def so_far(measured: Measured, site: Any) -> tuple[Account, Expected | None]:  # noqa: ANN401 - see site_of
    """The account of a run, and what it will have taken at its end."""
    from tonne.measure.accounting import account_of, placed  # noqa: PLC0415 - tables that others here do not need

    account = account_of(placed(measured, site))
    return account, expected(measured, account)


def expected(measured: Measured, account: Account) -> Expected | None:
    """What the run will have taken at its end; None where it does not say how many steps it will take, or no rate.

    Args:
        measured: The run so far.
        account: Of it.
    """
    told = [line for line in measured.progress if line.get("total")]
    if len(told) < 2:
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
    pace, energy_pace = pace_of(times), pace_of(energies)
    if pace is None or account.duration_s is None or not account.duration_s.value:
        return None
    (step, last_s), now_s = times[-1], float(account.duration_s.value)
    left = max(total_steps - step, 0.0)
    since_s = max(now_s - last_s, 0.0)
    not_told = min(since_s / pace.per_step, step - _before(times), left)  # steps taken since, as far as they may be
    rest_s = pace.rest(left - not_told)
    settling = math.log1p(SETTLING_S / pace.rest(pace.steps) + SETTLING_STEPS / pace.steps)
    by_time = by_energy = (rest_s / now_s, math.hypot(pace.spread, settling))
    if energy_pace is not None:
        j_per_s = energy_pace.per_step / pace.per_step
        now_j = energies[-1][1] + energy_pace.rest(max(step - energies[-1][0], 0.0)) + since_s * j_per_s
        by_energy = (rest_s * j_per_s / now_j, math.hypot(energy_pace.spread, settling))
    return Expected(
        step=int(step),
        total_steps=total_steps,
        duration_s=_grown(account.duration_s, by_time),
        facility_kwh=_maybe(account.energy.facility_kwh, by_energy),
        operational_location_kgco2e=_maybe(account.carbon.operational_location_kgco2e, by_energy),
        cost_usd=_maybe(account.cost_usd, by_energy if account.cost_usd == account.energy_cost_usd else by_time),
        energy_cost_usd=_maybe(account.energy_cost_usd, by_energy),
        rest_spread=by_energy[1],
    )


def _before(times: Sequence[Point]) -> float:
    """The step that was told before the last one."""
    return next((step for step, _ in reversed(times) if step < times[-1][0]), 0.0)


def _maybe(so_far: Estimate | None, rest: tuple[float, float]) -> Estimate | None:
    return None if so_far is None else _grown(so_far, rest)


def _grown(so_far: Estimate, rest: tuple[float, float]) -> Estimate:
    """What was taken, and the rest, as a multiple of it with its log-spread; the rest alone is uncertain."""
    share, spread = rest
    factor = Estimate(
        value=1.0, low=math.exp(-spread), high=math.exp(spread), basis=Basis.MODELLED, sources=("steps so far",)
    )
    found = propagate(lambda x: {"end": x["so_far"] * (1.0 + share * x["rest"])}, {"so_far": so_far, "rest": factor})
    end = found.outputs["end"]
    assert end is not None
    return end
