"""Names of BERT, with those that checkpoints of 2018 still have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tonne.model.huggingface.parts import linear, norm, self_attention, task_head, token_tables
from tonne.model.huggingface.places import Layout, Place

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.huggingface.config import Head

HEADS = ("cls.", "classifier.", "qa_outputs.")
PREDICTION = "cls.predictions"
OUTPUT = f"{PREDICTION}.decoder"
RENAMED = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
POSITIONS = (r"embeddings\.position_ids$",)
LABELS = {
    "sequence-classification": "classifier",
    "token-classification": "classifier",
    "multiple-choice": "classifier",
    "question-answering": "qa_outputs",
    "next-sentence": "cls.seq_relationship",
}


def bert(a: Architecture, of: Head) -> Layout:
    """The places of a class with this head."""
    stack = "decoder" if a.kind == "decoder" else "encoder"
    layers = range(a.layers or 0)
    places = [
        *token_tables(a, of, "embeddings.word_embeddings.weight", f"{OUTPUT}.weight"),
        Place(("embeddings.position_embeddings.weight",), f"{stack}.inputs.positions.weight"),
        Place(("embeddings.token_type_embeddings.weight",), "embedding.types.weight"),
        *norm("embeddings.LayerNorm", f"{stack}.inputs.norm"),
        *(place for n in layers for place in _layer(a, f"encoder.layer.{n}", f"{stack}.layers.{n}")),
        *(linear("pooler.dense", "pooler.dense", bias=True) if a.pooler else ()),
        *(_prediction(a) if a.prediction_head else ()),
        *(linear("cls.seq_relationship", "next_sentence", bias=True) if a.next_sentence_head else ()),
        *task_head(a, LABELS.get(of, "")),
    ]
    return Layout(
        places=tuple(places),
        prefix="bert.",
        heads=HEADS,
        unread=POSITIONS,
        of_other_heads=("pooler.",),
        renamed=RENAMED,
        zero=() if a.tied_embeddings else (f"{PREDICTION}.bias",),  # stored, but an untied output has one of its own
        prefixed=of != "base",
    )


def _layer(a: Architecture, theirs: str, ours: str) -> Iterator[Place]:
    query, key, value = (f"{theirs}.attention.self.{name}" for name in ("query", "key", "value"))
    yield from self_attention(a, (query, key, value), f"{ours}.attention")
    yield from linear(f"{theirs}.attention.output.dense", f"{ours}.attention.output", bias=True)
    yield from norm(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention_norm")
    yield from linear(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.up", bias=True)
    yield from linear(f"{theirs}.output.dense", f"{ours}.feed_forward.down", bias=True)
    yield from norm(f"{theirs}.output.LayerNorm", f"{ours}.feed_forward_norm")


def _prediction(a: Architecture) -> Iterator[Place]:
    """The transform before the output table, and the table's bias, which has two names where the tables are tied."""
    yield from linear(f"{PREDICTION}.transform.dense", "prediction.dense", bias=True)
    yield from norm(f"{PREDICTION}.transform.LayerNorm", "prediction.norm")
    tied = (f"{OUTPUT}.bias",) if a.tied_embeddings else ()
    yield Place((f"{PREDICTION}.bias", *tied), "prediction.bias")
    if a.head_bias:
        yield Place((f"{OUTPUT}.bias",), "output.bias")
