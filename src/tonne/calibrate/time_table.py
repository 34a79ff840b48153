"""Writes the tables of the time model, from the table of measured throughput."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.time_model import Residual, cross_validated, refitted, spreads
from tonne.reference.table import table
from tonne.reference.time_model import SPREADS, TABLE, Fitted, Spread, fitted_coefficients

COEFFICIENT_COLUMNS = ("name", "value", "log_spread", "prior", "prior_log_spread", "least", "most", "meaning")
SPREAD_COLUMNS = ("kind", "precision", "stack", "log_half_width", "rows")
DIGITS = 5


def fitted_time_model() -> tuple[tuple[Fitted, ...], list[Residual]]:
    """Coefficients and cross-validated residuals from the table of the package."""
    steps, priors = measured_steps(table("throughput")), fitted_coefficients()
    return refitted(steps, priors), cross_validated(steps, priors)


def write_time_model(coefficients: Sequence[Fitted], found: Sequence[Spread], folder: Path) -> None:
    """Write both tables into a folder."""
    _write(folder / TABLE, COEFFICIENT_COLUMNS, coefficients)
    _write(folder / SPREADS, SPREAD_COLUMNS, found)


def write_own(folder: Path) -> int:
    """Fit anew and write the tables; how many rows were fitted."""
    coefficients, residuals = fitted_time_model()
    write_time_model(coefficients, spreads(residuals), folder)
    return len(residuals)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)


def _cell(value: object) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
