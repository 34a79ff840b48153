"""Where numbers and equations are from: the keys that docstrings and tables cite."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.errors import UnknownReferenceError
from tonne.reference.matching import listed
from tonne.reference.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One row of sources.csv."""

    key: str
    title: str
    year: int
    url: str
    licence: str
    locator: str


def source(key: str) -> SourceRecord:
    """The source that a citation key names.

    Raises:
        UnknownReferenceError: No source has this key.
    """
    for row in table("sources"):
        if row["key"] == key:
            return SourceRecord(**{**row, "year": int(row["year"])})  # type: ignore[arg-type]
    raise UnknownReferenceError(f"sources.csv has no {key!r}. Known: {listed(_keys())}. Add a row for a new source.")


def source_keys_at(url: str) -> frozenset[str]:
    """Keys of the sources at an address: what to leave out when a run published there is to be forecast."""
    of_sources = {row["key"] for row in table("sources") if row["url"] == url}
    return frozenset(of_sources | {row["source_key"] for row in table("power_evidence") if row["url"] == url})


def _keys() -> list[str]:
    return sorted(row["key"] for row in table("sources"))
