"""Sums over runs, with an interval that does not pretend that their errors cancel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tonne.estimate import Estimate, weakest


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A sum. ``value`` is None where a part is unknown (``unknown`` names it); ``known`` is the sum of the others."""

    value: Estimate | None
    known: Estimate | None
    unknown: tuple[str, ...] = ()


def total_of(parts: Mapping[str, Estimate | None]) -> Total:
    """The sum of parts by name; of no part at all it is unknown, not zero."""
    known = [part for part in parts.values() if part is not None]
    unknown = tuple(name for name, part in parts.items() if part is None)
    found = sum_of(known) if known else None
    return Total(value=None if unknown else found, known=found, unknown=unknown)


def sum_of(parts: Iterable[Estimate]) -> Estimate:
    """The sum of at least one part.

    Equation: low, value and high are each the sum of the parts' own. This is exact where all errors are shared (one
    grid factor, one PUE, one model of a server), and too wide where they are independent.
    """
    each = list(parts)
    return Estimate(
        value=sum(part.value for part in each),
        low=sum(part.low for part in each),
        high=sum(part.high for part in each),
        basis=weakest(part.basis for part in each),
        sources=tuple(dict.fromkeys(source for part in each for source in part.sources)),
    )
