"""Names of GPT-2: matrices stored as (in, out), queries, keys and values in one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.model.huggingface.parts import linear, norm, task_head, token_tables
from tonne.model.huggingface.places import Layout, Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Head

HEADS = ("lm_head.", "score.", "classifier.", "qa_outputs.")
MASKS = (r"\.attn\.bias$", r"\.attn\.masked_bias$")
LABELS = {"sequence-classification": "score", "token-classification": "classifier", "question-answering": "qa_outputs"}


def gpt2(a: Architecture, of: Head) -> Layout:
    """The places of a class with this head."""
    places = [
        *token_tables(a, of, "wte.weight", "lm_head.weight"),
        Place(("wpe.weight",), "decoder.inputs.positions.weight"),
        *(place for layer in range(a.layers or 0) for place in _layer(f"h.{layer}", f"decoder.layers.{layer}")),
        *norm("ln_f", "decoder.final_norm"),
        *task_head(a, LABELS.get(of, "")),
    ]
    return Layout(places=tuple(places), prefix="transformer.", heads=HEADS, unread=MASKS, prefixed=of != "base")


def _layer(theirs: str, ours: str) -> Iterator[Place]:
    yield from norm(f"{theirs}.ln_1", f"{ours}.attention_norm")
    yield from linear(f"{theirs}.attn.c_attn", f"{ours}.attention.query_key_value", bias=True, transposed=True)
    yield from linear(f"{theirs}.attn.c_proj", f"{ours}.attention.output", bias=True, transposed=True)
    yield from norm(f"{theirs}.ln_2", f"{ours}.feed_forward_norm")
    yield from linear(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.up", bias=True, transposed=True)
    yield from linear(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.down", bias=True, transposed=True)
