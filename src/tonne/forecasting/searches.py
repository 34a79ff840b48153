"""The layout of a plan that names none: searched for once for each size, and what to say of it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tonne.estimate import Number
from tonne.reference.families import coefficients_of
from tonne.timing.search import LayoutChoice, LayoutFound, Wanted, fastest_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SEARCHES = 32  # of one sweep; above, sizes are searched at powers of two
SIZES = ("accelerators", "batch_sequences", "micro_batch_sequences")


@lru_cache(maxsize=1024)
def found_layout(wanted: Wanted, accelerator_id: str) -> LayoutFound | None:
    """The fastest layout by the shipped coefficients; None where none fits."""
    return fastest_layout(wanted, coefficients_of(accelerator_id, wanted.precision, wanted.framework).values)


def layout_notes(found: LayoutFound, wanted: Wanted) -> tuple[str, ...]:
    """What was found, beside what, and what stands idle."""
    best = found.chosen
    text = f"layout: {layout_text(best)}, found by search among {found.tried:,}, of which {found.fitting:,} fit"
    others = [f"{layout_text(r, short=True)} (+{r.step_time_s / best.step_time_s - 1:.1%})" for r in found.runners_up]
    notes = [f"{text}; runners-up: {', '.join(others)}." if others else f"{text}."]
    idle = wanted.accelerators - best.accelerators
    if idle:
        notes.append(f"{idle:,} of {wanted.accelerators:,} accelerators stand idle in the fastest layout that fits.")
    return tuple(notes)


def layout_text(layout: LayoutChoice, *, short: bool = False) -> str:
    """A layout in words: what is 1 is left out, but for data."""
    parts = [("tensor", layout.tensor), ("pipeline", layout.pipeline), ("context", layout.context)]
    named = [f"{name} {number}" for name, number in parts if number > 1] + [f"data {layout.data}"]
    text = " x ".join(named)
    if layout.expert > 1:
        text += f", expert {layout.expert}"
    if short:
        return f"{text}, {layout.sharding}"
    if layout.virtual_pipeline_stages > 1:
        text += f", {layout.virtual_pipeline_stages} virtual stages"
    micro = f"micro-batch {layout.micro_batch_sequences:g} x {layout.micro_batches}"
    partly = f" of {layout.recomputed_share:.0%} of the layers" if 0 < layout.recomputed_share < 1 else ""
    return f"{text}, {micro}, recomputation {layout.recomputation}{partly}, {layout.sharding}"


def searched_many(wanted: Wanted, accelerator_id: str) -> NDArray[Any] | None:
    """Times of the steps of many sizes, each with a layout of its own [s]; None where one has none that fits.

    Of more than ``MOST_SEARCHES`` sizes those at powers of two are searched; between them, the time of a sequence and
    accelerator is interpolated in logarithms.
    """
    import numpy as np  # noqa: PLC0415 - arrays are NumPy's already

    sizes = np.stack(np.broadcast_arrays(*_sizes(wanted))).astype(float)
    distinct, which = _distinct(sizes)
    if len(distinct) <= MOST_SEARCHES:
        times = [_time_s(wanted, tuple(size), accelerator_id) for size in distinct]
        return None if None in times else np.array(times, dtype=float)[which]
    return _interpolated(wanted, sizes, accelerator_id)


def _distinct(sizes: NDArray[Any]) -> tuple[list[list[float]], NDArray[Any]]:
    """The distinct columns of some sizes, and which of them each column is."""
    import numpy as np  # noqa: PLC0415

    code = np.zeros(sizes.shape[1], dtype=np.int64)
    for row in sizes:
        if row[0] != row[-1] or (row != row[0]).any():
            values, own = np.unique(row, return_inverse=True)
            code = np.unique(code * len(values) + own, return_inverse=True)[1]
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    return sizes[:, first].T.tolist(), which


def _sizes(w: Wanted) -> tuple[Number, ...]:
    """What a sweep may change: accelerators, batch, micro-batch (0 where free), lengths, network, adapters' rank."""
    s = w.sequence
    micro = 0 if w.micro_batch_sequences is None else w.micro_batch_sequences
    rank = 0 if w.lora is None else w.lora.rank
    lengths = (s.encoder_length, s.decoder_length, s.predicted)
    return w.accelerators, w.batch_sequences, micro, *lengths, w.machine.network_bytes_per_s, rank


def _time_s(wanted: Wanted, sizes: tuple[float, ...], accelerator_id: str) -> float | None:
    """Time of the fastest step of one size [s]."""
    n, batch, micro, source, target, predicted = (int(x) for x in sizes[:6])
    sequence = replace(wanted.sequence, encoder_length=source, decoder_length=target, predicted=predicted)
    one = replace(
        wanted,
        sequence=sequence,
        machine=replace(wanted.machine, network_bytes_per_s=sizes[6]),
        accelerators=n,
        batch_sequences=batch,
        micro_batch_sequences=micro or None,
        lora=None if wanted.lora is None else wanted.lora.model_copy(update={"rank": int(sizes[7])}),
    )
    found = found_layout(one, accelerator_id)
    return None if found is None else found.chosen.step_time_s


def _interpolated(wanted: Wanted, sizes: NDArray[Any], accelerator_id: str) -> NDArray[Any] | None:
    """Times between the powers of two around the accelerators; the other sizes at the nearest power of two."""
    import numpy as np  # noqa: PLC0415

    n, batch = sizes[0], sizes[1]
    lower = np.exp2(np.floor(np.log2(n)))
    others = np.where(sizes[2:6] > 0, np.exp2(np.round(np.log2(np.maximum(sizes[2:6], 1)))), 0.0)
    one_batch = bool((batch == batch[0]).all())
    ends = []
    for near in (lower, 2 * lower):  # of batches that differ, the sequences of one accelerator stay as they are
        nearby = batch if one_batch else np.exp2(np.round(np.log2(np.maximum(batch / n * near, 1))))
        points, which = _distinct(np.stack([near, nearby, *others, *sizes[6:]]))
        times = [_time_s(wanted, tuple(point), accelerator_id) for point in points]
        each = [math.nan if t is None else t / p[1] * p[0] for t, p in zip(times, points, strict=True)]
        ends.append(np.log(np.array(each))[which])
    weight = np.log2(n / lower)
    low = np.where(np.isnan(ends[0]), ends[1], ends[0])  # a power of two below that fits nothing takes that above
    per_sequence = np.exp((1 - weight) * low + weight * ends[1])
    found: NDArray[Any] = per_sequence * batch / n
    return None if np.isnan(found).any() else found
