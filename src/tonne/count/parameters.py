"""How many numbers a transformer learns: in all, by part, and those that one token meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.count.layers import (
    attention_biases,
    attention_matrices,
    attention_norms,
    convolution_matrix,
    convolution_numbers,
    expert_biases,
    expert_layers,
    expert_matrices,
    feed_forward_biases,
    feed_forward_matrices,
    layer_norms,
    norm_numbers,
    router_matrices,
    router_numbers,
    shared_expert_biases,
    shared_expert_matrices,
    stack_shape,
    stacks,
    stored_layers,
    task_head_matrices,
    task_head_numbers,
)
from tonne.count.masks import minimum

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture


def parameters(architecture: Architecture) -> int:
    """Learned numbers of the model."""
    return sum(parameter_parts(architecture).values())


def active_parameters(architecture: Architecture) -> int:
    """Learned numbers that one token meets: all but those of the experts that it does not visit."""
    return sum(parameter_parts(architecture, active=True).values())


def parameter_parts(architecture: Architecture, *, active: bool = False) -> dict[str, int]:
    """Learned numbers by part; they sum to the whole.

    Args:
        architecture: Shape of the model.
        active: Count only the experts that one token visits.

    Returns:
        Numbers in embedding, positions, attention, cross_attention, feed_forward, convolution, experts, router,
        norms, multi_token, head and task_head. A tied output table stands under embedding, once.
    """
    a = architecture
    parts = {
        "embedding": _embedding(a),
        "positions": _positions(a),
        "attention": 0,
        "cross_attention": 0,
        "feed_forward": 0,
        "convolution": 0,
        "experts": 0,
        "router": 0,
        "norms": _outer_norms(a),
        "multi_token": 0,
        "head": _head(a),
        "task_head": task_head_numbers(a),
    }
    for layers, cross in stacks(a):
        shape, stored = stack_shape(a, decoder=cross), stored_layers(a, layers)
        for part, numbers in _stack_parts(shape, stored, cross=cross, active=active).items():
            parts[part] = parts[part] + numbers
    parts["multi_token"] = a.multi_token_layers * _multi_token_layer(a, active=active)
    return parts


def matmul_parameters(architecture: Architecture) -> int:
    """Numbers in the matrices that one token is multiplied by, the N of the 6 N rule.

    Returns:
        All layers' matrices (a shared layer as often as it runs), the router, the experts visited and the output
        table, tied or not (in its place the head for labels). Without the input table, positions, biases and norms.

    Source: chowdhery2022palm, Appendix B.
    """
    a = architecture
    total = output_matrices(a) + projection_matrices(a) + convolution_matrix(a)
    for layers, cross in stacks(a):
        shape = stack_shape(a, decoder=cross)
        total = total + layers * (1 + cross) * attention_matrices(shape) + feed_forward_stack_matrices(shape, layers)
    layer = attention_matrices(a) + 2 * a.width * a.width + last_feed_forward_matrices(a)
    return total + a.multi_token_layers * (layer + output_rows(a) * output_width(a))


def output_matrices(architecture: Architecture) -> int:
    """Numbers in the matrices of what stands on top: the output table, or the head for labels."""
    a = architecture
    return output_rows(a) * output_width(a) if a.task_head is None else task_head_matrices(a)


def feed_forward_stack_matrices(architecture: Architecture, layers: int) -> int:
    """Numbers in the feed-forward matrices of a stack that one token meets: dense layers, routers, visited experts."""
    sparse = expert_layers(architecture, layers)
    return (layers - sparse) * feed_forward_matrices(architecture) + sparse * last_feed_forward_matrices(architecture)


def last_feed_forward_matrices(architecture: Architecture) -> int:
    """Matrices that one token meets in the feed-forward block of a layer with experts, or of a dense one."""
    a, experts = architecture, architecture.experts
    if experts is None:
        return feed_forward_matrices(a)
    visited = experts.per_token * expert_matrices(a, experts) + shared_expert_matrices(a, experts)
    return visited + router_matrices(a, experts)


def embedding_width(architecture: Architecture) -> int:
    """Width of the token table."""
    return architecture.width if architecture.embedding_width is None else architecture.embedding_width


def output_rows(architecture: Architecture) -> int:
    """Rows of the output table: the decoder's vocabulary."""
    a = architecture
    return a.vocabulary if a.decoder_vocabulary is None else a.decoder_vocabulary


def output_width(architecture: Architecture) -> int:
    """Width of the output table: that of the token table where it is tied to it or projected to it."""
    a = architecture
    return embedding_width(a) if a.tied_embeddings or a.output_projection or a.prediction_head else a.width


def projection_matrices(architecture: Architecture) -> int:
    """Numbers in the matrices between a narrower token table and the layers, and in the output heads' dense layer."""
    a = architecture
    projections = int(a.embedding_width is not None) + int(a.output_projection) + int(a.prediction_head)
    return projections * a.width * embedding_width(a)


def _embedding(a: Architecture) -> int:
    rows = a.token_tables * a.vocabulary + (a.token_tables > 1) * (output_rows(a) - a.vocabulary)
    table = (rows + a.token_types) * embedding_width(a)
    if a.embedding_width is None:
        return table
    return table + a.width * (a.embedding_width + a.embedding_projection_bias)


def _positions(a: Architecture) -> int:
    numbers = 0
    if a.positions == "learned" or a.stored_positions:
        table_width = embedding_width(a) if a.position_width is None else a.position_width
        numbers = len(stacks(a)) * (a.max_positions + a.position_offset) * table_width
    for layers, cross in stacks(a):
        tables = layers if a.relative_per_layer else 1
        numbers = numbers + tables * a.relative_buckets * stack_shape(a, decoder=cross).heads
        own = a.relative_projections * a.width + a.relative_projection_biases
        numbers = numbers + layers * own * a.heads * a.head_width
    numbers = numbers + a.relative_rows * a.width
    if a.relative_projection:
        relative = (a.width + 2) * a.heads * a.head_width  # and the two biases of its content and position scores
        numbers = numbers + sum(layers for layers, _ in stacks(a)) * relative
    return numbers


def _outer_norms(a: Architecture) -> int:
    """Norms outside the layers, less the one that the first layer may lack."""
    outer_width = a.width if a.embedding_norm_projected else embedding_width(a)
    norms = len(stacks(a)) * a.embedding_norm * norm_numbers(a, outer_width)
    final = len(stacks(a)) * a.final_norm - (not a.first_norm) + a.relative_norm
    return norms + final * norm_numbers(a, a.width)


def _head(a: Architecture) -> int:
    rows = output_rows(a)
    numbers = (not a.tied_embeddings) * rows * output_width(a) + a.head_bias * rows
    numbers = numbers + a.output_projection * a.width * embedding_width(a)
    if a.prediction_head:
        inner = (a.width + a.prediction_dense_bias) * embedding_width(a) + norm_numbers(a, embedding_width(a))
        numbers = numbers + inner + a.prediction_output_bias * rows
    return numbers + a.pooler * a.width * (a.width + 1) + a.next_sentence_head * 2 * (a.width + 1)


def _stack_parts(a: Architecture, layers: int, *, cross: bool, active: bool) -> dict[str, int]:
    """Numbers in the layers of one stack, by part."""
    attention = layers * (attention_matrices(a) + attention_biases(a))
    sparse = expert_layers(a, layers)
    dense = feed_forward_matrices(a) + feed_forward_biases(a)
    cross = cross or a.idle_cross_attention
    parts = {
        "convolution": minimum(layers, 1) * convolution_numbers(a),
        "attention": attention,
        "cross_attention": cross * attention,
        "feed_forward": (layers - sparse) * dense,
        "norms": layers * (layer_norms(a, cross=cross) + (1 + cross) * attention_norms(a)),
    }
    if a.experts is not None:
        parts["experts"] = sparse * _experts_of_layer(a, active=active)
        parts["router"] = sparse * router_numbers(a, a.experts)
    return parts


def _experts_of_layer(a: Architecture, *, active: bool) -> int:
    experts = a.experts
    if experts is None:
        return 0
    met = experts.per_token if active else experts.count
    shared = shared_expert_matrices(a, experts) + shared_expert_biases(a, experts)
    return met * (expert_matrices(a, experts) + expert_biases(a, experts)) + shared


def _multi_token_layer(a: Architecture, *, active: bool) -> int:
    """One further layer, the projection of [state, embedding] to its input, and their three norms."""
    numbers = attention_matrices(a) + attention_biases(a) + attention_norms(a) + layer_norms(a, cross=False)
    if a.experts is None:
        numbers = numbers + feed_forward_matrices(a) + feed_forward_biases(a)
    else:
        numbers = numbers + _experts_of_layer(a, active=active) + router_numbers(a, a.experts)
    return numbers + 2 * a.width * a.width + 3 * norm_numbers(a, a.width)
