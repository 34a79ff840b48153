"""The work of one training step on one accelerator: FLOP, numbers moved, messages. No hardware.

All figures are of one micro-batch on the mean accelerator, unless a name says otherwise. Layouts may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tonne.count.flops import FLOP_PER_MULTIPLY_ADD, OUTSIDE_LAYERS, attended_positions, forward_flop_parts
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
    shared_expert_width,
    stack_shape,
    stacks,
    stored_layers,
    value_width,
)
from tonne.count.masks import full_positions, minimum
from tonne.count.parameters import output_rows, parameter_parts
from tonne.count.sequence import Sequence

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.estimate import Number

FORWARD_AND_INPUTS = 2  # products of the same size: forward, and for the inputs' gradients; a third for the weights'
FORWARD_AND_BACKWARD = 3
FLASH_SCORES = 3.5  # forward one, backward two and a half: the scores once more (Dao 2023, section 3.1)
PLAIN_SCORES = 3
KERNEL_WIDTH = 32
SCORE_PASSES_OVER_MEMORY = 18  # of the materialised square of scores, forward and backward
# Numbers read and written by what is no matrix product, forward and backward, per token (by hand, from the operations):
NORM_AND_RESIDUAL = 22  # of the width: two norms 2 x (2 + 4), two residual additions 2 x (3 + 2)
ROTARY = 4  # of queries, keys and values
GATED_ACTIVATION, PLAIN_ACTIVATION = 8, 5  # of the feed-forward width
BIASED_EXPERT = (
    34  # of the width and visited expert, on the way out: probability times bias, added, joined, cast; 32-bit
)
ROUTED = 16  # of the width and visited expert: gather and scatter, both ways
CASTS = 4  # read once and written in low precision, once as it is and once turned, and its scale
LOGITS = 9  # of the vocabulary: written, softmax, loss, gradient
OPTIMIZER_BYTES = 30  # per number: gradient, two moments, master read and written, weight written
GRADIENT_AND_WEIGHT_BYTES = 6  # per number and step: a 32-bit gradient reduced, a 16-bit weight gathered
EXCHANGES = 4  # of a layer's experts: tokens sent and brought back, forward and backward
COLLECTIVES_OF_A_LAYER = (
    4  # all-reduces of one tensor-parallel layer, two forward and two backward; half in routed ones
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one step is laid out; numbers or arrays."""

    tensor: Number = 1
    pipeline: Number = 1
    data: Number = 1
    context: Number = 1
    expert: Number = 1
    virtual_pipeline_stages: Number = 1
    micro_batch_sequences: Number = 1
    micro_batches: Number = 1
    zero_2: Number = 0
    zero_3: Number = 0
    recompute_all: Number = 0
    recompute_scores: Number = 0
    weight_gradients: Number = 1
    whole_sequence: Number = 0  # 1: norms and residuals run over the whole sequence on every tensor rank


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """FLOP, numbers and messages of one micro-batch on the mean accelerator; see the functions for each.

    ``matrix_``: linear layers, in the plan's precision. ``plain_flop``: routers and output table, in 16 bits.
    ``expert_``: routed experts. ``score_``: attention; ``score_pairs``: scores, once for each pass over them.
    ``*_numbers`` are read or written; ``biased_numbers`` for the bias of experts. ``tensor_numbers``,
    ``context_numbers``, ``pipeline_numbers``: sent by one accelerator. ``routed_numbers``: a token's state once, as
    often as the layers with experts send it. ``weights``: on one accelerator, for the step; ``expert_weights``
    of them in routed experts.
    """

    matrix_flop: Number
    matrix_numbers: Number
    plain_flop: Number
    expert_flop: Number
    expert_numbers: Number
    score_flop: Number
    score_pairs: Number
    score_numbers: Number
    element_numbers: Number
    cast_numbers: Number
    permuted_numbers: Number
    biased_numbers: Number
    logit_numbers: Number
    layers: Number
    expert_layers: Number
    tensor_numbers: Number
    context_numbers: Number
    routed_numbers: Number
    pipeline_numbers: Number
    weights: Number
    expert_weights: Number

    def as_dict(self) -> dict[str, Number]:
        """The figures by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def step_work(
    architecture: Architecture,
    sequence: Sequence,
    layout: Layout,
    *,
    flash_attention: bool = True,
    low_precision: bool = False,
) -> StepWork:
    """The work of one micro-batch on the mean accelerator of a layout.

    Args:
        architecture: Shape of the model.
        sequence: Lengths of one sequence, and where something is predicted.
        layout: How the work is split.
        flash_attention: The kernel skips what a causal mask hides and stores no scores.
        low_precision: The linear layers run in 8 or 4 bits: their inputs are cast.

    Source: korthikanti2022recomputation, section 4; narayanan2021megatron, section 3.
    """
    a, p = architecture, layout
    found = dict.fromkeys((f.name for f in fields(StepWork)), 0.0)
    for layers, decoder in _sides(a):
        for name, value in _stack(a, sequence, layers, decoder, p, flash_attention, low_precision).items():
            found[name] = found[name] + value
    share = p.micro_batch_sequences / p.context / p.tensor
    outer = forward_flop_parts(a, sequence)
    outer_flop = sum(outer[part] for part in OUTSIDE_LAYERS) + a.multi_token_layers * outer["head"]
    found["plain_flop"] = found["plain_flop"] + (FORWARD_AND_INPUTS + p.weight_gradients) * share * outer_flop
    logits = sequence.predicted * output_rows(a) * (1 + a.multi_token_layers)
    found["logit_numbers"] = LOGITS * share * logits
    found = {name: value / p.pipeline for name, value in found.items()}
    tokens = p.micro_batch_sequences * sequence.tokens / p.context
    found["pipeline_numbers"] = (p.pipeline > 1) * 2 * tokens * a.width * p.virtual_pipeline_stages / p.tensor
    found |= _weights(a, p)
    return StepWork(**found)


def kernel_width(width: int) -> int:
    """Width of a head as attention kernels compute it: filled up to a multiple of 32 (Dao 2023, section 3.3)."""
    return -(-width // KERNEL_WIDTH) * KERNEL_WIDTH


def _sides(a: Architecture) -> tuple[tuple[int, bool], ...]:
    if a.kind == "decoder":
        return tuple((layers, True) for layers, _ in stacks(a))
    return stacks(a)


def _stack(  # noqa: PLR0913, PLR0917
    a: Architecture, s: Sequence, layers: int, decoder: bool, p: Layout, flash: bool, low: bool
) -> dict[str, Number]:
    """Sums over all layers of one stack."""
    further = a.multi_token_layers * decoder  # each is one more layer, like the last
    pairs = attended_positions(a, s, layers, decoder=decoder, square=not flash)
    pairs = pairs + further * attended_positions(a, s, 1, decoder=decoder, square=not flash)
    a = stack_shape(a, decoder=decoder)
    sparse = expert_layers(a, layers) + further * (a.experts is not None)
    layers, dense = layers + further, layers + further - sparse
    passes = FORWARD_AND_INPUTS + p.weight_gradients + p.recompute_all
    forward_and_backward = FORWARD_AND_BACKWARD + p.recompute_all
    length = s.stack_length(decoder=decoder)
    sequences = p.micro_batch_sequences / p.context
    tokens = sequences * length
    crossed = layers * (has_cross_attention(a) and decoder)
    source = s.encoder_length / length if crossed else 0.0  # keys and values of cross-attention run over the source
    w = _widths(a)
    gated = a.feed_forward == "gated"
    shared = 0 if a.experts is None else shared_expert_matrices(a, a.experts)
    cross = attention_matrices(a) + (source - 1) * key_value_matrices(a)
    numbers: Number = layers * attention_matrices(a) + dense * feed_forward_matrices(a) + sparse * shared
    numbers = numbers + crossed * cross + further * 2 * a.width * a.width + minimum(layers, 1) * convolution_matrix(a)
    inner = dense * a.feed_forward_width + sparse * w["shared"]
    split = (layers + crossed) * (w["queries"] + w["mixed"]) + (layers + source * crossed) * w["keys_values"]
    split = split + (gated + 2) * inner
    whole = a.width * (2 * (layers + dense + sparse * (shared > 0)) + (2 + source) * crossed)
    scores = FLOP_PER_MULTIPLY_ADD * (kernel_width(score_width(a)) + kernel_width(value_width(a)))
    pairs = sequences * a.heads / p.tensor * (pairs + crossed * full_positions(s.decoder_length, s.encoder_length))
    score_passes = (FLASH_SCORES if flash else PLAIN_SCORES + p.recompute_scores) + p.recompute_all
    met = inner + sparse * w["visited"]
    attentions = layers + crossed
    norms = NORM_AND_RESIDUAL * layers * a.width * (1 + p.whole_sequence * (p.tensor - 1))  # shared below, or not
    elements = norms + ROTARY * attentions * (w["queries"] + w["keys_values"])
    elements = elements + (GATED_ACTIVATION if gated else PLAIN_ACTIVATION) * met
    casts = attentions * (2 * a.width + 2 * w["mixed"] + w["queries"] + w["keys_values"]) + layers * a.width + 2 * met
    work: dict[str, Number] = {
        "matrix_flop": passes * FLOP_PER_MULTIPLY_ADD * tokens * numbers / p.tensor,
        "matrix_numbers": passes * (tokens * (whole + split / p.tensor) + numbers / p.tensor),
        "score_flop": score_passes * scores * pairs,
        "score_pairs": score_passes * pairs,
        "score_numbers": (not flash) * SCORE_PASSES_OVER_MEMORY * pairs,
        "element_numbers": forward_and_backward / FORWARD_AND_BACKWARD * tokens * elements / p.tensor,
        "cast_numbers": low * passes / FORWARD_AND_BACKWARD * tokens * CASTS * casts / p.tensor,
        "layers": layers + 0.0,
        "tensor_numbers": (COLLECTIVES_OF_A_LAYER + 2 * p.recompute_all)
        * 2 * (p.tensor - 1) / p.tensor * tokens * a.width * (layers + crossed / 2 - sparse * (shared == 0) / 2),
        "context_numbers": forward_and_backward * (p.context - 1) * tokens
        * attentions * w["keys_values"] / p.tensor,
    }  # fmt: skip
    if a.experts is not None:
        work |= _experts(a, sparse, tokens, passes, p)
    return work


def _widths(a: Architecture) -> dict[str, int]:
    """Numbers of one token between the products of a layer: of all its heads, and inside its experts."""
    e = a.experts
    return {
        "queries": a.heads * key_width(a),
        "keys_values": a.kv_heads * (key_width(a) + value_width(a)),
        "mixed": a.heads * value_width(a),
        "shared": 0 if e is None else e.shared * shared_expert_width(e),
        "visited": 0 if e is None else e.per_token * e.width,
    }


def _experts(a: Architecture, sparse: int, tokens: Number, passes: Number, p: Layout) -> dict[str, Number]:
    """The routed experts: a rank of ``expert`` holds count / expert of them, and each sees its even share."""
    e = a.experts
    assert e is not None
    own = tokens / p.tensor  # the experts are not split over tensor ranks; each of these brings its own tokens
    visits, held = own * e.per_token, e.count / p.expert
    matrices = expert_matrices(a, e)
    inner = matrices / a.width / e.width  # 3 where gated, else 2
    exchanges = EXCHANGES + 2 * p.recompute_all
    return {
        "plain_flop": (FORWARD_AND_INPUTS + p.weight_gradients)
        * FLOP_PER_MULTIPLY_ADD
        * own
        * sparse
        * router_matrices(a, e),
        "expert_flop": passes * FLOP_PER_MULTIPLY_ADD * visits * sparse * matrices,
        "expert_numbers": passes * sparse * (visits * (2 * a.width + inner * e.width) + held * matrices),
        "permuted_numbers": ROUTED * sparse * visits * a.width,
        "biased_numbers": e.bias * BIASED_EXPERT * sparse * visits * a.width,
        "expert_layers": sparse + 0.0,
        "routed_numbers": exchanges * sparse * own * a.width,
    }


def _weights(a: Architecture, p: Layout) -> dict[str, Number]:
    """Numbers that one accelerator of the mean stage holds: all of them, and of these its routed experts."""
    parts = parameter_parts(a)
    outer = parts["embedding"] + parts["positions"] + parts["head"]
    experts = routed_experts(a)
    layers = sum(parts.values()) - outer - experts
    held = experts / p.pipeline / p.expert
    return {"weights": layers / p.pipeline / p.tensor + held + outer / p.tensor, "expert_weights": held}


def routed_experts(a: Architecture) -> int:
    """Numbers in the routed experts of all layers."""
    found = 0
    for layers, decoder in _sides(a):
        shape, further = stack_shape(a, decoder=decoder), a.multi_token_layers * decoder
        if shape.experts is not None:
            sparse = expert_layers(shape, stored_layers(a, layers)) + further
            found = found + sparse * shape.experts.count * expert_matrices(shape, shape.experts)
    return found
