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
STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782)  # 1, 2, ... degrees
SHARED_COUNTS_AS = 2  # sources; with none, mixtures (two sources) have no interval, with many they have the dense one
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


def unseen_half_width(rows: Sequence[StepResidual], group: tuple[str, str]) -> float:
    """The size that 90 % of the errors on a source not seen before stay below.

    Equation: q = t_(K + 2) sqrt((sum V_s + 2 V_0) / (K + 2)), with V_s the mean squared error of a source s of the
    group, K their number, V_0 the mean of V_s over all sources and groups, which counts as two sources, and t_n the
    95th percentile of Student's distribution with n degrees of freedom.

    Args:
        rows: Errors that may be used.
        group: Kind of model and precision.

    Returns:
        Half-width, in logarithms. Rows of one source share what is wrong for it, so sources are counted, not rows.

    Source: tonne
    """
    squares: dict[tuple[str, tuple[str, str]], list[float]] = {}
    for row in rows:
        squares.setdefault((row.source, row.group), []).append(row.log_error("unseen") ** 2)
    means = {key: sum(found) / len(found) for key, found in squares.items()}
    own = [mean for (_, of), mean in means.items() if of == group]
    shared = sum(means.values()) / len(means)
    freedom = len(own) + SHARED_COUNTS_AS
    variance = (sum(own) + SHARED_COUNTS_AS * shared) / freedom
    return STUDENT_95[min(freedom, len(STUDENT_95)) - 1] * math.sqrt(variance)


def half_width(rows: Sequence[StepResidual], group: tuple[str, str], stack: Stack) -> float:
    """Half-width of the 90 % interval for a group and a stack, in logarithms."""
    alike = [row.log_error("known" if stack == "unseen" else stack) for row in rows if row.group == group]
    known = conformal_half_width(alike) if alike else 0.0
    return max(known, unseen_half_width(rows, group)) if stack == "unseen" else known


def covered(rows: Sequence[StepResidual], stack: Stack) -> dict[str, bool]:
    """Whether its interval holds each row, with the half-width that the others alone would give.

    Args:
        rows: All rows.
        stack: ``known``: the others are rows of other models; ``unseen``: of other sources.

    Returns:
        By id; rows whose group has no others are left out.
    """
    held: dict[str, bool] = {}
    widths: dict[tuple[str, tuple[str, str]], float | None] = {}
    for row in rows:
        own = row.model if stack == "known" else row.source
        if (own, row.group) not in widths:
            others = [o for o in rows if (o.model if stack == "known" else o.source) != own]
            alike = stack == "unseen" or any(o.group == row.group for o in others)
            widths[own, row.group] = half_width(others, row.group, stack) if others and alike else None
        width = widths[own, row.group]
        if width is not None:
            held[row.id] = abs(row.log_error(stack)) <= width
    return held
