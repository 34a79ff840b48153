"""The fastest layout that fits, among all that a framework could run; only the search loads NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from tonne.count.fit import largest_fitting_bytes, needed_bytes
from tonne.count.framework import shares_sequence
from tonne.count.layers import stacks
from tonne.count.masks import whole
from tonne.count.memory import memory_per_accelerator
from tonne.count.step import Layout
from tonne.describe.plan import Software
from tonne.reference.batches import batch_line
from tonne.timing.collectives import maximum
from tonne.timing.situation import situation
from tonne.timing.step_time import step_time_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tonne.count.sequence import Sequence
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture
    from tonne.estimate import Number
    from tonne.timing.machine import Machine

    Array = NDArray[np.float64]

LEAST_PROBABILITY = (
    0.5  # that a layout fits, to be chosen; of 222 that ran, 42 % are reckoned to need more than the card has
)
SHARDED_FRAMEWORKS = {"fsdp", "fms-fsdp", "llm-foundry", "torchtitan", "pytorch", "transformers", "maxtext", "levanter"}
SPLIT_FRAMEWORKS = {"megatron-lm", "megatron-bridge", "megatron-deepspeed", "nemo", "transformer-engine"}
MOST_TENSOR, MOST_PIPELINE, MOST_VIRTUAL, MOST_EXPERT, MOST_CONTEXT = 16, 64, 8, 64, 64
MOST_UNEVEN = 1.06  # stages whose fullest has more layers than this multiple of the mean are not tried
MOST_MICRO_TOKENS = 2**18
LONG_SEQUENCE = 16_384  # below, a sequence is not split
RUNNERS_UP = 3
MOST_DOUBLINGS = 40
RECOMPUTED_PARTS = 8  # layers are recomputed by eighths, as many as the memory asks for

Splits = tuple[
    int, int, int, int, int, int, int, int
]  # tensor, pipeline, virtual, context, expert, data, micro, rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a layout is searched for.

    ``capacity_bytes``: what a process can take of the accelerator. ``recomputation`` and ``micro_batch_sequences``:
    held where given.
    """

    architecture: Architecture
    sequence: Sequence
    machine: Machine
    capacity_bytes: float
    accelerators: int
    batch_sequences: int
    precision: str
    software: Software = field(default_factory=Software)
    recomputation: str | None = None
    micro_batch_sequences: int | None = None
    lora: Lora | None = None
    frozen_layers: int = 0

    @property
    def framework(self) -> str:
        """Of the software."""
        return self.software.framework


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutChoice:
    """One layout of a step, its time and what it holds on the fullest accelerator."""

    tensor: int
    pipeline: int
    data: int
    context: int
    expert: int
    virtual_pipeline_stages: int
    micro_batch_sequences: float
    micro_batches: int
    recomputation: str
    recomputed_share: float  # of the layers, where recomputation is full
    sharding: str
    step_time_s: float
    memory_bytes: float

    @property
    def accelerators(self) -> int:
        """Accelerators that it keeps busy."""
        return self.tensor * self.pipeline * self.data * self.context


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFound:
    """The fastest layout, those that come next and split the model otherwise, and how many were tried and fit."""

    chosen: LayoutChoice
    runners_up: tuple[LayoutChoice, ...]
    tried: int
    fitting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Layouts that fit: splits by column, bytes held, share of layers recomputed, and whether zero-3 shards them."""

    columns: Array
    held: Array
    share: Array
    sharded: Array


def most_bytes(w: Wanted) -> float:
    """What a layout may need of the accelerator and still be tried [bytes]."""
    return largest_fitting_bytes(w.capacity_bytes, framework=w.framework, probability=LEAST_PROBABILITY)


def assumed_batch_tokens(accelerators: Number) -> Number:
    """Tokens of a batch where a plan does not say them.

    Equation: B = b (n / n_0)^x, with n = accelerators; b, n_0 and x of assumed_batch.csv: the line through batches that
    sources print for pre-training.

    Args:
        accelerators: That run; may be an array.

    Returns:
        Tokens [token].

    Source: tonne, fitted on throughput.csv and published_runs.csv
    """
    line = batch_line()
    return line.tokens * (accelerators / line.accelerators) ** line.exponent


def assumed_batch_sequences(sequence_length: Number, accelerators: Number) -> Number:
    """Sequences of the assumed batch: the accelerators doubled or halved some times, so that layouts divide it.

    Args:
        sequence_length: Tokens of a sequence [token]; may be an array.
        accelerators: That run; may be an array.

    Returns:
        Sequences, at least one.
    """
    wanted = maximum(1, whole(assumed_batch_tokens(accelerators) / sequence_length))
    batch = accelerators
    for _ in range(MOST_DOUBLINGS):  # written so that arrays pass
        batch = batch * (1 + (batch * math.sqrt(2) <= wanted))
    for _ in range(MOST_DOUBLINGS):
        halved = (batch > 2 * wanted) & (batch % 2 == 0)
        batch = batch // (1 + halved)
    return batch


def fastest_layout(wanted: Wanted, coefficients: Mapping[str, float]) -> LayoutFound | None:
    """The fastest layout that fits, by the time model.

    Args:
        wanted: Model, batch and machine.
        coefficients: Of the time model, by role, for the machine, precision and framework.

    Returns:
        The layout with its runners-up; None where none fits.
    """
    import numpy as np  # noqa: PLC0415 - only the search pays for NumPy

    parts = [_fitting(wanted, sharding) for sharding in shardings(wanted.framework)]
    tried = sum(number for number, _ in parts)
    kept = [found for _, found in parts if found is not None]
    if not any(found.held.size for found in kept):
        return None
    candidates = Candidates(
        columns=np.concatenate([k.columns for k in kept], axis=1),
        held=np.concatenate([k.held for k in kept]),
        share=np.concatenate([k.share for k in kept]),
        sharded=np.concatenate([k.sharded for k in kept]),
    )
    seconds = np.broadcast_to(_seconds(wanted, candidates, coefficients), candidates.held.shape)
    choices = _best(wanted, candidates, seconds)
    return LayoutFound(chosen=choices[0], runners_up=tuple(choices[1:]), tried=tried, fitting=candidates.held.size)


def _fitting(w: Wanted, sharding: str) -> tuple[int, Candidates | None]:
    """How many ways to split the step there are, and those that fit, with as little recomputed as they need."""
    import numpy as np  # noqa: PLC0415

    found = list(_splits(w, sharding))
    if not found:
        return 0, None
    columns = np.array(found, dtype=float).T
    plain = "none" if w.recomputation is None else w.recomputation
    held = np.broadcast_to(_memory_bytes(w, columns, sharding, plain), len(found))
    share = np.full(len(found), float(plain == "full"))
    if w.recomputation is None:
        least = np.broadcast_to(_memory_bytes(w, columns, sharding, "full"), len(found))
        over = np.maximum(held - most_bytes(w), 0.0)
        share = np.ceil(over / np.maximum(held - least, 1.0) * RECOMPUTED_PARTS) / RECOMPUTED_PARTS
        share = np.minimum(share, 1.0)
        held = held - share * (held - least)
    inside = held <= most_bytes(w)
    sharded = np.full(int(inside.sum()), float(sharding == "zero-3"))
    kept = Candidates(columns=columns[:, inside], held=held[inside], share=share[inside], sharded=sharded)
    return len(found), kept


def shardings(framework: str) -> tuple[str, ...]:
    """How a framework shards over the copies: FSDP and its like all of it, Megatron's the optimizer alone."""
    name = framework.lower()
    return ("zero-3",) if name in SHARDED_FRAMEWORKS else ("zero-1",) if name in SPLIT_FRAMEWORKS else (
        "zero-1", "zero-3")  # fmt: skip


def _splits(w: Wanted, sharding: str) -> Iterator[Splits]:
    """Every way to split the step that the model, the batch and the accelerators allow."""
    sharded_only = w.framework.lower() in SHARDED_FRAMEWORKS
    a = w.architecture
    layers = sum(count for count, _ in stacks(a))
    tensors = [1] if sharded_only else [t for t in _doubled(MOST_TENSOR) if _splits_heads(a, t, w.machine.domain)]
    whole = sharded_only or sharding == "zero-3" or a.kind == "encoder-decoder"
    pipelines = [1] if whole else [p for p in range(1, MOST_PIPELINE + 1) if even(layers, p)]
    longest = max(w.sequence.decoder_length, w.sequence.encoder_length)
    contexts = [c for c in _doubled(MOST_CONTEXT) if c == 1 or longest >= LONG_SEQUENCE / 2 * c]
    for t, p, c in product(tensors, pipelines, contexts):
        most = w.accelerators // (t * p * c)
        for d in sorted({min(most, w.batch_sequences), _divisor(w.batch_sequences, most)} - {0}):
            for e in _experts(a, d * c):
                for m, rounds in _micro_batches(w, d):
                    for v in _virtual(layers, p, rounds):
                        yield t, p, v, c, e, d, m, rounds


def _splits_heads(a: Architecture, t: int, domain: float) -> bool:
    """Whether tensor ranks share the heads evenly, inside one domain of fast links."""
    return t <= domain and a.heads % t == 0 and (a.kv_heads % t == 0 or t % a.kv_heads == 0)


def even(layers: int, stages: int) -> bool:
    """Whether the fullest of some stages has hardly more layers than the mean."""
    fullest = -(-layers // stages)
    return fullest * stages <= MOST_UNEVEN * layers


def _virtual(layers: int, p: int, rounds: int) -> Iterator[int]:
    """Virtual stages: of a pipeline whose micro-batches come in whole rounds through it."""
    yield 1
    if p > 1 and rounds % p == 0:
        yield from (v for v in _doubled(MOST_VIRTUAL) if v > 1 and p * v <= layers and even(layers, p * v))


def _experts(a: Architecture, copies: int) -> list[int]:
    """Accelerators that may share the experts, inside the copies."""
    if a.experts is None:
        return [1]
    return [e for e in _doubled(MOST_EXPERT) if a.experts.count % e == 0 and copies % e == 0]


def _micro_batches(w: Wanted, d: int) -> list[tuple[int, int]]:
    """(sequences of a micro-batch, micro-batches): the last one may be padded, and takes as long as the others."""
    own = -(-w.batch_sequences // d)
    given = w.micro_batch_sequences
    sizes = [m for m in _doubled(max(1, MOST_MICRO_TOKENS // w.sequence.tokens)) if m <= own]
    sizes = sizes if given is None else [min(given, own)]
    return [(m, -(-own // m)) for m in sizes]


def _doubled(most: float) -> list[int]:
    """1, 2, 4 and so on."""
    return [1 << i for i in range(int(most).bit_length()) if 1 << i <= most]


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most so large; 0 where there is none."""
    return next((d for d in range(min(number, most), 0, -1) if number % d == 0), 0)


def _memory_bytes(w: Wanted, columns: Array, sharding: str, recomputation: str) -> Number:
    t, p, v, c, e, d, m, rounds = columns
    memory = memory_per_accelerator(
        w.architecture,
        sequence_length=w.sequence.tokens,
        micro_batch_sequences=m,
        precision=w.precision,
        recomputation=recomputation,
        tensor=t,
        pipeline=p,
        data=d,
        context=c,
        expert=e,
        sharding=sharding,
        flash_attention=w.software.flash_attention,
        lora=w.lora,
        frozen_layers=w.frozen_layers,
        virtual_pipeline_stages=v,
        micro_batches=rounds,
        framework=w.framework,
    )
    return needed_bytes(memory)


def _seconds(w: Wanted, candidates: Candidates, coefficients: Mapping[str, float]) -> Number:
    t, p, v, c, e, d, m, rounds = candidates.columns
    layout = Layout(
        tensor=t,
        pipeline=p,
        data=d,
        context=c,
        expert=e,
        virtual_pipeline_stages=v,
        micro_batch_sequences=m,
        micro_batches=rounds,
        zero_3=candidates.sharded,
        recompute_all=candidates.share,
        recompute_scores=float(w.recomputation == "selective"),
        weight_gradients=float(w.lora is None),
        whole_sequence=float(not shares_sequence(w.framework)),
    )
    figures = situation(
        w.architecture,
        w.sequence,
        layout,
        w.machine,
        precision=w.precision,
        software=w.software,
    )
    return step_time_s(figures, coefficients)


def _best(w: Wanted, candidates: Candidates, seconds: Array) -> list[LayoutChoice]:
    """The fastest, and the fastest of those that split the model otherwise."""
    import numpy as np  # noqa: PLC0415

    found: dict[tuple[object, ...], LayoutChoice] = {}
    for i in np.argsort(seconds, kind="stable").tolist():
        t, p, v, c, e, d, m, rounds = (int(x) for x in candidates.columns[:, i])
        share = float(candidates.share[i])
        sharding = "zero-3" if candidates.sharded[i] else "zero-1"
        key = (t, p, c, e, sharding)
        if key not in found:
            found[key] = LayoutChoice(
                tensor=t,
                pipeline=p,
                data=d,
                context=c,
                expert=e,
                virtual_pipeline_stages=v,
                micro_batch_sequences=m,
                micro_batches=rounds,
                recomputation=w.recomputation or ("full" if share else "none"),
                recomputed_share=share,
                sharding=sharding,
                step_time_s=float(seconds[i]),
                memory_bytes=float(candidates.held[i]),
            )
        if len(found) > RUNNERS_UP:
            break
    return list(found.values())
