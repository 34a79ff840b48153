"""What readers of decoders share: the shape of a stack, its windows, its biases and what stands on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tonne.describe.huggingface.config import Config
from tonne.errors import DescriptionError

# one fact under the names that the configurations give it; the first that a file gives counts
WIDTH = ("n_embed", "hidden_size", "n_embd", "d_model")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads")
INNER = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
ACTIVATION = ("hidden_act", "activation_function", "hidden_activation", "activation", "afn")

ANSWER_LABELS = 2  # where a span starts and ends
PLAIN_RATIO = 4  # feed-forward width / width where the file gives none


def stack(config: Config) -> dict[str, Any]:
    """Layers, widths, heads, vocabulary and positions of a decoder; heads as wide as width / heads unless given."""
    width, heads = config.size(*WIDTH), config.size(*HEADS)
    head_width = config.number_or_none("head_dim", least=1)
    if head_width is None:
        head_width = width // config.divisor(width, *HEADS, default=heads)
    inner = config.number_or_none(*INNER, least=1)
    return {
        "kind": "decoder",
        "layers": config.layers(*LAYERS),
        "width": width,
        "heads": heads,
        "kv_heads": config.divisor(heads, "num_key_value_heads", default=heads),
        "head_width": head_width,
        "feed_forward_width": PLAIN_RATIO * width if inner is None else inner,
        "vocabulary": config.size("vocab_size"),
        "max_positions": config.number_or_none(*POSITIONS) or 0,
        "norm_position": "pre",
    }


def biases(*, attention: bool = False, output: bool | None = None, feed_forward: bool = False) -> bool | list[str]:
    """The linears with a bias; ``output`` is as the rest of attention where it is left out."""
    with_one = ["query", "key", "value"] if attention else []
    with_one += ["output"] if (attention if output is None else output) else []
    with_one += ["feed_forward"] if feed_forward else []
    return with_one if 0 < len(with_one) < len(biases_of_all()) else bool(with_one)


def biases_of_all() -> tuple[str, ...]:
    """All linears that may have one."""
    return ("query", "key", "value", "output", "feed_forward")


def decoder_head(config: Config, *, output_bias: bool = False, answer_labels: int = ANSWER_LABELS) -> dict[str, Any]:
    """What stands on top of a decoder; a class without an output table counts as one that is tied."""
    head = config.head_among(
        "causal-lm", "base", "sequence-classification", "token-classification", "question-answering"
    )
    tied = config.flag("tie_word_embeddings")
    if head == "causal-lm":
        return {"tied_embeddings": tied, "head_bias": output_bias}
    if head == "base":
        return {"tied_embeddings": True}
    answers = head == "question-answering"
    labels = answer_labels if answers else config.labels
    return {"tied_embeddings": True, "task_head": {"labels": labels, "bias": head != "sequence-classification"}}


def windows(config: Config, layers: int, window: int | None, full_by_default: Sequence[int] = ()) -> dict[str, Any]:
    """The window and the layers that attend fully, as the file lists them in ``layer_types``, else by default.

    Args:
        config: The file.
        layers: Layers of the stack.
        window: Tokens that a windowed layer sees [token]; None where no layer has a window.
        full_by_default: The full layers (counted from 0) where the file has no list.
    """
    full = layers_of_type(config, layers, full_by_default)
    if not window or len(full) == layers:
        return {}
    if not full:
        return {"attention_window": window}
    first, every = full[0], full[1] - full[0] if len(full) > 1 else max(full[0] + 1, layers - full[0], 2)
    if every > 1 and full == list(range(first, layers, every)):
        return {"attention_window": window, "window_every": every, "window_first_full": first}
    return {"attention_window": window, "full_attention_layers": full}


def layers_of_type(config: Config, layers: int, full_by_default: Sequence[int]) -> list[int]:
    """The layers that ``layer_types`` says attend fully."""
    types = config.given.get("layer_types")
    if types is None:
        return list(full_by_default)
    known = ("full_attention", "sliding_attention")
    if not isinstance(types, list) or len(types) != layers or any(kind not in known for kind in types):
        raise DescriptionError(
            f"{config.file}: layer_types is not a list of {layers} words, one a layer, each of {', '.join(known)}. "
            f"Mend it, or leave it out: the pattern of {config.model_type} is taken then."
        )
    return [layer for layer, kind in enumerate(types) if kind == "full_attention"]


def last_of_each_full(config: Config, layers: int, every: int, *, pattern: bool = False) -> dict[str, Any]:
    """Windows of ``sliding_window``, but for the last layer of each ``every`` layers.

    With ``pattern`` the file's ``sliding_window_pattern`` replaces ``every``; a list of layers says more than it.
    """
    window = config.number_or_none("sliding_window")
    if pattern and window and config.given.get("layer_types") is None:
        every = config.number_or_none("sliding_window_pattern", "_sliding_window_pattern", least=1) or every
    return windows(config, layers, window, every_full(layers, every))


def every_full(layers: int, every: int) -> list[int]:
    """Each ``every``-th layer, e.g. 3, 7, 11 of every fourth; none where it is 0."""
    return list(range(every - 1, layers, every)) if every else []
