"""Gate 3: chip-hours from architecture, tokens and chip alone, one organisation left out at a time."""

from __future__ import annotations

from tonne.estimate import Estimate
from tonne.forecasting import forecast
from tonne.forecasting.lost_time import recovery_share
from tonne.forecasting.runs import pace_evidence, run_outcome, run_plan, run_work_flop
from tonne.reference.accelerators import accelerator
from tonne.reference.calibration import Calibration, shipped
from tonne.reference.goodput import peak_flop_per_s
from tonne.reference.pace import pace_from
from tonne.reference.table import Row, table
from tonne.units import SECONDS_PER_HOUR
from tonne.validation.published import chip_family, runs
from tonne.validation.result import Comparison, Gate, LeftOut, gate_of

FLAT_UTILISATION = 0.3
FLAT = "flat utilisation 0.3"
FLAT_6ND = "flat utilisation 0.3, 6ND"
FLOP_PER_PARAMETER = 6
NOMINAL = 0.90
MEDIAN_ALLOWED, FACTOR_ALLOWED = 0.22, 1.9
PRECISION = "bf16"  # of the flat utilisations; chips without it take their fp16 peak


def gate_3(calibration: Calibration | None = None) -> Gate:
    """Chip-hours, pace and recovery fitted on the other organisations' runs, beside a flat utilisation of 0.3."""
    base = calibration or shipped()
    rows = [row for row in runs() if row["gate_hours"] == "3"]
    usable = [row for row in rows if run_work_flop(row) is not None and row["chip_hours"]]
    left_out = [LeftOut(id=r["id"], reason="lacks tokens, parameters or chip-hours") for r in rows if r not in usable]
    found: list[Comparison] = []
    for organisation in dict.fromkeys(row["org"] for row in usable):
        recovery = recovery_share(row for row in table("recovery_evidence") if row["org"] != organisation)
        unpaced = base.with_runs({}, recovery)
        others = pace_evidence([row for row in usable if row["org"] != organisation], unpaced)
        fold = base.with_runs(pace_from(others), recovery)
        found += [_comparison(row, fold) for row in usable if row["org"] == organisation]
    rule = (
        f"median |error| at most {MEDIAN_ALLOWED:.0%}, 90th-percentile factor at most x{FACTOR_ALLOWED}, both better "
        "than those of a flat utilisation of 0.3 of the same work and of 6ND; the interval of the coverage holds 90 %"
    )
    gate = gate_of(3, ("chip-hours from architecture, tokens and chip", rule), True, found, left_out)
    return gate_of(3, (gate.name, gate.rule), _passes(gate), found, left_out)


def _passes(gate: Gate) -> bool:
    flats = [gate.peers[FLAT], gate.peers[FLAT_6ND]]
    covered = (gate.coverage_low or 0.0) <= NOMINAL <= (gate.coverage_high or 0.0)
    close = gate.median <= MEDIAN_ALLOWED and gate.p90_factor <= FACTOR_ALLOWED
    better = all(gate.median <= flat.median and gate.p90_factor < flat.p90_factor for flat in flats)
    return close and better and covered


def _comparison(row: Row, calibration: Calibration) -> Comparison:
    work, hours = planned_hours(row, calibration)
    peak = peak_flop_per_s(accelerator(row["chip"]).record, PRECISION)
    assert peak is not None  # every row of the gate names a chip with a 16-bit peak
    parameters = float(row["params_active"] or row["params_total"])
    naive = FLOP_PER_PARAMETER * parameters * float(row["tokens_trained"])
    return Comparison(
        id=row["id"],
        quantity="accelerator_hours",
        family=chip_family(row),
        published=float(row["chip_hours"]),
        forecast=hours.value,
        low=hours.low,
        high=hours.high,
        peers={
            FLAT: work / (peak * FLAT_UTILISATION * SECONDS_PER_HOUR),
            FLAT_6ND: naive / (peak * FLAT_UTILISATION * SECONDS_PER_HOUR),
        },
    )


def planned_hours(row: Row, calibration: Calibration) -> tuple[float, Estimate]:
    """Work [FLOP] and chip-hours [h] of a run, forecast from its architecture, tokens and chip.

    A row that names a preset goes through `forecast`; the others, and encoder-decoders, whose rows do not split
    source from target, through the same equation on the work of their parameters and shape.
    """
    if row["architecture_id"] and row["kind"] != "encdec":
        planned = forecast(run_plan(row), calibration)
        hours, counts = planned.account.accelerator_hours, planned.counts
        assert hours is not None
        assert counts is not None
        return float(counts.training_flop), hours
    work, hours = run_work_flop(row), run_outcome(row, calibration)["accelerator_hours"]
    assert work is not None
    assert hours is not None
    return work, hours
