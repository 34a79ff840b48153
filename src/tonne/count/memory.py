"""Bytes that training holds on one accelerator, and inference in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.adapters import adapter_parts
from tonne.count.finetuning import Learning, learned_numbers
from tonne.count.flops import full_layers
from tonne.count.layers import (
    expert_layers,
    has_cross_attention,
    key_width,
    mean_over_layers,
    shared_expert_width,
    stack_shape,
    stacks,
    value_width,
)
from tonne.count.masks import minimum
from tonne.count.parameters import output_rows, parameter_parts, parameters

if TYPE_CHECKING:
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture

SIXTEEN_BIT = 2
THIRTY_TWO_BIT = 4
MOMENTS = 2  # Adam keeps two
FULL_PRECISION = ("fp32", "tf32")
GATHERED_LAYERS = 2  # zero-3 holds the layer at work and the next one whole
SHARDING_LEVEL = {"none": 0, "zero-1": 1, "zero-2": 2, "zero-3": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the fullest accelerator during training. The allocator's own overhead is not included."""

    weights_bytes: float
    gradients_bytes: float
    optimizer_bytes: float
    activations_bytes: float
    logits_bytes: float
    total_bytes: float
    layout: str


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
) -> Memory:
    """Memory of the accelerator that holds the output table and the first layers' in-flight activations.

    Args:
        architecture: Shape of the model.
        sequence_length: Tokens of a sequence, source plus target for an encoder-decoder [token].
        micro_batch_sequences: Sequences of one micro-batch.
        precision: As in a plan: fp32 and tf32 hold 4 bytes a number, the others 2 (the masters are 4 everywhere).
        recomputation: ``none``, ``selective`` (not the scores) or ``full`` (a layer's input alone is kept).
        tensor: Accelerators that share each matrix; they share each sequence too, between the matrices.
        pipeline: Stages; as many micro-batches are under way in the first one.
        data: Copies of the model.
        context: Accelerators that share each sequence.
        expert: Accelerators that share the experts.
        sharding: ``zero-1`` splits the optimizer's state over ``data``, ``zero-2`` gradients too, ``zero-3`` weights.
        flash_attention: The scores are never stored.
        lora: Low-rank adapters beside a frozen model, split as the linears they stand beside.
        frozen_layers: First layers that do not learn, nor do the embeddings; they keep nothing.

    Returns:
        Bytes by what they hold [bytes].

    Source: korthikanti2022recomputation, sections 4 and 5.
    """
    a = architecture
    width_bytes = THIRTY_TWO_BIT if precision in FULL_PRECISION else SIXTEEN_BIT
    dense, experts = rank_parameters(a, tensor=tensor, pipeline=pipeline, expert=expert)
    learning = Learning(lora=lora, frozen_layers=frozen_layers)
    adapters = rank_adapters(a, learning, tensor=tensor, pipeline=pipeline, expert=expert)
    learned = rank_learned(a, learning, (dense, experts), tensor=tensor, adapters=adapters)
    layers = sum(count for count, _ in stacks(a)) / pipeline
    gathered = GATHERED_LAYERS * (dense + experts) / layers
    weights, gradients, optimizer = state_bytes(
        (dense + adapters[0], learned[0], data * context),
        (experts + adapters[1], learned[1], data * context / expert),
        gathered=gathered,
        width_bytes=width_bytes,
        sharding=sharding,
    )
    tokens = sequence_length * micro_batch_sequences / context
    at_work = layer_activation_bytes(
        a, sequence_length, width_bytes=width_bytes, scores=not flash_attention and recomputation != "selective"
    )
    at_work = at_work - not_kept_bytes(a, lora, width_bytes=width_bytes)
    live = layers * pipeline - frozen_layers
    kept = live * at_work  # the first stage has a micro-batch under way for every stage
    if recomputation == "full":
        kept = live * width_bytes * a.width + at_work  # every layer's input, and one layer computed again
    activations = tokens / tensor * kept
    outputs = output_rows(a) if a.task_head is None else a.task_head.labels
    logits = tokens * outputs * (THIRTY_TWO_BIT + width_bytes) / tensor
    return Memory(
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=activations,
        logits_bytes=logits,
        total_bytes=weights + gradients + optimizer + activations + logits,
        layout=f"tensor {tensor} x pipeline {pipeline} x data {data} x context {context}, expert {expert}, {sharding}",
    )


def rank_parameters(architecture: Architecture, *, tensor: int, pipeline: int, expert: int) -> tuple[float, float]:
    """Numbers on one accelerator of the stage with a table: (all but the experts, the experts)."""
    parts = parameter_parts(architecture)
    outer = parts["embedding"] + parts["positions"] + parts["head"] + parts["task_head"]
    experts = parts["experts"] / (tensor * pipeline * expert)
    layers = (sum(parts.values()) - parts["experts"] - outer) / (tensor * pipeline)
    return layers + outer / tensor, experts


def rank_adapters(
    architecture: Architecture, learning: Learning, *, tensor: int, pipeline: int, expert: int
) -> tuple[float, float]:
    """Numbers of adapters on one accelerator: (beside all but the experts, beside the experts)."""
    if learning.lora is None:
        return 0.0, 0.0
    parts = adapter_parts(architecture, learning.lora)
    experts = parts["experts"] / (tensor * pipeline * expert)
    return (sum(parts.values()) - parts["experts"]) / (tensor * pipeline), experts


def rank_learned(
    architecture: Architecture,
    learning: Learning,
    held: tuple[float, float],
    *,
    tensor: int,
    adapters: tuple[float, float],
) -> tuple[float, float]:
    """Numbers that learn on one accelerator, of those it holds: at most all of them in a stage of a pipeline."""
    if learning.lora is not None:
        return adapters[0] + parameter_parts(architecture)["task_head"] / tensor, adapters[1]
    if not learning.frozen_layers:
        return held
    dense, experts = learned_numbers(architecture, learning.frozen_layers)
    return min(dense / tensor, held[0]), min(experts / tensor, held[1])


def state_bytes(
    *shards: tuple[float, float, float], gathered: float, width_bytes: int, sharding: str
) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer state.

    Args:
        shards: (numbers on the accelerator, those of them that learn, accelerators that hold copies of them), for
            each kind of weights.
        gathered: Numbers that zero-3 holds whole for the layers at work.
        width_bytes: Bytes of a weight and of a gradient at work [bytes].
        sharding: As in a plan.

    Returns:
        Weights, gradients, and moments with the 32-bit masters that 16-bit weights need [bytes].
    """
    level = SHARDING_LEVEL[sharding]
    masters = 0 if width_bytes == THIRTY_TWO_BIT else 1
    optimizer_width = THIRTY_TWO_BIT * (MOMENTS + masters)
    weights = gradients = optimizer = 0.0
    for numbers, learned, copies in shards:
        weights = weights + width_bytes * (numbers / copies if level >= 3 else numbers)
        gradients = gradients + width_bytes * (learned / copies if level >= 2 else learned)
        optimizer = optimizer + optimizer_width * (learned / copies if level >= 1 else learned)
    if level >= 3:
        weights = weights + width_bytes * gathered
    return weights, gradients, optimizer


def layer_activation_bytes(
    architecture: Architecture,
    sequence_length: int,
    *,
    width_bytes: int,
    scores: bool,
) -> float:
    """Bytes that one layer keeps of one token for the backward pass, before any splitting.

    Equation: for a plain layer with as many keys as heads s b h (34 + 5 A s / h), 16-bit, with s = sequence_length,
    b = sequences, h = width, A = heads; here by what is kept: two norms' inputs, the attention's input, queries, keys,
    values and output, the feed-forward's input and its inner states, two dropout masks, and the scores.

    Returns:
        Bytes per token and layer [bytes/token].

    Source: korthikanti2022recomputation, section 4.
    """
    a = architecture
    crossed = 1 + has_cross_attention(a) / 2  # the decoder's half of the layers attends twice
    heads = mean_over_layers(a, lambda shape: shape.heads)
    attention: float = width_bytes * (2 * a.width + (a.heads + a.kv_heads) * (key_width(a) + value_width(a))) + a.width
    inner = (3 if a.feed_forward == "gated" else 2) * feed_forward_states(a)
    feed_forward = width_bytes * (2 * a.width + inner) + a.width
    attention = attention + scores * (2 * width_bytes + 1) * heads * sequence_length
    return crossed * attention + feed_forward


def not_kept_bytes(architecture: Architecture, lora: Lora | None, *, width_bytes: int) -> float:
    """Bytes of one token that a layer of frozen linears need not keep, less what its adapters keep.

    A frozen linear's input is wanted by nobody: that of the attention where queries, keys and values have no adapter,
    that of the feed-forward block and that of its last linear where this block has none. An adapter keeps its r inner
    features. What a norm, an activation and the attention itself need is kept all the same.

    Returns:
        Bytes per token and layer [bytes/token]; 0 where all learns.
    """
    a = architecture
    if lora is None:
        return 0.0
    chosen = set(lora.targets)
    crossed = 1 + has_cross_attention(a) / 2
    attention = a.width * (not chosen & {"query", "key", "value"}) - lora.rank * len(chosen - {"feed_forward"})
    feed_forward = a.width + feed_forward_states(a)
    if "feed_forward" in chosen:
        feed_forward = -lora.rank * (3 if a.feed_forward == "gated" else 2)
    return width_bytes * (crossed * attention + feed_forward)


def feed_forward_states(architecture: Architecture) -> float:
    """Inner features that one token meets in a layer's feed-forward block, the mean over dense and expert layers."""
    a, experts = architecture, architecture.experts
    if experts is None:
        return mean_over_layers(a, lambda shape: shape.feed_forward_width)
    layers = sum(count for count, _ in stacks(a))
    sparse = sum(expert_layers(stack_shape(a, decoder=cross), count) for count, cross in stacks(a)) / layers
    met = experts.per_token * experts.width + experts.shared * shared_expert_width(experts)
    return (1 - sparse) * mean_over_layers(a, lambda shape: shape.feed_forward_width) + sparse * met


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
