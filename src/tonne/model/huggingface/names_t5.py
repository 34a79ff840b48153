"""Names of T5, of all its versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.count.layers import stacks
from tonne.model.huggingface.parts import WITH_OUTPUT, cross_attention, gated, linear, norm, self_attention, task_head
from tonne.model.huggingface.places import Layout, Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Head

HEADS = ("lm_head.", "classification_head.", "classifier.", "qa_outputs.")
OUTPUT = "lm_head.weight"
UNREAD = (r"EncDecAttention\.relative_attention_bias\.weight$",)  # of the first version; no attention across reads it
LABELS = {
    "sequence-classification": "classification_head.out_proj",
    "token-classification": "classifier",
    "question-answering": "qa_outputs",
}
UNDER_A_NAME: tuple[Head, ...] = ("sequence-classification", "token-classification")


def t5(a: Architecture, of: Head) -> Layout:
    """The places of a class with this head."""
    places = [
        *_tables(a, of),
        *(place for layers, cross in stacks(a) for place in _stack(a, layers, cross=cross)),
        *task_head(a, LABELS.get(of, ""), dense="classification_head.dense"),
    ]
    return Layout(places=tuple(places), prefix="transformer.", heads=HEADS, unread=UNREAD, prefixed=of in UNDER_A_NAME)


def _tables(a: Architecture, of: Head) -> Iterator[Place]:
    """The token table, which both stacks and the first versions' output table are tied to."""
    names = ["shared.weight", "encoder.embed_tokens.weight"]
    names += ["decoder.embed_tokens.weight"] if a.kind == "encoder-decoder" else []
    with_output = of in WITH_OUTPUT
    names += [OUTPUT] if with_output and a.tied_embeddings else []
    yield Place(tuple(names), "embedding.tokens.weight")
    if with_output and not a.tied_embeddings:
        yield Place((OUTPUT,), "output.weight")


def _stack(a: Architecture, layers: int, *, cross: bool) -> Iterator[Place]:
    stack = "decoder" if cross else "encoder"
    relative = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    yield Place((relative,), f"{stack}.relative.weight")
    for layer in range(layers):
        yield from _layer(a, f"{stack}.block.{layer}.layer", f"{stack}.layers.{layer}", cross=cross)
    yield from norm(f"{stack}.final_layer_norm", f"{stack}.final_norm", bias=False)


def _layer(a: Architecture, theirs: str, ours: str, *, cross: bool) -> Iterator[Place]:
    query, key, value = (f"{theirs}.0.SelfAttention.{name}" for name in "qkv")
    yield from self_attention(a, (query, key, value), f"{ours}.attention")
    yield from linear(f"{theirs}.0.SelfAttention.o", f"{ours}.attention.output", bias=False)
    yield from norm(f"{theirs}.0.layer_norm", f"{ours}.attention_norm", bias=False)
    if cross:
        query, key, value = (f"{theirs}.1.EncDecAttention.{name}" for name in "qkv")
        yield from cross_attention(a, (query, key, value), f"{ours}.cross_attention")
        yield from linear(f"{theirs}.1.EncDecAttention.o", f"{ours}.cross_attention.output", bias=False)
        yield from norm(f"{theirs}.1.layer_norm", f"{ours}.cross_attention_norm", bias=False)
    last = f"{theirs}.{1 + cross}"
    inner = f"{last}.DenseReluDense"
    if a.feed_forward == "gated":
        yield from gated(a, (f"{inner}.wi_0", f"{inner}.wi_1", f"{inner}.wo"), f"{ours}.feed_forward")
    else:
        yield from linear(f"{inner}.wi", f"{ours}.feed_forward.up", bias=False)
        yield from linear(f"{inner}.wo", f"{ours}.feed_forward.down", bias=False)
    yield from norm(f"{last}.layer_norm", f"{ours}.feed_forward_norm", bias=False)
