"""Prices: an hour of an accelerator, a kilowatt-hour of a country. Every one has a date."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from tonne.errors import UnknownReferenceError
from tonne.reference.grids import country_iso3
from tonne.reference.table import Row, spread, table


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRecord:
    """A price [USD per unit] with its 90 % interval and the newest date behind it."""

    key: str
    usd: float
    low: float
    high: float
    unit: str
    date: str
    basis: str
    source: str
    note: str


def accelerator_hour_price(accelerator_id: str) -> PriceRecord | None:
    """Price of one accelerator-hour [USD/h]: median of the newest year's points; None where none is known."""
    rows = [row for row in table("prices") if row["kind"] == "accelerator_hour" and row["key"] == accelerator_id]
    if not rows:
        return None
    newest = max(row["date"] for row in rows)
    rows = sorted((row for row in rows if row["date"][:4] == newest[:4]), key=lambda row: row["date"])
    listed = [row for row in rows if row["note"] != "spot"] or rows
    values = [float(row["value_usd"]) for row in listed]
    low, high = min(values), max(values)
    if len(values) == 1:
        low_factor, high_factor = spread("prices", "accelerator hour, one point")
        low, high = values[0] * low_factor, values[0] * high_factor
    notes = "; ".join(f"{row['value_usd']}: {row['note']}" for row in listed)
    return _price(listed[-1], (median(values), low, high), "USD/h", _sources(listed), notes)


def electricity_price(country: str) -> PriceRecord | None:
    """Price of electricity for industry [USD/kWh]; the wholesale mean where no tariff is known, else None.

    Args:
        country: Zone, ISO code or name of a country.
    """
    try:
        iso3 = country_iso3(country)
    except UnknownReferenceError:
        return None
    for kind, remark in (("electricity_industrial", ""), ("electricity_wholesale", "wholesale: no grid fees or taxes")):
        rows = [row for row in table("prices") if row["kind"] == kind and row["key"] == iso3]
        if rows:
            row = max(rows, key=lambda r: r["date"])
            value = float(row["value_usd"])
            low, high = spread("prices", f"electricity, {row['basis']}")
            notes = "; ".join(text for text in (row["note"], remark) if text)
            return _price(row, (value, value * low, value * high), "USD/kWh", row["source"], notes)
    return None


def _sources(rows: list[Row]) -> str:
    return "; ".join(dict.fromkeys(row["source"] for row in rows))


def _price(row: Row, values: tuple[float, float, float], unit: str, source: str, note: str) -> PriceRecord:
    return PriceRecord(
        key=row["key"],
        usd=values[0],
        low=values[1],
        high=values[2],
        unit=unit,
        date=row["date"],
        basis=row["basis"],
        source=source,
        note=note,
    )
