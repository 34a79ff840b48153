"""Writes the tables of the memory model, from the table of measured memory."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from tonne.calibrate.measured_memory import counted, cross_validated, fitted, spreads
from tonne.reference.measured_memory import RESIDUALS, MemoryResidual, memory_readings
from tonne.reference.memory_model import TABLE
from tonne.reference.table import table

DIGITS = 5


def fitted_memory_model() -> tuple[dict[str, float], list[MemoryResidual]]:
    """Coefficients and cross-validated predictions from the table of the package."""
    rows = [counted(reading) for reading in memory_readings()]
    residuals = cross_validated(rows)
    return fitted(rows) | spreads(rows, residuals), residuals


def write_memory_model(folder: Path) -> int:
    """Fit anew and write the tables into a folder; how many readings were fitted. Published rows stay as they are."""
    coefficients, residuals = fitted_memory_model()
    own = table(TABLE)
    rows = [{**row, "value": _cell(coefficients.get(row["name"], float(row["value"])))} for row in own]
    with (folder / f"{TABLE}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(own[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    columns = [field.name for field in dataclasses.fields(MemoryResidual)]
    with (folder / f"{RESIDUALS}.csv").open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        plain.writerow(columns)
        plain.writerows([_cell(getattr(row, column)) for column in columns] for row in residuals)
    return len(residuals)


def _cell(value: object) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
