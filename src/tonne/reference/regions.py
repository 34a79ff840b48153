"""Cloud regions: where they stand, which grid feeds them, and what their operators publish."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.errors import UnknownReferenceError
from tonne.reference.matching import Found, listed, squashed
from tonne.reference.table import Row, number, table, whole

ADVICE = "Write provider:region, for example aws:eu-central-1; `tonne reference regions` lists all."


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRecord:
    """One row of regions.csv; grid_zone joins the grid tables, factor_* is what stands in the row itself."""

    provider: str
    region: str
    location: str
    country: str
    grid_zone: str
    pue: float | None
    pue_year: int | None
    pue_scope: str
    pue_basis: str
    wue_l_per_kwh: float | None
    wue_year: int | None
    wue_scope: str
    wue_basis: str
    factor_gco2e_per_kwh: float | None
    factor_year: int | None
    factor_accounting: str
    factor_kind: str
    source: str
    licence: str

    @property
    def id(self) -> str:
        """provider:region."""
        return f"{self.provider}:{self.region}"


def region(query: str) -> Found[RegionRecord]:
    """The region that "provider:region" means, or a bare code that only one operator has.

    Raises:
        UnknownReferenceError: Unknown code, or a code that several operators share; lists provider:region.
    """
    provider, _, code = query.rpartition(":")
    rows = [row for row in _codes().get(squashed(code), ()) if not provider or squashed(provider) == row["provider"]]
    rows = [row for row in rows if row["region"] == code.casefold()] or rows  # us-east-1 and us-east1 are two codes
    if len(rows) == 1:
        record = _record(rows[0])
        note = None if provider else f"{query} is taken to mean {record.id}"
        return Found(record=record, query=query, how="exact" if provider else "words", note=note)
    if rows:
        raise UnknownReferenceError(f"{query!r} is ambiguous in regions: {listed(_ids(rows))}. {ADVICE}")
    raise UnknownReferenceError(
        f"regions has no {query!r}. Close: {listed(_close(provider, code)) or 'none'}. {ADVICE}"
    )


@cache
def _codes() -> dict[str, list[Row]]:
    codes: dict[str, list[Row]] = {}
    for row in table("regions"):
        codes.setdefault(squashed(row["region"]), []).append(row)
    return codes


def _ids(rows: list[Row]) -> list[str]:
    return [f"{row['provider']}:{row['region']}" for row in rows]


def _close(provider: str, code: str) -> list[str]:
    import difflib  # 8 ms that only an error costs

    near = set(difflib.get_close_matches(squashed(code), _codes(), n=8, cutoff=0.5))
    rows = [row for row in table("regions") if squashed(row["region"]) in near or squashed(code) == row["location"]]
    same = [row for row in rows if row["provider"] == squashed(provider)]
    return _ids(same or rows)


def _record(row: Row) -> RegionRecord:
    return RegionRecord(
        provider=row["provider"],
        region=row["region"],
        location=row["location"],
        country=row["country"],
        grid_zone=row["grid_zone"],
        pue=number(row["pue"]),
        pue_year=whole(row["pue_year"]),
        pue_scope=row["pue_scope"],
        pue_basis=row["pue_basis"],
        wue_l_per_kwh=number(row["wue_l_per_kwh"]),
        wue_year=whole(row["wue_year"]),
        wue_scope=row["wue_scope"],
        wue_basis=row["wue_basis"],
        factor_gco2e_per_kwh=number(row["factor_gco2e_per_kwh"]),
        factor_year=whole(row["factor_year"]),
        factor_accounting=row["factor_accounting"],
        factor_kind=row["factor_kind"],
        source=row["source"],
        licence=row["licence"],
    )
