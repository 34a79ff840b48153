"""Constants of a step that no row of the fit can tell, each with its source: table `step_constants.csv`."""

from __future__ import annotations

from functools import cache

from tonne.reference.table import table

TABLE = "step_constants"


@cache
def step_constant(name: str) -> float:
    """A constant by name; the unit is in it, or it is a ratio."""
    return next(float(row["value"]) for row in table(TABLE) if row["name"] == name)
