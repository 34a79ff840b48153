"""Gate 3: chip-hours from architecture, tokens and chip alone, one organisation left out at a time."""

from __future__ import annotations

import math

from tonne.estimate import Estimate
from tonne.forecasting import forecast
from tonne.forecasting.runs import goodput_evidence, run_plan, step_fraction
from tonne.reference.accelerators import accelerator
from tonne.reference.calibration import Calibration, shipped
from tonne.reference.goodput import KIND_OF_ROW, goodput_from, peak_flop_per_s, run_flop
from tonne.reference.table import Row
from tonne.units import SECONDS_PER_HOUR
from tonne.validation.published import chip_family, runs
from tonne.validation.result import Comparison, Gate, LeftOut, gate_of

FLAT_UTILISATION = 0.3
FLAT = "flat utilisation 0.3"
FLAT_6ND = "flat utilisation 0.3, 6ND"
FLOP_PER_PARAMETER = 6
NOMINAL = 0.90
MEDIAN_ALLOWED, FACTOR_ALLOWED = 0.22, 1.9
PRECISION = "bf16"  # rows do not say it; chips without it take their fp16 peak


def gate_3(calibration: Calibration | None = None) -> Gate:
    """Chip-hours, goodput fitted on the other organisations' runs, beside a flat utilisation of 0.3."""
    base = calibration or shipped()
    rows = [row for row in runs() if row["gate_hours"] == "3"]
    usable = [row for row in rows if run_flop(row) is not None and row["chip_hours"]]
    left_out = [LeftOut(id=r["id"], reason="lacks tokens, parameters or chip-hours") for r in rows if r not in usable]
    found: list[Comparison] = []
    for organisation in dict.fromkeys(row["org"] for row in usable):
        others = goodput_evidence([row for row in usable if row["org"] != organisation], base)
        fold = base.with_goodput(goodput_from(others))
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
    work, chip = run_flop(row), accelerator(row["chip"]).record
    peak = peak_flop_per_s(chip, PRECISION)
    assert work is not None
    assert peak is not None
    kind = KIND_OF_ROW[row["kind"]]
    step, goodput = step_fraction(row, calibration), calibration.goodput(chip.id, kind)
    return work, _quotient(work / (peak * SECONDS_PER_HOUR), step, goodput)


def _quotient(ideal_h: float, step: Estimate, goodput: Estimate) -> Estimate:
    """Hours at the peak over step utilisation and goodput; their log-spreads add in squares, low making high."""
    value = ideal_h / (step.value * goodput.value)
    up = math.hypot(math.log(step.value / step.low), math.log(goodput.value / goodput.low))
    down = math.hypot(math.log(step.high / step.value), math.log(goodput.high / goodput.value))
    return Estimate(
        value=value,
        low=value * math.exp(-down),
        high=value * math.exp(up),
        basis=step.basis,
        sources=(*step.sources, *goodput.sources),
    )
