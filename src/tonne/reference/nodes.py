"""Nodes: servers as sold or rented, with their accelerators, power and prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.matching import Found, Names, match, names_of
from tonne.reference.table import Row, number, table, whole

ADVICE = "Run `tonne reference nodes` to see all, or describe the node by its accelerators."


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One row of nodes.csv; *_kind says published, measured, model or estimate."""

    id: str
    name: str
    provider: str
    year: int | None
    accelerator_id: str
    accelerators: int | None
    cpu_model: str
    cpus: float | None
    cpu_cores: float | None
    ram_gb: float | None
    nic_gbit_per_s: float | None
    intra_node: str
    max_system_power_w: float | None
    max_power_kind: str
    training_power_w: float | None
    training_power_kind: str
    idle_power_w: float | None
    idle_power_kind: str
    usd_per_h: float | None
    usd_per_h_date: str
    basis: str
    source: str
    note: str


def node(query: str) -> Found[NodeRecord]:
    """The node that a name means.

    Raises:
        UnknownReferenceError: Unknown or ambiguous name.
    """
    found = match(query, _names(), "nodes", ADVICE)
    record = next(_record(row) for row in table("nodes") if row["id"] == found.id)
    return Found(record=record, query=query, how=found.how, note=found.note)


def nodes_with(accelerator_id: str) -> tuple[NodeRecord, ...]:
    """All nodes that hold an accelerator, in the table's order; empty when there are none."""
    return tuple(_record(row) for row in table("nodes") if row["accelerator_id"] == accelerator_id)


@cache
def _names() -> Names:
    return names_of((row["id"], (row["name"],)) for row in table("nodes"))


def _record(row: Row) -> NodeRecord:
    return NodeRecord(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        year=whole(row["year"]),
        accelerator_id=row["accelerator_id"],
        accelerators=whole(row["accelerators"]),
        cpu_model=row["cpu_model"],
        cpus=number(row["cpus"]),
        cpu_cores=number(row["cpu_cores"]),
        ram_gb=number(row["ram_gb"]),
        nic_gbit_per_s=number(row["nic_gbit_per_s"]),
        intra_node=row["intra_node"],
        max_system_power_w=number(row["max_system_power_w"]),
        max_power_kind=row["max_power_kind"],
        training_power_w=number(row["training_power_w"]),
        training_power_kind=row["training_power_kind"],
        idle_power_w=number(row["idle_power_w"]),
        idle_power_kind=row["idle_power_kind"],
        usd_per_h=number(row["usd_per_h"]),
        usd_per_h_date=row["usd_per_h_date"],
        basis=row["basis"],
        source=row["source"],
        note=row["note"],
    )
