"""Bytes that training holds on one accelerator, and inference in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.activations import feed_forward_states, layer_activation_bytes
from tonne.count.finetuning import Learning
from tonne.count.fit import overhead_bytes
from tonne.count.flops import full_layers
from tonne.count.framework import Habits, habits_of
from tonne.count.layers import stacks
from tonne.count.masks import minimum
from tonne.count.parameters import parameters
from tonne.count.stage_memory import FULL_PRECISION, SIXTEEN_BIT, THIRTY_TWO_BIT, Held, fullest, stage_parts
from tonne.count.stages import layer_numbers, stages_to_try
from tonne.estimate import Estimate

if TYPE_CHECKING:
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture

__all__ = [
    "Memory",
    "cached_numbers",
    "feed_forward_states",
    "inference_memory_bytes",
    "layer_activation_bytes",
    "memory_per_accelerator",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes allocated on the fullest accelerator during training, at the peak.

    ``overhead_bytes`` stands beside the total: the allocator's fragments, the driver's context, buffers of messages.
    ``needed`` is the sum of both with its 90 % interval [bytes]; with ``capacity_bytes`` and ``fit_probability`` it is
    set by a forecast.
    """

    weights_bytes: float
    gradients_bytes: float
    optimizer_bytes: float
    activations_bytes: float
    logits_bytes: float
    total_bytes: float
    layout: str
    working_bytes: float = 0.0
    overhead_bytes: float = 0.0
    worst_stage: int = 0
    needed: Estimate | None = None
    capacity_bytes: float | None = None
    fit_probability: float | None = None


def memory_per_accelerator(  # noqa: PLR0913 - the fields of [training], [parallelism] and [software], by name
    architecture: Architecture,
    *,
    sequence_length: int,
    micro_batch_sequences: int = 1,
    precision: str = "bf16",
    recomputation: str = "none",
    tensor: int = 1,
    pipeline: int = 1,
    data: int = 1,
    context: int = 1,
    expert: int = 1,
    sharding: str = "zero-1",
    flash_attention: bool = True,
    lora: Lora | None = None,
    frozen_layers: int = 0,
    virtual_pipeline_stages: int = 1,
    micro_batches: int | None = None,
    framework: str = "unknown",
    habits: Habits | None = None,
    sequence: bool | None = None,
) -> Memory:
    """Memory of the accelerator in the fullest stage of the pipeline. Layouts and micro-batches may be arrays.

    Args:
        architecture: Shape of the model.
        sequence_length: Tokens of a sequence, source plus target for an encoder-decoder [token].
        micro_batch_sequences: Sequences of one micro-batch.
        precision: As in a plan: fp32 and tf32 hold 4 bytes a number, the others 2 (the masters are 4 everywhere).
        recomputation: ``none``, ``selective`` (not the scores; in PyTorch's own stacks every second product) or
            ``full`` (a layer's input alone is kept).
        tensor: Accelerators that share each matrix.
        pipeline: Stages.
        data: Copies of the model.
        context: Accelerators that share each sequence.
        expert: Accelerators that share the experts.
        sharding: ``zero-1`` splits the optimizer's state over ``data``, ``zero-2`` gradients too, ``zero-3`` weights.
        flash_attention: The scores are never stored.
        lora: Low-rank adapters beside a frozen model, split as the linears they stand beside.
        frozen_layers: First layers that do not learn, nor do the embeddings; they keep nothing.
        virtual_pipeline_stages: Chunks of layers that each stage has, in turn with the others.
        micro_batches: Of one step; left out: at least as many as the pipeline takes.
        framework: As in a plan; says how gradients are summed and the loss is computed.
        habits: The same, said outright.
        sequence: Tensor ranks share the sequence between the matrices; left out: as the framework does.

    Returns:
        Bytes by what they hold [bytes]; ``total_bytes`` without ``overhead_bytes``.

    Source: korthikanti2022recomputation, sections 4 and 5.
    """
    step = Held(
        architecture=architecture,
        numbers=layer_numbers(architecture),
        habits=habits or habits_of(framework, precision, sequence=sequence),
        learning=Learning(lora=lora, frozen_layers=frozen_layers),
        width_bytes=THIRTY_TWO_BIT if precision in FULL_PRECISION else SIXTEEN_BIT,
        sequence_length=sequence_length,
        tokens=sequence_length * micro_batch_sequences / context,
        recomputation=recomputation,
        scores=not flash_attention and recomputation != "selective",
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        context=context,
        expert=expert,
        sharding=sharding,
        virtual_pipeline_stages=virtual_pipeline_stages,
        micro_batches=micro_batches,
    )
    parts = fullest([stage_parts(step, index) for index in stages_to_try(step.numbers, pipeline)])
    worst: int = parts.pop("index")  # type: ignore[assignment]  # an index, among sizes
    return Memory(
        weights_bytes=parts["weights"],
        gradients_bytes=parts["gradients"],
        optimizer_bytes=parts["optimizer"],
        activations_bytes=parts["activations"],
        logits_bytes=parts["logits"],
        working_bytes=parts["working"],
        total_bytes=sum(parts.values()),
        overhead_bytes=overhead_bytes(parts["activations"] + parts["working"], framework),
        worst_stage=worst,
        layout=f"tensor {tensor} x pipeline {pipeline} x data {data} x context {context}, expert {expert}, {sharding}",
    )


def inference_memory_bytes(
    architecture: Architecture, *, sequence_length: int, sequences: int = 1, precision: str = "bf16"
) -> float:
    """Bytes of the weights and of the keys and values kept for every token, to run the model.

    Args:
        architecture: Shape of the model.
        sequence_length: Tokens of a sequence [token].
        sequences: Sequences served at a time.
        precision: fp32 and tf32 hold 4 bytes a number, fp8 1, the others 2.

    Returns:
        Bytes in all [bytes]. Activations and the allocator's overhead are not included.
    """
    a = architecture
    width_bytes = 1 if precision == "fp8" else THIRTY_TWO_BIT if precision in FULL_PRECISION else SIXTEEN_BIT
    cached = 0 if a.kind == "encoder" else cached_numbers(a, sequence_length)
    return width_bytes * (parameters(a) + sequences * cached)


def cached_numbers(architecture: Architecture, sequence_length: int, source_length: int | None = None) -> int:
    """Numbers of keys and values (or of the latent vectors) that the decoder keeps of one sequence.

    Args:
        architecture: Shape of the model; a layer with a window keeps what lies in it.
        sequence_length: Tokens that the decoder has seen [token].
        source_length: Tokens of an encoder-decoder's source; left out: as many [token].
    """
    a, latent = architecture, architecture.latent_attention
    layers, cross = stacks(a)[-1]
    if latent is not None:
        return layers * (latent.kv_rank + latent.rotary_width) * sequence_length
    full = layers if a.attention_window is None else full_layers(a, layers)
    seen = full * sequence_length
    if a.attention_window is not None:
        seen = seen + (layers - full) * minimum(a.attention_window, sequence_length)
    source = sequence_length if source_length is None else source_length
    return 2 * a.kv_heads * a.head_width * (seen + cross * layers * source)
