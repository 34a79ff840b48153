"""Names of LLaMA, which Mistral and Qwen 2 have too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.count.layers import has_bias
from tonne.model.huggingface.parts import gated, linear, norm, self_attention, task_head, token_tables
from tonne.model.huggingface.places import Layout, Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Head

HEADS = ("lm_head.", "score.", "qa_outputs.")
PREFIXES = ("model.", "transformer.")
FREQUENCIES = (r"rotary_emb\.inv_freq$",)
LABELS = {"sequence-classification": "score", "token-classification": "score", "question-answering": "qa_outputs"}


def llama(a: Architecture, of: Head) -> Layout:
    """The places of a class with this head, also of Qwen 2; for answers the model has an older name."""
    return _layout(a, of, "transformer." if of == "question-answering" else "model.")


def mistral(a: Architecture, of: Head) -> Layout:
    """The same, with the model under one name in all classes."""
    return _layout(a, of, "model.")


def _layout(a: Architecture, of: Head, prefix: str) -> Layout:
    places = [
        *token_tables(a, of, "embed_tokens.weight", "lm_head.weight"),
        *(place for n in range(a.layers or 0) for place in _layer(a, f"layers.{n}", f"decoder.layers.{n}")),
        *norm("norm", "decoder.final_norm", bias=False),
        *task_head(a, LABELS.get(of, "")),
    ]
    return Layout(
        places=tuple(places), prefix=prefix, also=PREFIXES, heads=HEADS, unread=FREQUENCIES, prefixed=of != "base"
    )


def _layer(a: Architecture, theirs: str, ours: str) -> Iterator[Place]:
    attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
    yield from norm(f"{theirs}.input_layernorm", f"{ours}.attention_norm", bias=False)
    query, key, value = (f"{attention}.{name}_proj" for name in "qkv")
    yield from self_attention(a, (query, key, value), f"{ours}.attention")
    yield from linear(f"{attention}.o_proj", f"{ours}.attention.output", bias=has_bias(a, "output"))
    yield from norm(f"{theirs}.post_attention_layernorm", f"{ours}.feed_forward_norm", bias=False)
    names = (f"{mlp}.gate_proj", f"{mlp}.up_proj", f"{mlp}.down_proj")
    yield from gated(a, names, f"{ours}.feed_forward")
