"""Training of a part of a model: adapters beside frozen linears, or all but the first layers.

What is frozen needs no gradient of its weights, and what lies below the first thing that learns none at all. The sums
are exact: they equal what a framework executes that asks for no gradient nobody wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.adapters import adapter_multiply_adds, adapter_parts
from tonne.count.backward import attention_saved, feed_forward_saved
from tonne.count.flops import (
    FLOP_PER_MULTIPLY_ADD,
    OUTSIDE_LAYERS,
    PASSES,
    SCORES,
    attended_positions,
    forward_flop_parts,
    score_flop,
)
from tonne.count.layers import (
    expert_layers,
    has_cross_attention,
    norm_numbers,
    score_width,
    stack_shape,
    stacks,
    value_width,
)
from tonne.count.masks import full_positions
from tonne.count.parameters import embedding_width, output_rows, output_width, parameter_parts, parameters
from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.count.backward import Saved
    from tonne.count.flops import Recomputation
    from tonne.count.sequence import Sequence
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture

MULTI_TOKEN = "multi_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What learns: adapters (``lora``), or all but the embeddings and the first ``frozen_layers``."""

    lora: Lora | None = None
    frozen_layers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One stack: its layers, how many of the first are frozen, and what is known of its inputs.

    ``live``: whether something learns below the first attention of the first layer that is not frozen.
    ``memory_live``: whether something learns in the encoder that it attends to.
    """

    layers: int
    frozen: int
    decoder: bool
    live: bool = False
    memory_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How a step is executed; as the model's FLOP are defined where nothing is given."""

    square: bool = False
    flash_attention: bool = False
    recomputation: Recomputation = "none"


MODEL = Kernel()


def trainable_parameters(architecture: Architecture, learning: Learning) -> int:
    """Numbers that learn.

    Raises:
        DescriptionError: Nothing does, or there are fewer layers than are frozen.
    """
    a = architecture
    if learning.lora is not None:
        adapters = sum(adapter_parts(a, learning.lora).values())
        if a.experts is not None and not learning.lora.experts and set(learning.lora.targets) == {"feed_forward"}:
            _require_dense_layers(a)
        return adapters + parameter_parts(a)["task_head"]
    learned = parameters(a) - frozen_parameters(a, learning.frozen_layers)
    if learned == 0:
        raise DescriptionError(
            f"frozen_layers={learning.frozen_layers} leaves nothing that learns. Freeze fewer layers, or add a head."
        )
    return learned


def learned_numbers(architecture: Architecture, frozen_layers: int) -> tuple[int, int]:
    """Numbers that learn beside frozen layers: (all but those of experts, those of experts)."""
    a, learning = architecture, Learning(frozen_layers=frozen_layers)
    frozen = [stack.frozen for stack in learning_stacks(a, learning)]
    experts = parameter_parts(a)["experts"] - parameter_parts(_shortened(a, frozen))["experts"]
    return trainable_parameters(a, learning) - experts, experts


def frozen_parameters(architecture: Architecture, frozen_layers: int) -> int:
    """Numbers in the embeddings (a tied output table too) and in the first layers; 0 where none are frozen."""
    a = architecture
    if not frozen_layers:
        return 0
    frozen = [stack.frozen for stack in learning_stacks(a, Learning(frozen_layers=frozen_layers))]
    none = _shortened(a, [0] * len(frozen))
    tables = parameter_parts(none)
    layers = parameters(_shortened(a, frozen)) - sum(tables.values())
    width = a.width if a.embedding_norm_projected else embedding_width(a)
    norms = len(stacks(a)) * a.embedding_norm * norm_numbers(a, width)
    norms = norms + (a.relative_norm - (not a.first_norm)) * norm_numbers(a, a.width)
    if len(frozen) > 1 and frozen[0] == stacks(a)[0][0]:
        norms = norms + a.final_norm * norm_numbers(a, a.width)  # a frozen encoder's own
    return layers + tables["embedding"] + tables["positions"] + norms


def training_flop(architecture: Architecture, sequence: Sequence, learning: Learning, kernel: Kernel = MODEL) -> int:
    """FLOP that training on one sequence takes where only a part of the model learns, forward and backward.

    Args:
        architecture: Shape of the model.
        sequence: Its lengths and mask.
        learning: What learns.
        kernel: How it is executed; left out: the model's FLOP, under the true mask, nothing repeated.

    Returns:
        FLOP per sequence [FLOP]. A frozen linear takes 2 products a token instead of 3, one below all that learns 1,
        an adapter of rank r beside d x k another 3 r (d + k) multiply-adds a token.

    Valid for: eager attention to the last product; a flash kernel is taken to compute all gradients of an attention
        or none.
    Source: hu2021lora, section 4; korthikanti2022recomputation, section 4.
    """
    a = architecture
    flop = _outside_flop(a, sequence, learning, kernel)
    for stack in learning_stacks(a, learning):
        flop = flop + _stack_flop(a, sequence, stack, learning, kernel)
    return flop


def learning_stacks(architecture: Architecture, learning: Learning) -> tuple[Stack, ...]:
    """The stacks with what is frozen in each; an encoder's layers are frozen first.

    Raises:
        DescriptionError: There are fewer layers than are frozen, or one layer that runs several times.
    """
    a, left = architecture, learning.frozen_layers
    whole = sum(layers for layers, _ in stacks(a))
    if left > whole or (left and a.shared_layers):
        why = "all layers are one and the same here" if a.shared_layers else f"the model has {whole}"
        raise DescriptionError(
            f"frozen_layers={left} cannot be: {why}. Give at most {0 if a.shared_layers else whole}."
        )
    found: list[Stack] = []
    for layers, cross in stacks(a):
        frozen = min(left, layers)
        live = learning.lora is None and _norm_before(a, frozen)
        memory_live = bool(found) and found[0].frozen < found[0].layers
        decoder = cross or a.kind == "decoder"
        found.append(Stack(layers=layers, frozen=frozen, decoder=decoder, live=live, memory_live=memory_live))
        left = left - frozen
    return tuple(found)


def _require_dense_layers(a: Architecture) -> None:
    if sum(layers - expert_layers(stack_shape(a, decoder=cross), layers) for layers, cross in stacks(a)) == 0:
        raise DescriptionError(
            "every feed-forward block here is made of experts, so targets = ['feed_forward'] has no linear to stand "
            "beside. Give lora.experts = true, or further targets such as 'query' and 'value'."
        )


def _norm_before(a: Architecture, layer: int) -> bool:
    """Whether a learned norm stands before the attention of a layer."""
    return a.norm_position != "post" and norm_numbers(a, 1) > 0 and (layer > 0 or a.first_norm)


def _shortened(a: Architecture, layers: list[int]) -> Architecture:
    """The architecture with its first layers only."""
    names = ("encoder_layers", "decoder_layers") if a.kind == "encoder-decoder" else ("layers",)
    return a.model_copy(update=dict(zip(names, layers, strict=True)))


def _first_layers(a: Architecture, stack: Stack, layers: int) -> Architecture:
    """The architecture with the first layers of one stack, and no other stack."""
    if a.kind != "encoder-decoder":
        return _shortened(a, [layers])
    return _shortened(a, [0, layers] if stack.decoder else [layers, 0])


def _stack_flop(a: Architecture, sequence: Sequence, stack: Stack, learning: Learning, kernel: Kernel) -> int:
    """FLOP of the layers of one stack."""
    linears, scores = _forward_flop(a, sequence, stack, stack.layers, kernel)
    behind_linears, behind_scores = _forward_flop(a, sequence, stack, stack.frozen, kernel)
    flop: int = behind_linears + behind_scores
    if stack.frozen == stack.layers:
        return flop
    linears, scores, adapters = linears - behind_linears, scores - behind_scores, 0
    if learning.lora is not None:
        work = adapter_multiply_adds(a, sequence, learning.lora, decoder=stack.decoder)
        adapters = FLOP_PER_MULTIPLY_ADD * work
    flop = flop + linears * (PASSES - (learning.lora is not None)) + PASSES * (scores + adapters)
    if kernel.recomputation == "full":
        flop = flop + linears + scores + adapters
    elif kernel.recomputation == "selective":
        flop = flop + scores
    if kernel.flash_attention:
        flop = flop + _again(a, sequence, stack, stack.layers) - _again(a, sequence, stack, stack.frozen)
    return flop - FLOP_PER_MULTIPLY_ADD * _saved(a, sequence, stack, learning, kernel)


def _forward_flop(a: Architecture, sequence: Sequence, stack: Stack, layers: int, kernel: Kernel) -> tuple[int, int]:
    """FLOP of one forward pass through the first layers of a stack: (linears, scores)."""
    parts = forward_flop_parts(_first_layers(a, stack, layers), sequence, square=kernel.square)
    inside = {part: flop for part, flop in parts.items() if part not in (*OUTSIDE_LAYERS, MULTI_TOKEN)}
    scores = sum(inside.pop(part) for part in SCORES)
    return sum(inside.values()), scores


def _again(a: Architecture, sequence: Sequence, stack: Stack, layers: int) -> int:
    """FLOP of the products of queries and keys that a flash kernel computes again in the backward pass."""
    return score_flop(_first_layers(a, stack, layers), sequence)


def _saved(a: Architecture, sequence: Sequence, stack: Stack, learning: Learning, kernel: Kernel) -> int:
    """Multiply-adds of gradients that nobody wants: those of inputs below all that learns."""
    a, length, live = stack_shape(a, decoder=stack.decoder), sequence.stack_length(decoder=stack.decoder), stack.live
    pairs = _pairs(a, sequence, stack, stack.frozen + 1, kernel) - _pairs(a, sequence, stack, stack.frozen, kernel)
    own = attention_saved(a, learning.lora, queries=length, keys=length, pairs=pairs, query_live=live, key_live=live)
    saved, below = own.linears + _scores_saved(a, own, pairs, kernel), live or own.live
    if has_cross_attention(a) and stack.decoder:
        less, below = _cross_saved(a, sequence, stack, learning, kernel, below)
        saved = saved + less
    sparse = expert_layers(a, stack.frozen + 1) > expert_layers(a, stack.frozen)
    reads = live if a.parallel_blocks else below
    return saved + feed_forward_saved(a, learning.lora, tokens=length, live=reads, sparse=sparse).linears


def _cross_saved(
    a: Architecture, sequence: Sequence, stack: Stack, learning: Learning, kernel: Kernel, below: bool
) -> tuple[int, bool]:
    """The same of the cross-attentions: of the first layer that learns, and of the others where the encoder does not.

    Returns:
        Multiply-adds, and whether something learns below the first one's feed-forward block.
    """
    source, target = sequence.encoder_length, sequence.decoder_length
    pairs = full_positions(target, source)
    first, other = (
        attention_saved(
            a, learning.lora, queries=target, keys=source, pairs=pairs, query_live=live, key_live=stack.memory_live
        )
        for live in (below, True)
    )
    others = stack.layers - stack.frozen - 1
    saved = first.linears + _scores_saved(a, first, pairs, kernel)
    saved = saved + others * (other.linears + _scores_saved(a, other, pairs, kernel))
    return saved, below or first.live


def _scores_saved(a: Architecture, saved: Saved, pairs: int, kernel: Kernel) -> int:
    """Of the scores, with what is not repeated where an attention has no backward pass at all."""
    if saved.scored:
        return 0 if kernel.flash_attention else saved.scores
    repeated = (score_width(a) + value_width(a)) * (kernel.recomputation == "selective")
    return saved.scores + pairs * a.heads * (repeated + score_width(a) * kernel.flash_attention)


def _pairs(a: Architecture, sequence: Sequence, stack: Stack, layers: int, kernel: Kernel) -> int:
    return attended_positions(a, sequence, layers, decoder=stack.decoder, square=kernel.square)


def _outside_flop(a: Architecture, sequence: Sequence, learning: Learning, kernel: Kernel) -> int:
    """FLOP outside the layers: a frozen projection of the token table, and what stands on top."""
    parts = forward_flop_parts(a, sequence, square=kernel.square)
    if learning.lora is not None:
        frozen = parts["head"] + parts["pooler"]
        return parts["projection"] + (PASSES - 1) * frozen + PASSES * parts["task_head"]
    last = learning_stacks(a, learning)[-1]
    live = last.frozen < last.layers or bool(a.final_norm and norm_numbers(a, 1))
    table = FLOP_PER_MULTIPLY_ADD * sequence.predicted * output_rows(a) * output_width(a)
    dense = a.output_projection or a.prediction_head
    flop = parts["projection"] + (parts["head"] - table) * (PASSES - (not live))
    flop = flop + table * (PASSES - (not (live or dense)) - a.tied_embeddings)
    flop = flop + PASSES * parts[MULTI_TOKEN] - a.multi_token_layers * a.tied_embeddings * table
    flop = flop + PASSES * (parts["pooler"] + parts["task_head"])
    return flop - (0 if live else FLOP_PER_MULTIPLY_ADD * _labels_saved(a, sequence))


def _labels_saved(a: Architecture, sequence: Sequence) -> int:
    """Multiply-adds of gradients of the last states that nobody wants, in the pooler and the head for labels."""
    saved = sequence.pooled * a.width * (a.width if a.pooler else 2 * a.next_sentence_head)
    if a.task_head is None or (a.pooler and sequence.pooled):
        return saved
    return saved + sequence.labelled * a.width * (a.width if a.task_head.dense else a.task_head.labels)
