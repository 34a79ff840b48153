"""FLOP of one sequence, by operation. A multiply-add counts as two; only matrix products count.

Three figures are kept apart: the model's (what the mask asks for), the executed (what a kernel does), and the
conventions that papers print (``conventions.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tonne.count.layers import (
    attention_matrices,
    convolution_matrix,
    expert_layers,
    expert_matrices,
    feed_forward_matrices,
    has_cross_attention,
    key_value_matrices,
    key_width,
    router_matrices,
    score_width,
    shared_expert_matrices,
    stack_shape,
    stacks,
    table_products,
    task_head_matrices,
    value_width,
)
from tonne.count.masks import (
    causal_positions,
    causal_window_positions,
    full_positions,
    minimum,
    two_sided_window_positions,
)
from tonne.count.parameters import embedding_width, last_feed_forward_matrices, output_rows, output_width

if TYPE_CHECKING:
    from tonne.count.sequence import Sequence
    from tonne.describe.architecture import Architecture

Recomputation = Literal["none", "selective", "full"]

FLOP_PER_MULTIPLY_ADD = 2
PASSES = 3  # forward, and backward once for the inputs and once for the weights (or for either factor of the scores)
OUTSIDE_LAYERS = ("projection", "head", "task_head", "pooler")  # what full recomputation does not repeat
SCORES = ("attention_scores", "cross_attention_scores")  # what selective recomputation repeats


def model_flop(architecture: Architecture, sequence: Sequence) -> int:
    """FLOP that training on one sequence asks for, forward and backward.

    Returns:
        FLOP per sequence [FLOP], with the true mask, logits where something is predicted, and the experts visited.
        Recomputation is not included.
    """
    return sum(model_flop_parts(architecture, sequence).values())


def model_flop_parts(architecture: Architecture, sequence: Sequence) -> dict[str, int]:
    """The same by operation; the values sum to ``model_flop``."""
    return {part: PASSES * flop for part, flop in forward_flop_parts(architecture, sequence).items()}


def executed_flop(
    architecture: Architecture,
    sequence: Sequence,
    *,
    recomputation: Recomputation = "none",
    flash_attention: bool = False,
) -> int:
    """FLOP that a training step executes for one sequence, forward and backward.

    Args:
        architecture: Shape of the model.
        sequence: Its lengths.
        recomputation: ``selective`` repeats the attention scores in the backward pass, ``full`` the layers.
        flash_attention: Kernels that skip what the mask hides, and compute scores a second time in the backward
            pass. Without them attention fills the whole square, masked or not.

    Returns:
        FLOP per sequence [FLOP].

    Source: korthikanti2022recomputation, section 4 and appendix A.
    """
    parts = forward_flop_parts(architecture, sequence, square=not flash_attention)
    flop = PASSES * sum(parts.values())
    if flash_attention:
        flop = flop + score_flop(architecture, sequence)
    if recomputation == "selective":
        return flop + sum(parts[part] for part in SCORES)
    if recomputation == "full":
        return flop + sum(numbers for part, numbers in parts.items() if part not in OUTSIDE_LAYERS)
    return flop


def forward_flop_parts(architecture: Architecture, sequence: Sequence, *, square: bool = False) -> dict[str, int]:
    """FLOP of one forward pass over one sequence, by operation.

    Args:
        architecture: Shape of the model.
        sequence: Its lengths and mask.
        square: Fill the whole of every attention matrix, as a kernel does that masks afterwards.

    Returns:
        FLOP [FLOP] of projection (of a narrower token table), attention, attention_scores, cross_attention,
        cross_attention_scores, feed_forward, convolution, experts, router, multi_token, pooler, head and task_head.
    """
    a = architecture
    parts = _outer_multiply_adds(a, sequence)
    for layers, decoder in _lengths(a):
        length = sequence.stack_length(decoder=decoder)
        positions = attended_positions(a, sequence, layers, decoder=decoder, square=square)
        shape = stack_shape(a, decoder=decoder)
        scores = positions * shape.heads * (score_width(shape) + value_width(shape))
        stack = {
            "attention": length * layers * attention_matrices(shape),
            "attention_scores": scores + square * layers * _table_surplus(shape, length),
            "convolution": minimum(layers, 1) * length * convolution_matrix(a),
            **_feed_forward_multiply_adds(shape, length, layers),
        }
        if has_cross_attention(a) and decoder:
            stack |= _cross_multiply_adds(shape, sequence, layers)
        for part, numbers in stack.items():
            parts[part] = parts[part] + numbers
    parts["multi_token"] = a.multi_token_layers * _multi_token_multiply_adds(a, sequence, square=square)
    return {part: FLOP_PER_MULTIPLY_ADD * numbers for part, numbers in parts.items()}


def attended_positions(
    architecture: Architecture, sequence: Sequence, layers: int, *, decoder: bool, square: bool
) -> int:
    """Query-key pairs of one head, summed over the layers of a stack."""
    a, length = architecture, sequence.stack_length(decoder=decoder)
    if square:
        return layers * full_positions(length, length)
    documents = (length,) if sequence.documents is None else sequence.documents
    prefix = sequence.prefix
    everything = sum(causal_positions(n, prefix) if decoder else full_positions(n, n) for n in documents)
    if a.attention_window is None:
        return layers * everything
    window = a.attention_window
    banded = sum(
        causal_window_positions(n, window) if decoder else two_sided_window_positions(n, window) for n in documents
    )
    full = full_layers(a, layers)
    return full * everything + (layers - full) * banded


def full_layers(architecture: Architecture, layers: int) -> int:
    """How many layers of a stack with windows attend fully."""
    a = architecture
    if a.full_attention_layers is not None:
        return sum(layer < layers for layer in set(a.full_attention_layers))
    if a.window_every is None:
        return 0
    first = a.window_every - 1 if a.window_first_full is None else a.window_first_full
    return (layers - first + a.window_every - 1) // a.window_every


def _table_surplus(a: Architecture, length: int) -> int:
    """Multiply-adds of the products with all rows of a table of relative positions, less those of length x length."""
    return length * (a.relative_rows - length) * table_products(a) * a.heads * key_width(a)


def score_flop(architecture: Architecture, sequence: Sequence) -> int:
    """FLOP of the queries' products with the keys alone, once, under the true mask [FLOP]."""
    a = architecture
    products = 0
    for layers, decoder in _lengths(a):
        shape = stack_shape(a, decoder=decoder)
        pairs = attended_positions(a, sequence, layers, decoder=decoder, square=False)
        if has_cross_attention(a) and decoder:
            pairs = pairs + layers * full_positions(sequence.decoder_length, sequence.encoder_length)
        products = products + pairs * shape.heads * score_width(shape)
    return FLOP_PER_MULTIPLY_ADD * products


def _lengths(a: Architecture) -> tuple[tuple[int, bool], ...]:
    """(layers, is a decoder) of each stack."""
    if a.kind == "decoder":
        return tuple((layers, True) for layers, _ in stacks(a))
    return stacks(a)


def _outer_multiply_adds(a: Architecture, sequence: Sequence) -> dict[str, int]:
    """Multiply-adds outside the layers, and a zero for every part inside."""
    narrow = a.width * embedding_width(a)
    output = output_rows(a) * output_width(a) + (a.output_projection + a.prediction_head) * narrow
    pooler = a.pooler * a.width * a.width + a.next_sentence_head * 2 * a.width
    return {
        "projection": sequence.tokens * narrow * (a.embedding_width is not None),
        "attention": 0,
        "attention_scores": 0,
        "cross_attention": 0,
        "cross_attention_scores": 0,
        "feed_forward": 0,
        "convolution": 0,
        "experts": 0,
        "router": 0,
        "multi_token": 0,
        "pooler": sequence.pooled * pooler,
        "head": sequence.predicted * output,
        "task_head": sequence.labelled * task_head_matrices(a),
    }


def _feed_forward_multiply_adds(a: Architecture, length: int, layers: int) -> dict[str, int]:
    sparse = expert_layers(a, layers)
    parts = {"feed_forward": length * (layers - sparse) * feed_forward_matrices(a)}
    if a.experts is not None:
        met = a.experts.per_token * expert_matrices(a, a.experts) + shared_expert_matrices(a, a.experts)
        parts["experts"] = length * sparse * met
        parts["router"] = length * sparse * router_matrices(a, a.experts)
    return parts


def _cross_multiply_adds(a: Architecture, sequence: Sequence, layers: int) -> dict[str, int]:
    """Queries and output over the target, keys and values over the source; no mask between the two."""
    keys_values = key_value_matrices(a)
    pairs = full_positions(sequence.decoder_length, sequence.encoder_length)
    target = sequence.decoder_length * (attention_matrices(a) - keys_values)
    return {
        "cross_attention": layers * (target + sequence.encoder_length * keys_values),
        "cross_attention_scores": layers * pairs * a.heads * (score_width(a) + value_width(a)),
    }


def _multi_token_multiply_adds(a: Architecture, sequence: Sequence, *, square: bool) -> int:
    """One further layer: the projection of [state, embedding], the layer itself, and the logits."""
    length = sequence.decoder_length
    matrices = 2 * a.width * a.width + attention_matrices(a) + last_feed_forward_matrices(a)
    positions = attended_positions(a, sequence, 1, decoder=True, square=square)
    scores = positions * a.heads * (score_width(a) + value_width(a))
    return length * matrices + scores + sequence.predicted * output_rows(a) * output_width(a)
