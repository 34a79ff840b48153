"""Places of the parts that all families have: linears, norms, attentions, gated feed-forward blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.count.layers import has_bias
from tonne.model.huggingface.places import Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture, Linear
    from tonne.describe.huggingface.config import Head

WITH_OUTPUT: tuple[Head, ...] = ("causal-lm", "masked-lm", "pre-training", "seq2seq")
PROJECTIONS: tuple[Linear, ...] = ("query", "key", "value")


def linear(
    theirs: str, ours: str, *, bias: bool, rows: tuple[int, int] | None = None, transposed: bool = False
) -> Iterator[Place]:
    """A matrix, and its bias."""
    yield Place((f"{theirs}.weight",), f"{ours}.weight", rows, transposed)
    if bias:
        yield Place((f"{theirs}.bias",), f"{ours}.bias", rows)


def norm(theirs: str, ours: str, *, bias: bool = True) -> Iterator[Place]:
    """A norm's weight, and its bias; an RMS norm has none."""
    return linear(theirs, ours, bias=bias)


def self_attention(a: Architecture, theirs: tuple[str, str, str], ours: str) -> Iterator[Place]:
    """Queries, keys and values, which are one matrix here where all or none of them have a bias."""
    biases = [has_bias(a, name) for name in PROJECTIONS]
    if len(set(biases)) > 1:
        for name, part, bias in zip(theirs, PROJECTIONS, biases, strict=True):
            yield from linear(name, f"{ours}.{part}", bias=bias)
        return
    inner, shared = a.heads * a.head_width, a.kv_heads * a.head_width
    yield from fused(theirs, f"{ours}.query_key_value", (inner, shared, shared), bias=biases[0])


def cross_attention(a: Architecture, theirs: tuple[str, str, str], ours: str) -> Iterator[Place]:
    """Queries of the decoder, keys and values of the encoder, the last two in one matrix."""
    shared = a.kv_heads * a.head_width
    yield from linear(theirs[0], f"{ours}.query", bias=has_bias(a, "query"))
    yield from fused(theirs[1:], f"{ours}.key_value", (shared, shared), bias=has_bias(a, "key"))


def gated(a: Architecture, theirs: tuple[str, str, str], ours: str) -> Iterator[Place]:
    """Gate and up, one matrix here, and down."""
    bias, inner = has_bias(a, "feed_forward"), a.feed_forward_width
    yield from fused(theirs[:2], f"{ours}.gate_up", (inner, inner), bias=bias)
    yield from linear(theirs[2], f"{ours}.down", bias=bias)


def fused(theirs: tuple[str, ...], ours: str, heights: tuple[int, ...], *, bias: bool) -> Iterator[Place]:
    """Several matrices of theirs that are one of ours, one below the other."""
    start = 0
    for name, height in zip(theirs, heights, strict=True):
        yield from linear(name, ours, bias=bias, rows=(start, start + height))
        start += height


def task_head(a: Architecture, theirs: str, *, dense: str = "") -> Iterator[Place]:
    """The head for labels, where there is one, with the layer before it."""
    if a.task_head is None:
        return
    if a.task_head.dense:
        yield from linear(dense, "task.dense", bias=a.task_head.dense_bias)
    yield from linear(theirs, "task.output", bias=a.task_head.bias)


def token_tables(a: Architecture, of: Head, table: str, output: str) -> Iterator[Place]:
    """The token table, and the output table of a class that has one: the same where it is tied."""
    with_output = of in WITH_OUTPUT
    tied = (output,) if with_output and a.tied_embeddings else ()
    yield Place((table, *tied), "embedding.tokens.weight")
    if with_output and not a.tied_embeddings:
        yield Place((output,), "output.weight")
