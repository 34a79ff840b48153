"""Water that power plants consume per unit of electricity."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from tonne.estimate import Basis, Estimate


@cache
def _rows() -> dict[str, dict[str, str]]:
    text = (files("tonne.reference") / "tables" / "grid_water.csv").read_text(encoding="utf-8")
    return {row["zone"]: row for row in csv.DictReader(text.splitlines())}


def grid_water(zone: str) -> Estimate | None:
    """Water consumed per unit of electricity in a country [L/kWh]; None where no factor is known.

    Args:
        zone: Zone of the grid tables; a part of a country takes the country's factor ("US-eGRID-CAMX" that of "US").
    """
    row = _rows().get(zone) or _rows().get(zone.split("-", maxsplit=1)[0])
    if row is None:
        return None
    return Estimate(
        value=float(row["grid_wue_l_per_kwh"]),
        low=float(row["low"]),
        high=float(row["high"]),
        basis=Basis(row["basis"]),
        sources=(row["source"],),
    )
