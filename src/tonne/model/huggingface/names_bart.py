"""Names of BART."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.count.layers import stack_shape, stacks
from tonne.model.huggingface.parts import WITH_OUTPUT, cross_attention, linear, norm, self_attention, task_head
from tonne.model.huggingface.places import Layout, Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Head

HEADS = ("lm_head.", "final_logits_bias", "classification_head.", "qa_outputs.")
OUTPUT = "lm_head.weight"
OUTPUT_BIAS = "final_logits_bias"  # stored, never trained, and zero in all that is published
LABELS = {"sequence-classification": "classification_head.out_proj", "question-answering": "qa_outputs"}


def bart(a: Architecture, of: Head) -> Layout:
    """The places of a class with this head."""
    places = [
        *_tables(a, of),
        *(place for layers, cross in stacks(a) for place in _stack(a, layers, cross=cross)),
        *task_head(a, LABELS.get(of, ""), dense="classification_head.dense"),
    ]
    return Layout(places=tuple(places), prefix="model.", heads=HEADS, zero=(OUTPUT_BIAS,), prefixed=of != "base")


def _tables(a: Architecture, of: Head) -> Iterator[Place]:
    """One table; or untied three, of which nothing reads the shared one, and one for the output."""
    own = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    output = (OUTPUT,) if of in WITH_OUTPUT else ()
    if a.token_tables == 1:
        yield Place(("shared.weight", *own, *output), "embedding.tokens.weight")
        return
    yield Place(("shared.weight",), "embedding.idle.0.weight")
    yield Place(own[:1], "embedding.source.weight")
    yield Place((*own[1:], *(output if a.tied_embeddings else ())), "embedding.tokens.weight")
    if output and not a.tied_embeddings:
        yield Place(output, "output.weight")


def _stack(whole: Architecture, layers: int, *, cross: bool) -> Iterator[Place]:
    a, stack = stack_shape(whole, decoder=cross), "decoder" if cross else "encoder"
    yield Place((f"{stack}.embed_positions.weight",), f"{stack}.inputs.positions.weight")
    yield from norm(f"{stack}.layernorm_embedding", f"{stack}.inputs.norm")
    for layer in range(layers):
        yield from _layer(a, f"{stack}.layers.{layer}", f"{stack}.layers.{layer}", cross=cross)


def _layer(a: Architecture, theirs: str, ours: str, *, cross: bool) -> Iterator[Place]:
    yield from self_attention(a, _projections(f"{theirs}.self_attn"), f"{ours}.attention")
    yield from linear(f"{theirs}.self_attn.out_proj", f"{ours}.attention.output", bias=True)
    yield from norm(f"{theirs}.self_attn_layer_norm", f"{ours}.attention_norm")
    if cross:
        yield from cross_attention(a, _projections(f"{theirs}.encoder_attn"), f"{ours}.cross_attention")
        yield from linear(f"{theirs}.encoder_attn.out_proj", f"{ours}.cross_attention.output", bias=True)
        yield from norm(f"{theirs}.encoder_attn_layer_norm", f"{ours}.cross_attention_norm")
    yield from linear(f"{theirs}.fc1", f"{ours}.feed_forward.up", bias=True)
    yield from linear(f"{theirs}.fc2", f"{ours}.feed_forward.down", bias=True)
    yield from norm(f"{theirs}.final_layer_norm", f"{ours}.feed_forward_norm")


def _projections(theirs: str) -> tuple[str, str, str]:
    return f"{theirs}.q_proj", f"{theirs}.k_proj", f"{theirs}.v_proj"
