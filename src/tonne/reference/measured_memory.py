"""Published readings of an accelerator's memory during training, each with the layout that was run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from tonne.reference.table import Row, table, whole

TABLE, RESIDUALS = "measured_memory", "memory_residuals"
Quantity = Literal["allocated", "reserved", "in use"]  # tensors; the allocator's blocks; all that the driver shows


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """One reading, of the fullest accelerator; ``row`` names the row of throughput.csv that it belongs to."""

    id: str
    row: str
    model: str
    architecture: str
    layers: int | None
    width: int | None
    heads: int | None
    dense_layers: int | None
    accelerator: str
    precision: str
    sequence_length: int
    micro_batch_sequences: int
    micro_batches: int
    tensor: int
    pipeline: int
    virtual_pipeline_stages: int
    data: int
    context: int
    expert: int
    sharding: str
    recomputation: str
    flash_attention: bool
    framework: str
    fused_loss: bool
    quantity: Quantity
    gib: float
    source: str
    locator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryResidual:
    """A reading beside what was predicted by coefficients that saw no row of its model, or of its source [GiB].

    ``low_gib`` and ``high_gib``: the 90 % interval around ``known_gib``, from the residuals of the other models.
    """

    id: str
    source: str
    model: str
    quantity: Quantity
    recomputation: str
    measured_gib: float
    known_gib: float
    unseen_gib: float
    low_gib: float
    high_gib: float


@cache
def memory_readings() -> tuple[MemoryReading, ...]:
    """Every reading of the table."""
    return tuple(_reading(row) for row in table(TABLE))


@cache
def memory_residuals() -> tuple[MemoryResidual, ...]:
    """The readings and their predictions, as the calibration left them."""
    words = {"id", "source", "model", "quantity", "recomputation"}
    return tuple(
        MemoryResidual(**{name: cell if name in words else float(cell) for name, cell in row.items()})  # type: ignore[arg-type]
        for row in table(RESIDUALS)
    )


def _reading(row: Row) -> MemoryReading:
    layout = ("tensor", "pipeline", "virtual_pipeline_stages", "data", "context", "expert")
    counts = (*layout, "sequence_length", "micro_batch_sequences", "micro_batches")
    optional = ("layers", "width", "heads", "dense_layers")
    flags = ("flash_attention", "fused_loss")
    fields: dict[str, object] = dict(row)
    fields.update({name: int(row[name]) for name in counts})
    fields.update({name: whole(row[name]) for name in optional})
    fields.update({name: row[name] == "y" for name in flags})
    fields["gib"] = float(row["gib"])
    return MemoryReading(**fields)  # type: ignore[arg-type]  # the cells of its own columns
