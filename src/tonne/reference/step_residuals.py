"""How far the time model is off on every measured step: rows of its table, and intervals from them.

Here, and not in `calibrate`, because the validation reads what the calibration wrote.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Literal

TABLE = "step_residuals.csv"
NOMINAL = 0.90
MODEL_WEIGHT = -0.25  # a model of many rows counts more than one of few, but less than by its rows; as in the fit
STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782)  # 1, 2, ... degrees
SHARED_COUNTS_AS = 2  # sources; with none, mixtures (two sources) have no interval, with many they have the dense one
Stack = Literal["fitted", "known", "open", "unseen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResidual:
    """One measured step and what was predicted: by a fit of all rows (``fitted_s``), by one that saw no row of its
    model (``known_s``: the stack is known; ``open_s``: and the plan leaves open how a mixture's exchanges and graphs
    are done), by one that saw no row of its source (``unseen_s``).
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
    open_s: float
    unseen_s: float

    def log_error(self, stack: Stack) -> float:
        """Logarithm of predicted over measured."""
        return math.log(self.predicted_s(stack) / self.measured_s)

    def predicted_s(self, stack: Stack) -> float:
        """What a fit said of it [s]."""
        return {"fitted": self.fitted_s, "known": self.known_s, "open": self.open_s, "unseen": self.unseen_s}[stack]

    @property
    def group(self) -> tuple[str, str]:
        """Kind of model, and 16-bit or low precision."""
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
        open_s=float(row["open_s"]),
        unseen_s=float(row["unseen_s"]),
    )


def conformal_half_width(log_errors: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """The size that 90 % of new errors stay below, if they are like these.

    Equation: q = the smallest size |r_i| with sum (w_j; |r_j| <= |r_i|) >= 0.9 (sum w_j + max w_j), the largest where
    there is none. Without weights it is the k-th smallest of the n sizes, with k = ceil(0.9 (n + 1)).

    Args:
        log_errors: Logarithms of predicted over measured.
        weights: What each counts; left out: one.

    Returns:
        Half-width, in logarithms.

    Source: angelopoulos2023conformal, section 1.
    """
    given = weights or [1.0] * len(log_errors)
    sizes = sorted((abs(error), weight) for error, weight in zip(log_errors, given, strict=True))
    wanted = NOMINAL * (sum(given) + max(given)) * (1 - 1e-9)  # sums of many weights are off by their last digits
    reached = accumulate(weight for _, weight in sizes)
    return next((size for (size, _), sum_of in zip(sizes, reached, strict=True) if sum_of >= wanted), sizes[-1][0])


def known_half_width(rows: Sequence[StepResidual], kind: str, stack: Stack = "known") -> float:
    """The size that 90 % of the errors on a model not seen before stay below, in software that was seen.

    Equation: that of ``conformal_half_width`` over the rows of a kind, each with w = n^(-1/4), n the rows of its model:
    rows of one model are wrong together.

    Args:
        rows: Errors that may be used.
        kind: Dense or mixture; nothing where no row is of it.
        stack: Whose errors.

    Returns:
        Half-width, in logarithms.

    Source: tonne
    """
    alike = [row for row in rows if row.kind == kind]
    number = Counter(row.model for row in alike)
    weights = [number[row.model] ** MODEL_WEIGHT for row in alike]
    return conformal_half_width([row.log_error(stack) for row in alike], weights) if alike else 0.0


def unseen_half_width(rows: Sequence[StepResidual], kind: str) -> float:
    """The size that 90 % of the errors on a source not seen before stay below.

    Equation: q = t_(K + 2) sqrt((sum V_s + 2 V_0) / (K + 2)), with V_s the mean squared error of a source s on models
    of the kind, K their number, V_0 the mean of V_s over all sources and kinds, which counts as two sources, and t_n
    the 95th percentile of Student's distribution with n degrees of freedom.

    Args:
        rows: Errors that may be used.
        kind: Dense or mixture. Precisions are taken together: only three sources have low ones, one of them four rows.

    Returns:
        Half-width, in logarithms. Rows of one source share what is wrong for it, so sources are counted, not rows.

    Source: tonne
    """
    squares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        squares.setdefault((row.source, row.kind), []).append(row.log_error("unseen") ** 2)
    means = {key: sum(found) / len(found) for key, found in squares.items()}
    own = [mean for (_, of), mean in means.items() if of == kind]
    shared = sum(means.values()) / len(means)
    freedom = len(own) + SHARED_COUNTS_AS
    variance = (sum(own) + SHARED_COUNTS_AS * shared) / freedom
    return STUDENT_95[min(freedom, len(STUDENT_95)) - 1] * math.sqrt(variance)


def half_width(rows: Sequence[StepResidual], group: tuple[str, str], stack: Stack) -> float:
    """Half-width of the 90 % interval for a group and a stack, in logarithms.

    Both precisions of a kind have the same one: what the rows show of a difference is within what chance does.
    """
    kind = group[0]
    if stack == "unseen":
        return max(known_half_width(rows, kind), unseen_half_width(rows, kind))
    found = known_half_width(rows, kind, stack)
    return max(found, known_half_width(rows, kind)) if stack == "open" else found


def covered(rows: Sequence[StepResidual], stack: Stack) -> dict[str, bool]:
    """Whether its interval holds each row, with the half-width that the others alone would give.

    Args:
        rows: All rows.
        stack: ``unseen``: the others are rows of other sources; else of other models.

    Returns:
        By id; rows whose kind has no others are left out.
    """
    held: dict[str, bool] = {}
    widths: dict[tuple[str, tuple[str, str]], float | None] = {}
    for row in rows:
        own = row.source if stack == "unseen" else row.model
        if (own, row.group) not in widths:
            others = [o for o in rows if (o.source if stack == "unseen" else o.model) != own]
            alike = stack == "unseen" or any(o.kind == row.kind for o in others)
            widths[own, row.group] = half_width(others, row.group, stack) if others and alike else None
        width = widths[own, row.group]
        if width is not None:
            held[row.id] = abs(row.log_error(stack)) <= width
    return held
