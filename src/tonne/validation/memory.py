"""Memory by cross-validation: how far the estimate is off on models, and on sources, that the fit did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonne.estimate import binomial_interval
from tonne.reference.measured_memory import MemoryResidual, memory_residuals
from tonne.validation.statistics import quantile

MEDIAN_ASKED, P90_ASKED = 0.03, 0.08
ASKED_OF = "allocated"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySlice:
    """Errors |predicted / read - 1| of some readings, and the share of them in the 90 % interval.

    ``unseen_median`` and ``unseen_p90``: with the coefficients of the other sources alone.
    """

    name: str
    n: int
    median: float
    p90: float
    bias: float
    unseen_median: float
    unseen_p90: float
    coverage: float
    coverage_low: float
    coverage_high: float
    half_width: float
    asked: bool

    @property
    def holds(self) -> bool | None:
        """Whether the figures asked are reached; None where none are."""
        return (self.median <= MEDIAN_ASKED and self.p90 <= P90_ASKED) if self.asked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryValidation:
    """What was allocated, what the allocator reserved, what the driver showed; and the same by source."""

    slices: tuple[MemorySlice, ...]
    rows: tuple[MemoryResidual, ...]

    @property
    def passed(self) -> bool:
        """Whether every slice with a figure asked reaches it."""
        return all(found.holds is not False for found in self.slices)


def validate_memory(rows: Sequence[MemoryResidual] | None = None) -> MemoryValidation:
    """The cross-validation of memory.

    Args:
        rows: Readings with their predictions; those of the calibration where left out.
    """
    found = tuple(memory_residuals() if rows is None else rows)
    quantities = dict.fromkeys(row.quantity for row in found)
    slices = [_slice(quantity, [row for row in found if row.quantity == quantity]) for quantity in quantities]
    for source, quantity, recomputation in dict.fromkeys((r.source, r.quantity, r.recomputation) for r in found):
        own = [r for r in found if (r.source, r.quantity, r.recomputation) == (source, quantity, recomputation)]
        slices.append(_slice(f"{source}, {quantity}, recomputation {recomputation}", own))
    return MemoryValidation(slices=tuple(slices), rows=found)


def _slice(name: str, rows: Sequence[MemoryResidual]) -> MemorySlice:
    errors = [row.known_gib / row.measured_gib - 1.0 for row in rows]
    unseen = [abs(row.unseen_gib / row.measured_gib - 1.0) for row in rows]
    sizes = [abs(error) for error in errors]
    inside = sum(row.low_gib <= row.measured_gib <= row.high_gib for row in rows)
    low, high = binomial_interval(inside, len(rows))
    return MemorySlice(
        name=name,
        n=len(rows),
        median=quantile(sizes, 0.5),
        p90=quantile(sizes, 0.9),
        bias=quantile(errors, 0.5),
        unseen_median=quantile(unseen, 0.5),
        unseen_p90=quantile(unseen, 0.9),
        coverage=inside / len(rows),
        coverage_low=low,
        coverage_high=high,
        half_width=quantile([(row.high_gib - row.low_gib) / 2 / row.known_gib for row in rows], 0.5),
        asked=name == ASKED_OF,
    )
