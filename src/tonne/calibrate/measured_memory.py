"""Fits what training takes beyond what it allocates on published readings of memory, and how far that is off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tonne.count.framework import habits_of
from tonne.count.memory import Memory, memory_per_accelerator
from tonne.describe.architecture import Architecture
from tonne.describe.presets import preset_fields
from tonne.reference.measured_memory import MemoryReading, MemoryResidual
from tonne.reference.memory_model import FRAGMENTS, GIB, HALF_WIDTH, RUNTIME, shipped_memory_model

NOMINAL = 0.90
OWN_RUNTIME = "megatron-deepspeed"  # the stack whose driver was read
SHARES = np.linspace(0.0, 0.6, 121)
RUNTIMES = np.linspace(0.5, 15.0, 146)  # GiB, from a bare context
OUTLIER = 0.05  # in logarithms: beyond, errors count linearly


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A reading with the bytes counted: allocated, and those of them that come and go in many blocks [GiB]."""

    reading: MemoryReading
    allocated_gib: float
    living_gib: float


def counted(reading: MemoryReading) -> Counted:
    """The memory of a reading's layout, by the count."""
    memory = memory_of(reading)
    living = memory.activations_bytes + memory.working_bytes
    return Counted(reading=reading, allocated_gib=memory.total_bytes / GIB, living_gib=living / GIB)


def memory_of(reading: MemoryReading) -> Memory:
    """The count of what a reading's layout holds."""
    r = reading
    return memory_per_accelerator(
        architecture_of_reading(r),
        sequence_length=r.sequence_length,
        micro_batch_sequences=r.micro_batch_sequences,
        precision=r.precision,
        recomputation=r.recomputation,
        tensor=r.tensor,
        pipeline=r.pipeline,
        data=r.data,
        context=r.context,
        expert=r.expert,
        sharding=r.sharding,
        flash_attention=r.flash_attention,
        virtual_pipeline_stages=r.virtual_pipeline_stages,
        micro_batches=r.micro_batches,
        framework=r.framework,
        habits=habits_of(r.framework, r.precision, fused_loss=r.fused_loss),
    )


def architecture_of_reading(reading: MemoryReading) -> Architecture:
    """The preset of a reading, with the layers and widths that were run."""
    r, fields = reading, preset_fields(reading.architecture)
    fields.pop("multi_token_layers", None)
    if r.width is not None:
        fields.update(width=r.width, heads=r.heads, feed_forward_width=4 * r.width)
        for follows in ("kv_heads", "head_width"):
            fields.pop(follows, None)
    if r.layers is not None:
        fields["layers"] = r.layers
    if r.dense_layers is not None:
        fields["experts"] = {**fields["experts"], "dense_layers": r.dense_layers}
    return Architecture.model_validate(fields)


def fitted(rows: Sequence[Counted]) -> dict[str, float]:
    """fragment_share, and runtime_gib of the stack whose driver was read, by robust least squares in logarithms.

    Equation: min over g, R of sum_i w_i h(ln(M_i / (A_i + g D_i + R_i))), with M = reading, A = allocated,
    D = living, h = Huber's loss, w = 1 / readings of the model; R = 0 of readings of the allocator.

    Returns:
        Coefficients by name; the published runtime where no reading of the driver is among the rows.
    """
    used = [row for row in rows if row.reading.quantity != "allocated"]
    driver = np.array([row.reading.quantity == "in use" for row in used], dtype=float)
    measured = np.array([row.reading.gib for row in used])
    allocated = np.array([row.allocated_gib for row in used])
    living = np.array([row.living_gib for row in used])
    models = [row.reading.model for row in used]
    weights = np.array([1.0 / models.count(model) for model in models])
    shares, runtimes = SHARES[:, None, None], RUNTIMES[None, :, None]
    errors = np.abs(np.log(measured / (allocated + shares * living + runtimes * driver)))
    loss = np.where(errors < OUTLIER, errors**2, OUTLIER * (2 * errors - OUTLIER)) @ weights
    share, runtime = np.unravel_index(int(np.argmin(loss)), loss.shape)
    found = {FRAGMENTS: float(SHARES[share])}
    if driver.any():
        found[f"{RUNTIME}.{OWN_RUNTIME}"] = float(RUNTIMES[runtime])
    return found


def predicted_gib(row: Counted, coefficients: Mapping[str, float]) -> float:
    """What a reading should show [GiB]."""
    quantity, default = row.reading.quantity, shipped_memory_model().coefficients[RUNTIME]
    if quantity == "allocated":
        return row.allocated_gib
    reserved = row.allocated_gib + coefficients[FRAGMENTS] * row.living_gib
    if quantity == "reserved":
        return reserved
    return reserved + coefficients.get(f"{RUNTIME}.{row.reading.framework}", default)


def cross_validated(rows: Sequence[Counted]) -> list[MemoryResidual]:
    """Each reading, predicted by a fit without its model and by one without its source, with its interval."""
    known = _left_out(rows, [row.reading.model for row in rows])
    unseen = _left_out(rows, [row.reading.source for row in rows])
    found = []
    for row, one, other in zip(rows, known, unseen, strict=True):
        r = row.reading
        width = half_width([(x, y) for x, y in zip(rows, known, strict=True) if x.reading.model != r.model], r.quantity)
        found.append(
            MemoryResidual(
                id=r.id,
                source=r.source,
                model=r.model,
                quantity=r.quantity,
                recomputation=r.recomputation,
                measured_gib=r.gib,
                known_gib=one,
                unseen_gib=other,
                low_gib=one * math.exp(-width),
                high_gib=one * math.exp(width),
            )
        )
    return found


def spreads(rows: Sequence[Counted], residuals: Sequence[MemoryResidual]) -> dict[str, float]:
    """Half-widths of the 90 % interval of what is needed, for a known and for an unseen stack."""
    known = half_width([(row, r.known_gib) for row, r in zip(rows, residuals, strict=True)], "in use")
    unseen = half_width([(row, r.unseen_gib) for row, r in zip(rows, residuals, strict=True)], "in use")
    return {f"{HALF_WIDTH}.known": known, f"{HALF_WIDTH}.unseen": unseen}


def half_width(pairs: Sequence[tuple[Counted, float]], quantity: str) -> float:
    """Half-width in logarithms that holds 90 % of readings yet unseen, of like quantity.

    Equation: w = the ceil(0.9 (n + 1))-th smallest of |ln(reading / prediction)|.

    Source: angelopoulos2023conformal, section 1.
    """
    allocated = quantity == "allocated"
    errors = sorted(
        abs(math.log(row.reading.gib / value))
        for row, value in pairs
        if (row.reading.quantity == "allocated") == allocated
    )
    return errors[min(math.ceil(NOMINAL * (len(errors) + 1)), len(errors)) - 1]


def _left_out(rows: Sequence[Counted], groups: Sequence[str]) -> list[float]:
    """What each reading should show, by a fit without its group."""
    found = [0.0] * len(rows)
    for group in dict.fromkeys(groups):
        fold = fitted([row for row, own in zip(rows, groups, strict=True) if own != group])
        for place, (row, own) in enumerate(zip(rows, groups, strict=True)):
            if own == group:
                found[place] = predicted_gib(row, fold)
    return found
