"""How the intensity of a grid differs by month and hour from its mean of the year."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class HourProfile:
    """Intensity of an hour of a month relative to the year's mean, and how single hours spread around it [1]."""

    zone: str
    year: int
    relative: dict[tuple[int, int], float]  # by month, 1 to 12, and hour of the day, 0 to 23, in UTC
    std: dict[tuple[int, int], float]
    basis: str
    source: str
    note: str


@cache
def hour_profile(zone: str) -> HourProfile | None:
    """The profile of a zone of the grid tables; None where there is none."""
    link = next((row for row in table("grid_hours_zones") if row["zone"] == zone), None)
    if link is None:
        return None
    rows = [row for row in table("grid_hours") if row["zone"] == link["profile"]]
    key = [(int(row["month"]), int(row["hour_utc"])) for row in rows]
    return HourProfile(
        zone=link["profile"],
        year=int(rows[0]["year"]),
        relative={at: float(row["relative_intensity"]) for at, row in zip(key, rows, strict=True)},
        std={at: float(row["relative_std"]) for at, row in zip(key, rows, strict=True)},
        basis=link["basis"],
        source=rows[0]["source"],
        note=link["note"],
    )
