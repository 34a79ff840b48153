"""How far the time model is off on every measured step: rows of its table, and intervals from them.

Here, and not in `calibrate`, because the validation reads what the calibration wrote.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

TABLE = "step_residuals.csv"
NOMINAL = 0.90
Stack = Literal["fitted", "known", "unseen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResidual:
    """One measured step and what was predicted: by a fit of all rows (``fitted_s``), by one that saw no row of its
    model (``known_s``: the stack is known), by one that saw no row of its source (``unseen_s``).
    """  # noqa: D205 - the list of predictions is the summary

    id: str
    source: str
    model: str
    kind: str
    precision: str
    family: str
    accelerators: int
    sequence_length: int
    measured_s: float
    fitted_s: float
    known_s: float
    unseen_s: float

    def log_error(self, stack: Stack) -> float:
        """Logarithm of predicted over measured."""
        predicted = {"fitted": self.fitted_s, "known": self.known_s, "unseen": self.unseen_s}[stack]
        return math.log(predicted / self.measured_s)

    @property
    def group(self) -> tuple[str, str]:
        """Kind of model, and 16-bit or low precision: the groups that have an interval of their own."""
        return self.kind, "16-bit" if self.precision == "16-bit" else "low"


@cache
def step_residuals() -> tuple[StepResidual, ...]:
    """The rows that `make calibrate` wrote."""
    text = files("tonne.reference").joinpath("tables", TABLE).read_text(encoding="utf-8")
    return tuple(_residual(row) for row in csv.DictReader(text.splitlines()))


def _residual(row: Mapping[str, str]) -> StepResidual:
    return StepResidual(
        id=row["id"],
        source=row["source"],
        model=row["model"],
        kind=row["kind"],
        precision=row["precision"],
        family=row["family"],
        accelerators=int(row["accelerators"]),
        sequence_length=int(row["sequence_length"]),
        measured_s=float(row["measured_s"]),
        fitted_s=float(row["fitted_s"]),
        known_s=float(row["known_s"]),
        unseen_s=float(row["unseen_s"]),
    )


def conformal_half_width(log_errors: Sequence[float]) -> float:
    """The size that 90 % of new errors stay below, if they are like these.

    Equation: q = the k-th smallest of the n sizes |r|, with k = ceil(0.9 (n + 1)); the largest where k > n.

    Args:
        log_errors: Logarithms of predicted over measured.

    Returns:
        Half-width, in logarithms.

    Source: angelopoulos2023conformal, section 1.
    """
    sizes = sorted(abs(error) for error in log_errors)
    return sizes[min(len(sizes), math.ceil(NOMINAL * (len(sizes) + 1))) - 1]


def covered(rows: Sequence[StepResidual], stack: Stack) -> dict[str, bool]:
    """Whether its interval holds each row, with the half-width of the others of its group alone.

    Args:
        rows: All rows.
        stack: ``known``: the others are other models; ``unseen``: other sources.

    Returns:
        By id; rows whose group has no others are left out.
    """
    held: dict[str, bool] = {}
    for row in rows:
        alike = [
            other.log_error(stack)
            for other in rows
            if other.group == row.group
            and (other.model != row.model if stack == "known" else other.source != row.source)
        ]
        if alike:
            held[row.id] = abs(row.log_error(stack)) <= conformal_half_width(alike)
    return held
