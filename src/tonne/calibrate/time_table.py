"""Writes the tables of the time model, from the table of measured throughput."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tonne.calibrate.families import family_shares
from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.outside import outside
from tonne.calibrate.own_spreads import model_spreads, pace_spread
from tonne.calibrate.scales import measured_stacks, scale_spreads
from tonne.calibrate.time_model import cross_validated, fitted_without, refitted, spreads
from tonne.reference.calibration import shipped
from tonne.reference.families import TABLE as FAMILIES
from tonne.reference.families import FamilyShare
from tonne.reference.own_runs import MODEL_SPREADS, ModelSpread
from tonne.reference.step_outside import TABLE as OUTSIDE
from tonne.reference.step_outside import OutsideStep
from tonne.reference.step_residuals import TABLE as RESIDUALS
from tonne.reference.step_residuals import StepResidual
from tonne.reference.table import table
from tonne.reference.time_model import SPREADS, TABLE, Fitted, Spread, fitted_coefficients
from tonne.reference.time_stacks import SCALES, STACKS, MeasuredStack, ScaleSpread

DIGITS = 5
BLOOM = "bigscience-workshop/bigscience"


def fitted_time_model() -> tuple[tuple[Fitted, ...], list[StepResidual]]:
    """Coefficients and cross-validated residuals from the table of the package."""
    steps, priors = measured_steps(table("throughput")), fitted_coefficients()
    return refitted(steps, priors), cross_validated(steps, priors)


def write_time_model(folder: Path) -> int:
    """Fit anew and write the tables into a folder; how many rows were fitted."""
    coefficients, rows = fitted_time_model()
    write_stacks(folder, rows)
    _write(folder / OUTSIDE, _columns(OutsideStep), outside_steps(coefficients))
    _write(folder / TABLE, _columns(Fitted), coefficients)
    of_steps = spreads(rows)
    _write(folder / SPREADS, _columns(Spread), of_steps)
    shares = family_shares(table("throughput"), {c.name: c.value for c in coefficients}, of_steps)
    _write(folder / f"{FAMILIES}.csv", _columns(FamilyShare), shares)
    _write(folder / RESIDUALS, _columns(StepResidual), rows)
    return len(rows)


def outside_steps(coefficients: Sequence[Fitted]) -> list[OutsideStep]:
    """Forecasts of the rows that are never fitted."""
    rows = table("throughput")
    return outside(rows, coefficients, fitted_without(measured_steps(rows), fitted_coefficients(), BLOOM))


def write_stacks(folder: Path, residuals: Sequence[StepResidual]) -> None:
    """Write which stacks were measured, and what one measured step tells of other scales and of other models."""
    measured = table("throughput")
    steps = measured_steps(measured)
    _write(folder / STACKS, _columns(MeasuredStack), measured_stacks(steps))
    _write(folder / SCALES, _columns(ScaleSpread), scale_spreads(steps, residuals, measured))
    own = [*model_spreads(steps, residuals), pace_spread(table("published_runs"), shipped())]
    _write(folder / f"{MODEL_SPREADS}.csv", _columns(ModelSpread), own)


def _columns(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _write(path: Path, columns: Sequence[str], rows: Sequence[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)


def _cell(value: object) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
