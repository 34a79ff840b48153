"""What readers of models with experts share: the decoder around them, the experts, and the layers that have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tonne.describe.huggingface.parts import decoder_head
from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.describe.huggingface.config import Config, Head

ALL_HEADS: tuple[Head, ...] = (
    "causal-lm",
    "base",
    "sequence-classification",
    "token-classification",
    "question-answering",
)  # what stands on top of a decoder, the default first


def decoder(config: Config, heads: int = len(ALL_HEADS), *, output_bias: bool = False) -> dict[str, Any]:
    """Fields of a gated decoder with rotary positions and RMS norms before each block, without biases.

    Args:
        config: The configuration. Heads are as wide as width / heads, rounded down, where it does not say.
        heads: How many of ``ALL_HEADS`` this model type has a class for.
        output_bias: The output table has a bias.
    """
    config.head_among(*ALL_HEADS[:heads])
    width, count = config.size("hidden_size"), config.size("num_attention_heads")
    return {
        "kind": "decoder",
        "layers": config.layers("num_hidden_layers"),
        "width": width,
        "heads": count,
        "kv_heads": config.divisor(count, "num_key_value_heads", default=count),
        "head_width": config.number_or_none("head_dim") or max(width // count, 1),
        "feed_forward_width": config.size("intermediate_size"),
        "feed_forward": "gated",
        "activation": config.activation("hidden_act"),
        "vocabulary": config.size("vocab_size"),
        "positions": "rotary",
        "max_positions": config.number("max_position_embeddings"),
        "norm": "rms",
        "norm_position": "pre",
        "bias": False,
    } | decoder_head(config, output_bias=output_bias)


def experts(config: Config, *, count: str, width: str, places: dict[str, Any] | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """The field ``experts``, or nothing where no layer has any.

    Args:
        config: The configuration.
        count: Name of its number of experts.
        width: Name of its width of one expert.
        places: Which layers have experts, as ``places_of`` gives them.
        more: Further fields of ``Experts``.
    """
    if places is None:
        return {}
    per_token = {"per_token": config.size("num_experts_per_tok", "moe_k")}
    number = config.size(count, "num_experts", "num_local_experts", "n_routed_experts")
    if per_token["per_token"] > number:
        raise DescriptionError(
            f"{config.file}: a token visits {per_token['per_token']} experts (num_experts_per_tok), but {count} = "
            f"{number}. It can visit 1 to {number}. Lower the one, or raise the other."
        )
    return {"experts": {"count": number, **per_token, "width": config.size(width), **places, **more}}


def shared(config: Config, name: str, *, bias: bool = False) -> dict[str, Any]:
    """Fields of the shared experts, which transformers holds as one block: one output bias for all of them."""
    count, width = config.number(name), config.size("moe_intermediate_size")
    if not count:
        return {}
    return {"shared": 1, "shared_width": count * width, "shared_bias": True} if bias else {"shared": count}


def places_of(layers: int, has_experts: Callable[[int], bool]) -> dict[str, Any] | None:
    """Which layers have experts, as fields of ``Experts``; None where none has."""
    sparse = [layer for layer in range(layers) if has_experts(layer)]
    if not sparse:
        return None
    first = sparse[0]
    for every in (sparse[1] - first,) if len(sparse) > 1 else (1, first + 1):
        if first + 1 >= every and sparse == list(range(first, layers, every)):
            return {"dense_layers": first + 1 - every, "every": every}
    return {"dense_layers": first, "dense_at": tuple(sorted(set(range(first, layers)) - set(sparse)))}


def window_everywhere(config: Config) -> dict[str, Any]:
    """A window in all layers, where the file gives one."""
    return {"attention_window": config.number_or_none("sliding_window") or None}
