"""Carbon intensity of grids: a yearly factor for a country, a province or a bidding zone.

Lifecycle and direct (combustion) factors are kept apart; a factor of the other kind is returned only with a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.errors import UnknownReferenceError
from tonne.reference.matching import Found, Match, Names, match, names_of
from tonne.reference.table import DATA_VERSION, Row, spread, table

ACCOUNTINGS = ("lifecycle", "direct")
FRESH_YEARS = 2  # a factor this many years old is still the newest that most agencies publish
WHOLE_GRID = {"US": "US-eGRID-US"}  # the national row of a subnational table that has a code of its own
ADVICE = "Run `tonne reference grids NAME`, or give grid_gco2e_per_kwh yourself."


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFactor:
    """One factor [g/kWh] of CO2e (or CO2, see gas) with its 90 % interval (rules: spreads.csv)."""

    zone: str
    name_en: str
    name_zh: str
    level: str
    year: int
    gco2e_per_kwh: float
    accounting: str
    boundary: str
    gas: str
    basis: str
    low: float
    high: float
    source: str
    licence: str
    note: str


def grid(query: str, accounting: str = "lifecycle", year: int | None = None) -> Found[GridFactor]:
    """The yearly factor of a place.

    Args:
        query: Zone code, ISO 3166 code, English or Chinese name.
        accounting: "lifecycle" or "direct"; when the zone has only the other, that one, and the note says so.
        year: Year of the factor; the newest when None, the nearest (with a note) when that year is missing.

    Raises:
        UnknownReferenceError: Unknown or ambiguous place, or unknown accounting.
    """
    if accounting not in ACCOUNTINGS:
        raise UnknownReferenceError(f"grid_basis={accounting!r} is unknown. Use 'lifecycle' or 'direct'.")
    zone = grid_zone(query)
    notes = [zone.note] if zone.note else []
    rows = factors_of(zone.id, accounting)
    if not rows:
        other = ACCOUNTINGS[1 - ACCOUNTINGS.index(accounting)]
        rows = factors_of(zone.id, other)
        notes.append(f"{zone.id} has only a {other} factor; {accounting} was asked for")
    row, note = _of_year(rows, year)
    if note:
        notes.append(f"{zone.id}: {note}")
    if row["gas"] == "CO2":
        notes.append(f"the factor of {zone.id} counts CO2 only, not CO2e")
    return Found(record=_factor(row, year), query=query, how=zone.how, note="; ".join(notes) or None)


def grid_zone(query: str) -> Match:
    """The zone code that a place name means.

    Raises:
        UnknownReferenceError: Unknown or ambiguous place.
    """
    return match(query, _names(), "grids", ADVICE)


def country_iso3(query: str) -> str:
    """The ISO 3166 three-letter code of the country that a name means, or of the zone's country.

    Raises:
        UnknownReferenceError: Unknown or ambiguous place.
    """
    row = _zones()[grid_zone(query).id][0]
    country = row["country_iso2"] if "country_iso2" in row else row["zone"]
    return _zones()[country][0]["iso3"]


def factors_of(zone: str, accounting: str) -> tuple[Row, ...]:
    """All rows of a zone with one accounting, the oldest first; empty when there are none."""
    own = _zones().get(zone, ())
    rows = [row for row in own if row["accounting"] == accounting]
    if not rows and zone in WHOLE_GRID:
        rows = [row for row in _zones()[WHOLE_GRID[zone]] if row["accounting"] == accounting]
    return tuple(sorted(rows, key=lambda row: int(row["year"])))


@cache
def _zones() -> dict[str, list[Row]]:
    zones: dict[str, list[Row]] = {}
    for row in (*table("grids_country"), *table("grids_subnational")):
        zones.setdefault(row["zone"], []).append(row)
    return zones


@cache
def _names() -> Names:
    named = []
    for zone, rows in _zones().items():
        first = rows[0]
        short = (zone.rsplit("-", 1)[-1],) if zone.startswith("US-eGRID-") and zone != "US-eGRID-US" else ()
        named.append((zone, (first.get("iso3", ""), first["name_en"], first["name_zh"], *short)))
    return names_of(named)


def _of_year(rows: tuple[Row, ...], year: int | None) -> tuple[Row, str | None]:
    if year is None:
        return rows[-1], None
    nearest = min(rows, key=lambda row: (abs(int(row["year"]) - year), -int(row["year"])))
    if int(nearest["year"]) == year:
        return nearest, None
    return nearest, f"no factor of {year}; {nearest['year']} is the nearest"


def _rule(row: Row, year: int | None) -> str:
    if row["level"] == "proxy":
        return "proxy"
    if row["zone"].startswith("CA-"):
        return "Canada province"
    if row["basis"] == "assumed":
        return "assumed"
    wanted = year if year is not None else int(DATA_VERSION[:4]) - 1
    age = abs(wanted - int(row["year"]))
    return "latest published" if age == 0 or (year is None and age <= FRESH_YEARS) else "older or other year"


def _factor(row: Row, year: int | None) -> GridFactor:
    value = float(row["gco2e_per_kwh"])
    low_factor, high_factor = spread("grids", _rule(row, year))
    return GridFactor(
        zone=row["zone"],
        name_en=row["name_en"],
        name_zh=row["name_zh"],
        level=row["level"],
        year=int(row["year"]),
        gco2e_per_kwh=value,
        accounting=row["accounting"],
        boundary=row["boundary"],
        gas=row["gas"],
        basis=row["basis"],
        low=value * low_factor,
        high=value * high_factor,
        source=row["source"],
        licence=row["licence"],
        note=row["note"],
    )
