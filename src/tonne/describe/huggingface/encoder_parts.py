"""What readers of encoders share: the shape of a post-norm stack, and what stands on top."""

from __future__ import annotations

from typing import Any

from tonne.describe.huggingface.config import Config, Head
from tonne.errors import DescriptionError

WIDTH = ("hidden_size", "dim")
LAYERS = ("num_hidden_layers", "n_layers")
HEADS = ("num_attention_heads", "n_heads")
INNER = ("intermediate_size", "hidden_dim")
ACTIVATION = ("hidden_act", "activation", "hidden_activation")


def post_norm(config: Config) -> dict[str, Any]:
    """A stack with norms after its blocks, biases, a table of positions and a norm on the embedding.

    With ``is_decoder`` it is a decoder: its mask is causal. ``add_cross_attention`` stores cross-attentions, which
    nothing reads as long as the model stands alone.
    """
    width = config.size(*WIDTH)
    causal = "is_decoder" in config.defaults and config.flag("is_decoder")
    return {
        "kind": "decoder" if causal else "encoder",
        "layers": config.size(*LAYERS),
        "width": width,
        "heads": config.divisor(width, *HEADS, default=config.size(*HEADS)),
        "feed_forward_width": config.size(*INNER),
        "feed_forward": "plain",
        "activation": config.activation(*ACTIVATION),
        "vocabulary": config.size("vocab_size"),
        "positions": "learned",
        "max_positions": config.size("max_position_embeddings"),
        "norm": "layer",
        "norm_position": "post",
        "final_norm": False,
        "embedding_norm": True,
        "bias": True,
        "tied_embeddings": True,
        "idle_cross_attention": _cross_attention(config, causal=causal),
    }


def language_head(config: Config, *, own_bias: bool) -> dict[str, Any]:
    """A dense layer, a norm and the output table; ``own_bias``: that keeps a bias of its own where it is untied."""
    tied = config.flag("tie_word_embeddings")
    return {"prediction_head": True, "tied_embeddings": tied, "head_bias": own_bias and not tied}


def label_head(config: Config, head: Head, *, dense: bool = False, labels: int | None = None) -> dict[str, Any]:
    """The labels of a class, as many as the file says where they are left out; nothing for a base model."""
    if head == "base":
        return {}
    if head == "multiple-choice":
        return {"task_head": lone_label(dense=dense)}
    return {"task_head": {"labels": config.labels if labels is None else labels, "dense": dense}}


def lone_label(*, dense: bool) -> dict[str, Any]:
    """The score of one choice among several."""
    return {"labels": 1, "dense": dense}


def _cross_attention(config: Config, *, causal: bool) -> bool:
    asked = "add_cross_attention" in config.defaults and config.flag("add_cross_attention")
    if asked and not causal:
        raise DescriptionError(
            f"{config.file}: add_cross_attention = true needs is_decoder = true, which it is not. Mend one of the two."
        )
    return asked
