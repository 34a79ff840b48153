"""Readers of config.json: DeBERTa, whose scores look at a table of relative positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import Config, Head, shown
from tonne.describe.huggingface.encoder_parts import label_head, language_head, post_norm
from tonne.errors import DescriptionError

PRODUCTS = ("c2p", "p2c")  # content to position, position to content
HEADS: tuple[Head, ...] = (
    "masked-lm",
    "base",
    "sequence-classification",
    "token-classification",
    "question-answering",
)
HEADS_V2: tuple[Head, ...] = (*HEADS, "multiple-choice")


def deberta(config: Config) -> dict[str, Any]:
    """Queries and values with a bias; a projection of the relative positions for each product, the second with one."""
    if _switch(config, "talking_head"):
        raise DescriptionError(
            f"{config.file}: talking_head = true mixes the heads by matrices that are not counted. Set it to false."
        )
    fields = _stack(config, HEADS) | {"bias": ["query", "value", "output", "feed_forward"]}
    products = _products(config)
    if not config.flag("relative_attention"):
        return fields
    table = _span(config, "max_relative_positions") or config.number("max_position_embeddings")
    return fields | {
        "relative_rows": 2 * table,
        "relative_products": len(products),
        "relative_projections": len(products),
        "relative_projection_biases": int("p2c" in products),
    }


def deberta_v2(config: Config) -> dict[str, Any]:
    """All linears with a bias; relative positions through the layers' own projections or through shared ones."""
    fields = _stack(config, HEADS_V2) | _convolution(config)
    if "layer_norm" in str(config.given.get("norm_rel_ebd", "none")).lower():
        fields["relative_norm"] = True
    if not config.flag("relative_attention"):
        return fields
    products = _products(config)
    own = 0 if _switch(config, "share_att_key") else len(products)
    table = _span(config, "position_buckets") or _span(config, "max_relative_positions")
    return fields | {
        "relative_rows": 2 * (table or config.number("max_position_embeddings")),
        "relative_products": len(products),
        "relative_projections": own,
        "relative_projection_biases": own,
    }


def _stack(config: Config, heads: tuple[Head, ...]) -> dict[str, Any]:
    """What both have: segments and absolute positions where they are asked for, and the heads."""
    fields, head = post_norm(config), config.head_among(*heads)
    narrow = config.number_or_none("embedding_size", least=1)
    fields["token_types"] = config.number("type_vocab_size")
    if narrow is not None and narrow != fields["width"]:
        fields |= {"embedding_width": narrow, "embedding_norm_projected": True}
    if not config.flag("position_biased_input"):
        fields["positions"] = "relative" if config.flag("relative_attention") else "none"
    _refuse_other_widths(config, fields["width"], fields["heads"])
    if head == "masked-lm":
        return fields | _language_head(config, fields)
    pooled = head in ("sequence-classification", "multiple-choice")
    return fields | {"pooler": pooled} | label_head(config, head)


def _language_head(config: Config, fields: dict[str, Any]) -> dict[str, Any]:
    """The older head may be untied; the newer one multiplies with the token table itself."""
    if config.flag("legacy"):
        return language_head(config, own_bias=True)
    if "embedding_width" in fields:
        raise DescriptionError(
            f"{config.file}: legacy = false needs embedding_size = hidden_size, as its output multiplies with the "
            f"token table. Leave embedding_size out, or set legacy to true."
        )
    return {"prediction_head": True}


def _products(config: Config) -> tuple[str, ...]:
    """The products named in ``pos_att_type``, a list or words with bars between."""
    named = config.value("pos_att_type") or []
    words = [word.strip() for word in named.lower().split("|")] if isinstance(named, str) else named
    if not isinstance(words, list) or any(word not in (*PRODUCTS, "none", "") for word in words):
        raise DescriptionError(
            f"{config.file}: pos_att_type = {shown(named)} is not a list of some of {', '.join(PRODUCTS)}. Mend it."
        )
    return tuple(word for word in PRODUCTS if word in words)


def _switch(config: Config, name: str) -> bool:
    """A switch that the configuration class does not declare; off where it is left out."""
    return config.flag(name) if name in config.given else False


def _span(config: Config, name: str) -> int | None:
    """A number of positions to either side; None where it is left out, or below 1."""
    value = config.given.get(name, -1)
    if not isinstance(value, int) or isinstance(value, bool):
        raise DescriptionError(
            f"{config.file}: {name} = {shown(value)} is not a whole number. Give one, or -1 for none."
        )
    return value if value > 0 else None


def _convolution(config: Config) -> dict[str, Any]:
    """The convolution beside the first layer."""
    kernel, groups = _span(config, "conv_kernel_size"), _span(config, "conv_groups")
    if kernel is None:
        return {}
    if kernel % 2 == 0:
        raise DescriptionError(
            f"{config.file}: conv_kernel_size = {kernel} is even, which shortens the sequence. Use an odd number."
        )
    return {
        "convolution_width": kernel,
        "convolution_groups": config.divisor(config.number("hidden_size"), "conv_groups", default=groups or 1),
    }


def _refuse_other_widths(config: Config, width: int, heads: int) -> None:
    """A pooler or heads of another width: transformers builds them, and they fit nothing."""
    for name, fits in (("pooler_hidden_size", width), ("attention_head_size", width // heads)):
        if config.given.get(name, fits) != fits:
            raise DescriptionError(
                f"{config.file}: {name} = {shown(config.given[name])} does not fit hidden_size = {width} and "
                f"num_attention_heads = {heads}. It must be {fits}; leave it out."
            )


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {"deberta": deberta, "deberta-v2": deberta_v2}
