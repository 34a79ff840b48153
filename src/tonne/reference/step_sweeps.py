"""Published sweeps that are shown apart: which rows they are, and what another tool says of its own error on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from tonne.reference.step_residuals import Stack, StepResidual
from tonne.reference.table import table

TABLE = "step_sweeps"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRecord:
    """One sweep: the rows with these fields (empty: any), by whose prediction, and what names a row of it.

    ``peer_mean``: mean error that another tool's authors print for the same source.
    """

    name: str
    source: str
    model: str
    family: str
    accelerators: int | None
    stack: Stack
    label: str
    peer: str
    peer_mean: float | None
    note: str

    def holds(self, row: StepResidual) -> bool:
        """Whether a row is of the sweep."""
        same = row.source == self.source and row.model in {self.model or row.model}
        at = row.family in {self.family or row.family} and row.accelerators in {self.accelerators or row.accelerators}
        return same and at


def sweep_records() -> tuple[SweepRecord, ...]:
    """Every sweep of the table."""
    return tuple(_record(row) for row in table(TABLE))


def _record(row: Mapping[str, str]) -> SweepRecord:
    return SweepRecord(
        name=row["name"],
        source=row["source"],
        model=row["model"],
        family=row["family"],
        accelerators=int(row["accelerators"]) if row["accelerators"] else None,
        stack=cast("Stack", row["stack"]),
        label=row["label"],
        peer=row["peer"],
        peer_mean=float(row["peer_mean"]) if row["peer_mean"] else None,
        note=row["note"],
    )
