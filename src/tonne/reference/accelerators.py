"""Accelerators: what a chip can do and draw, by vendor's figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.matching import Found, Names, match, names_of
from tonne.reference.table import Row, number, table, whole

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")
ADVICE = "Run `tonne reference accelerators` to see all, or give accelerator_power_w yourself."


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorRecord:
    """One row of accelerators.csv; rates are dense, memory and power are per chip or board as sold."""

    id: str
    vendor: str
    name: str
    year: int | None
    memory_gb: float | None
    memory_type: str
    memory_bandwidth_gb_s: float | None
    peak_dense_tflop_per_s: dict[str, float]
    board_power_limit_w: float | None
    idle_w: float | None
    interconnect: str
    interconnect_gb_s_bidirectional: float | None
    process_nm: float | None
    form_factor: str
    basis: str
    source: str
    note: str


def accelerator(query: str) -> Found[AcceleratorRecord]:
    """The accelerator that a name means, as people or drivers write it.

    Raises:
        UnknownReferenceError: Unknown or ambiguous name.
    """
    found = match(query, _names(), "accelerators", ADVICE)
    return Found(record=_record(_rows()[found.id]), query=query, how=found.how, note=found.note)


@cache
def _rows() -> dict[str, Row]:
    return {row["id"]: row for row in table("accelerators")}


@cache
def _names() -> Names:
    return names_of((row["id"], (row["name"], f"{row['vendor']} {row['name']}")) for row in table("accelerators"))


def _record(row: Row) -> AcceleratorRecord:
    peaks = {p: float(row[f"{p}_tflop_per_s"]) for p in PRECISIONS if row[f"{p}_tflop_per_s"]}
    return AcceleratorRecord(
        id=row["id"],
        vendor=row["vendor"],
        name=row["name"],
        year=whole(row["year"]),
        memory_gb=number(row["memory_gb"]),
        memory_type=row["memory_type"],
        memory_bandwidth_gb_s=number(row["memory_bandwidth_gb_s"]),
        peak_dense_tflop_per_s=peaks,
        board_power_limit_w=number(row["board_power_limit_w"]),
        idle_w=number(row["idle_w"]),
        interconnect=row["interconnect"],
        interconnect_gb_s_bidirectional=number(row["interconnect_gb_s_bidirectional"]),
        process_nm=number(row["process_nm"]),
        form_factor=row["form_factor"],
        basis=row["basis"],
        source=row["source"],
        note=row["note"],
    )
