"""Writes the calibration table from the tables of measured throughput and published runs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from tonne.calibrate.goodput import fitted_runs
from tonne.calibrate.utilisation import best_layouts, observations, step_coefficients
from tonne.reference.calibration import Calibration, Coefficient
from tonne.reference.table import table

COLUMNS = ("quantity", "family", "precision", "kind", "value", "low", "high", "n", "basis", "source")


def fitted_coefficients() -> list[Coefficient]:
    """Step utilisation, pace and recovery, fitted from the tables of the package."""
    steps = step_coefficients(best_layouts(observations(table("throughput"))))
    return [*steps, *fitted_runs(table("published_runs"), table("recovery_evidence"), Calibration.of(steps))]


def write_table(coefficients: Iterable[Coefficient], path: Path) -> None:
    """Write coefficients as the calibration table, four significant digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(c) for c in coefficients)


def _row(coefficient: Coefficient) -> Mapping[str, str]:
    e = coefficient.estimate
    return {
        "quantity": coefficient.quantity,
        "family": coefficient.family,
        "precision": coefficient.precision,
        "kind": coefficient.kind,
        "value": f"{e.value:.4g}",
        "low": f"{e.low:.4g}",
        "high": f"{e.high:.4g}",
        "n": str(coefficient.rows),
        "basis": str(e.basis),
        "source": "; ".join(e.sources),
    }
