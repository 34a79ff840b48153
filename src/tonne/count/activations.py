"""Bytes that a layer's operations keep of one token until the backward pass. Widths may be arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.layers import (
    expert_layers,
    has_cross_attention,
    key_width,
    mean_over_layers,
    shared_expert_width,
    stacks,
    value_width,
)

if TYPE_CHECKING:
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture

THIRTY_TWO_BIT = 4
GATED_STATES, PLAIN_STATES = 3, 2  # gate, up and their product; before and after the activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Bytes of a number that is kept, and of one kept as the input of a matrix alone (8-bit products) [bytes]."""

    number: float
    input: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes of one token in one layer [bytes/token].

    ``whole_bytes`` lie on every tensor rank unless these share the sequence between the matrices; ``split_bytes`` are
    split with the matrices; ``working_bytes`` exist only while the layer's backward pass runs; ``product_bytes``: what
    is left of the split ones where every second product's output is kept, and that of the attention.
    """

    whole_bytes: float
    split_bytes: float
    working_bytes: float
    product_bytes: float

    def on_rank(self, tensor: int, *, sequence_parallel: bool) -> float:
        """Bytes of one token that one tensor rank keeps."""
        whole = self.whole_bytes / tensor if sequence_parallel else self.whole_bytes
        return whole + self.split_bytes / tensor


def layer_activation_bytes(
    architecture: Architecture,
    sequence_length: int,
    *,
    width_bytes: int,
    scores: bool,
    dropout: bool = True,
    input_bytes: float | None = None,
) -> float:
    """Bytes that one layer keeps of one token for the backward pass, before any splitting: the mean over the layers.

    Equation: for a plain layer with as many keys as heads s b h (34 + 5 A s / h), 16-bit, with s = sequence_length,
    b = sequences, h = width, A = heads; here by what is kept: two norms' inputs, the attention's input, queries, keys,
    values and output (and the latent vectors before and after their norms), the feed-forward's input and its inner
    states, of each expert visited a copy of its input and its inner states, two dropout masks, and the scores.

    Returns:
        Bytes per token and layer [bytes/token].

    Source: korthikanti2022recomputation, section 4.
    """
    a = architecture
    layers = sum(count for count, _ in stacks(a))
    sparse = sum(expert_layers(a, count) for count, _ in stacks(a)) / layers
    bytes_of = Bytes(number=width_bytes, input=width_bytes if input_bytes is None else input_bytes)
    kept = attention_kept(a, sequence_length, bytes_of, scores=scores, dropout=dropout)
    dense = feed_forward_kept(a, bytes_of, dropout=dropout)
    experts = experts_kept(a, bytes_of, dropout=dropout)
    whole = kept.on_rank(1, sequence_parallel=True) + (1 - sparse) * dense.on_rank(1, sequence_parallel=True)
    return whole + sparse * experts.on_rank(1, sequence_parallel=True)


def attention_kept(
    architecture: Architecture, sequence_length: int, bytes_of: Bytes, *, scores: bool, dropout: bool
) -> Kept:
    """What one attention with its norm keeps, or the mean of one and a half in an encoder-decoder.

    Equation: W (2 h + H d_k + K d_k + K d_v + H d_v + 2 q + 2 c) and h of a dropout mask, with W = bytes of a number,
    h = width, H, K = heads of queries and of keys and values, d_k, d_v = their widths, q, c = widths of the latent
    vectors; of latent attention K = H. Where the scores are kept, (2 W + 1) H s more, with s = sequence_length. Inputs
    of matrices (h, q, c) take fewer bytes where the products are in 8 bits, and the output then a copy of its own.

    Source: korthikanti2022recomputation, section 4.1.
    """
    a, latent = architecture, architecture.latent_attention
    crossed = 1 + has_cross_attention(a) / 2  # the decoder's half of the layers attends twice
    norms = 2 if a.norm_position == "both" else 1
    heads = mean_over_layers(a, lambda shape: shape.heads)
    keys = a.heads if latent is not None else a.kv_heads
    vectors = 0 if latent is None else 2 * (latent.kv_rank + (latent.query_rank or 0))
    rotary = 0 if latent is None else latent.rotary_width
    w, narrow = bytes_of.number, bytes_of.input
    whole = w * (norms * a.width + vectors / 2 + rotary) + narrow * (a.width + vectors / 2) + dropout * a.width
    copy = (narrow < w) * narrow * a.heads * value_width(a)
    split: float = w * (a.heads + keys) * (key_width(a) + value_width(a)) + copy
    if a.query_key_norm != "none" and latent is None:
        split = split + w * (a.heads + keys) * key_width(a)
    split = split + scores * (2 * w + 1) * heads * sequence_length
    working = w * (a.width + (a.heads + 2 * keys) * key_width(a))
    outputs = a.heads * key_width(a) + keys * (key_width(a) + value_width(a)) + a.width + vectors
    product = w * (a.heads * value_width(a) + outputs / 2)
    return Kept(
        whole_bytes=crossed * whole,
        split_bytes=crossed * split,
        working_bytes=working,
        product_bytes=crossed * product,
    )


def feed_forward_kept(architecture: Architecture, bytes_of: Bytes, *, dropout: bool) -> Kept:
    """What a dense feed-forward block with its norm keeps.

    Equation: W (2 h + g F) and h of a dropout mask, with W = bytes of a number, h = width, F = inner width and g = 3
    when gated (gate, up, product), else 2 (before and after the activation).

    Source: korthikanti2022recomputation, section 4.1.
    """
    a = architecture
    states = _states(a.feed_forward)
    inner = mean_over_layers(a, lambda shape: shape.feed_forward_width)
    w, narrow = bytes_of.number, bytes_of.input
    return Kept(
        whole_bytes=w * _norm_features(a) + narrow * _input_features(a) + dropout * a.width,
        split_bytes=w * (states - 1) * inner + narrow * inner,
        working_bytes=w * (a.width + (states - 1) * inner),
        product_bytes=w * ((states - 1) * inner + a.width) / 2,
    )


def experts_kept(architecture: Architecture, bytes_of: Bytes, *, dropout: bool) -> Kept:
    """What a block of experts with its norm and router keeps; nothing where the model has none.

    Equation: W (2 h + k (h + g F) + S g F_s) + 4 (2 n) and h of a dropout mask, with k = experts a token visits, each
    with a copy of its input, S = shared experts, F, F_s = their inner widths, n = experts whose scores and shares the
    router keeps in 32 bits; the other letters as of a dense block.
    """
    a, experts = architecture, architecture.experts
    if experts is None:
        return Kept(whole_bytes=0.0, split_bytes=0.0, working_bytes=0.0, product_bytes=0.0)
    states = _states(experts.feed_forward or a.feed_forward)
    met = experts.per_token * experts.width + experts.shared * shared_expert_width(experts)
    router = 2 * THIRTY_TWO_BIT * experts.count
    w, narrow = bytes_of.number, bytes_of.input
    return Kept(
        whole_bytes=w * _norm_features(a) + narrow * _input_features(a) + router + dropout * a.width,
        split_bytes=w * (states - 1) * met + narrow * (experts.per_token * a.width + met),
        working_bytes=w * (experts.per_token * a.width + (states - 1) * met),
        product_bytes=w * ((states - 1) * met + experts.per_token * a.width) / 2,
    )


def feed_forward_states(architecture: Architecture) -> float:
    """Inner features that one token meets in a layer's feed-forward block, the mean over dense and expert layers."""
    a, experts = architecture, architecture.experts
    if experts is None:
        return mean_over_layers(a, lambda shape: shape.feed_forward_width)
    layers = sum(count for count, _ in stacks(a))
    sparse = sum(expert_layers(a, count) for count, _ in stacks(a)) / layers
    met = experts.per_token * experts.width + experts.shared * shared_expert_width(experts)
    return (1 - sparse) * mean_over_layers(a, lambda shape: shape.feed_forward_width) + sparse * met


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


def _norm_features(a: Architecture) -> int:
    """Features before the norms of a feed-forward block; parallel blocks share them with the attention."""
    return ((2 if a.norm_position == "both" else 1) - a.parallel_blocks) * a.width


def _input_features(a: Architecture) -> int:
    """Features of its input; parallel blocks with one norm share it with the attention."""
    return (1 - a.shared_block_norm) * a.width


def _states(feed_forward: str) -> int:
    return GATED_STATES if feed_forward == "gated" else PLAIN_STATES
