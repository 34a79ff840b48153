"""Processors: cores and thermal design power."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tonne.reference.matching import Found, Names, match, names_of
from tonne.reference.table import Row, number, table, whole

ADVICE = "Run `tonne reference cpus NAME` to see what is known."
PRINTED_BY_KERNELS = re.compile(r"\((?:R|TM|C)\)|\bCPU\b|@.*$|\b\d+-Core Processor\b|\bProcessor\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRecord:
    """One row of cpus.csv."""

    vendor: str
    model: str
    segment: str
    cores: int | None
    threads: int | None
    base_ghz: float | None
    tdp_w: float | None
    year: int | None
    basis: str
    source: str
    licence: str


def cpu(query: str) -> Found[CpuRecord]:
    """The processor that a name means, also as /proc/cpuinfo prints it.

    Raises:
        UnknownReferenceError: Unknown or ambiguous name.
    """
    found = match(PRINTED_BY_KERNELS.sub(" ", query), _names(), "cpus", ADVICE)
    return Found(record=_record(_rows()[found.id]), query=query, how=found.how, note=found.note)


@cache
def _rows() -> dict[str, Row]:
    return {row["model"]: row for row in table("cpus")}


@cache
def _names() -> Names:
    return names_of((row["model"], (f"{row['vendor']} {row['model']}",)) for row in table("cpus"))


def _record(row: Row) -> CpuRecord:
    return CpuRecord(
        vendor=row["vendor"],
        model=row["model"],
        segment=row["segment"],
        cores=whole(row["cores"]),
        threads=whole(row["threads"]),
        base_ghz=number(row["base_ghz"]),
        tdp_w=number(row["tdp_w"]),
        year=whole(row["year"]),
        basis=row["basis"],
        source=row["source"],
        licence=row["licence"],
    )
