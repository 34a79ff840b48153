"""What is lost between the steps of a run, as inputs of its forecast; and what published runs kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median

from tonne.describe.plan import Schedule
from tonne.estimate import Z_90, Basis, Estimate
from tonne.reference.calibration import Calibration
from tonne.reference.goodput import goodput_constant
from tonne.reference.pace import LEAST_LOG_SPREAD, side_spreads
from tonne.timing.goodput import best_goodput, failure_met

FAILURES = ("accelerator_mtbf_h", "restart_s", "checkpoint_s")
CONSTANTS = (*FAILURES, "routine_share", "run_h")
MOST_RECOVERY = 1.0


def add_lost_time(schedule: Schedule, calibration: Calibration, factors: dict[str, Estimate]) -> None:
    """Add the goodput that a plan gives, or what it follows from."""
    if schedule.goodput is not None:
        factors["goodput"] = schedule.goodput.estimate()
        return
    given = {name: getattr(schedule, name) for name in FAILURES}
    for name, quantity in given.items():
        factors[name] = goodput_constant(name) if quantity is None else quantity.estimate()
    factors["recovery_share"] = calibration.recovery_share()
    for name in ("routine_share", "run_h"):
        factors[name] = goodput_constant(name)


def recovery_share(rows: Iterable[Mapping[str, str]]) -> Estimate:
    """The share of the time that runs kept beside what failures and routine cost at best.

    Equation: k = median of (g / (r b))^(1/p), with g = useful_share of a row, r = routine_share, b = best goodput of so
    many accelerators, p = probability that so many meet a failure; spread: that of the rows around the median, each
    side its own.

    Args:
        rows: Of recovery_evidence.csv.

    Returns:
        Share, at most 1.

    Valid for: at least one row.
    """
    logs = [_log_recovery(row) for row in rows]
    centre = median(logs)
    below, above = (max(s, LEAST_LOG_SPREAD) for s in side_spreads([x - centre for x in logs]))
    value = min(math.exp(centre), MOST_RECOVERY)
    return Estimate(
        value=value,
        low=value * math.exp(-Z_90 * below),
        high=min(value * math.exp(Z_90 * above), MOST_RECOVERY),
        basis=Basis.MODELLED,
        sources=("tonne.calibrate: recovery_evidence.csv",),
    )


def _log_recovery(row: Mapping[str, str]) -> float:
    n, constants = float(row["accelerators"]), {name: goodput_constant(name).value for name in CONSTANTS}
    best = best_goodput(n, *(constants[name] for name in FAILURES))
    met = failure_met(n, constants["run_h"], constants["accelerator_mtbf_h"])
    return math.log(float(row["useful_share"]) / (constants["routine_share"] * best)) / float(met)
