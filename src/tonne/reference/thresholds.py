"""Thresholds of training compute that rules name."""

from __future__ import annotations

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.reference.table import table


def threshold(key: str) -> Estimate:
    """One threshold by its key, e.g. ``eu-general-purpose-flop``; exact.

    Raises:
        UnknownReferenceError: The table has no such key.
    """
    for row in table("thresholds"):
        if row["key"] == key:
            return Estimate.exact(float(row["value"]), Basis(row["basis"]), f"{row['source']}, {row['locator']}")
    known = ", ".join(row["key"] for row in table("thresholds"))
    raise UnknownReferenceError(f"thresholds.csv has no {key!r}. Known: {known}. Add a row with its source.")
