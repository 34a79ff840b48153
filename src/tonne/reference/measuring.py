"""Constants of measuring: errors of sensors, and the models of what has none."""

from __future__ import annotations

from functools import cache

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.reference.table import number, table


@cache
def measuring_constant(name: str) -> Estimate:
    """A constant of measuring_constants.csv by name; the unit is in it.

    Raises:
        UnknownReferenceError: The table has no such name.
    """
    for row in table("measuring_constants"):
        if row["name"] == name:
            value = float(row["value"])
            low, high = number(row["low"]), number(row["high"])
            return Estimate(
                value=value,
                low=value if low is None else low,
                high=value if high is None else high,
                basis=Basis(row["basis"]),
                sources=(f"{row['source']}, {row['locator']}" if row["locator"] else row["source"],),
            )
    known = ", ".join(row["name"] for row in table("measuring_constants"))
    raise UnknownReferenceError(f"measuring_constants.csv has no {name!r}. Known: {known}. Add a row with its source.")
