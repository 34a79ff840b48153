"""Readers of config.json: decoders that descend from GPT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import Config
from tonne.describe.huggingface.parts import ACTIVATION, PLAIN_RATIO, POSITIONS, biases, decoder_head, stack, windows
from tonne.errors import DescriptionError

POSITION_OFFSET = 2  # fairseq counts positions from 2, and keeps the rows before
GPT_NEO_TYPES = ((("global", "local"), 12),)


def learned(config: Config, **head: Any) -> dict[str, Any]:  # noqa: ANN401 - as decoder_head takes them
    """A pre-norm stack with layer norms, biases and a table of positions; families replace what differs."""
    if config.given.get("add_cross_attention"):
        raise DescriptionError(
            f"{config.file}: add_cross_attention = true makes {config.model_type} half of an encoder-decoder, which is "
            f"not counted. Set it to false, or give the fields of [architecture], kind = 'encoder-decoder'."
        )
    return {
        **stack(config),
        "feed_forward": "plain",
        "activation": config.activation(*ACTIVATION),
        "positions": "learned",
        "max_positions": config.size(*POSITIONS),
        "norm": "layer",
        "bias": True,
        **decoder_head(config, **head),
    }


def gpt_bigcode(config: Config) -> dict[str, Any]:
    """One key-value head where queries share it."""
    fields = learned(config)
    return fields | {"kv_heads": 1 if config.flag("multi_query") else fields["heads"]}


def gpt_neo(config: Config) -> dict[str, Any]:
    """Only attention's output has a bias; local layers see a window."""
    fields = learned(config) | {"bias": ["output", "feed_forward"]}
    kinds = _attention_kinds(config, fields["layers"])
    full = [layer for layer, kind in enumerate(kinds) if kind == "global"]
    return fields | windows(config, fields["layers"], config.number_or_none("window_size"), full)


def _attention_kinds(config: Config, layers: int) -> list[str]:
    """The kind of each layer, from [[[kinds], how often], ...]."""
    types = config.value("attention_types") or GPT_NEO_TYPES
    try:
        kinds = [kind for group, repeats in types for _ in range(repeats) for kind in group]
    except (TypeError, ValueError):
        kinds = []
    if len(kinds) != layers or any(kind not in ("global", "local") for kind in kinds):
        raise DescriptionError(
            f"{config.file}: attention_types = {config.value('attention_types')!r} does not name the kind of each of "
            f'{layers} layers. Write it as [[["global", "local"], {layers // 2}]], the kinds and how often they repeat.'
        )
    return kinds


def gpt_neox(config: Config) -> dict[str, Any]:
    """Rotary positions; two norms, be the blocks parallel or not."""
    return {
        **learned(config),
        "positions": "rotary",
        "bias": biases(attention=config.flag("attention_bias"), feed_forward=True),
        "parallel_blocks": config.flag("use_parallel_residual"),
    }


def gptj(config: Config) -> dict[str, Any]:
    """Parallel blocks under one norm, rotary positions, no bias in attention, one on the output table."""
    return {
        **learned(config, output_bias=True, answer_labels=config.labels),
        "positions": "rotary",
        "bias": ["feed_forward"],
        "parallel_blocks": True,
        "shared_block_norm": True,
    }


def opt(config: Config) -> dict[str, Any]:
    """A narrower token table is projected in and out; the smallest sizes but one have their norms behind."""
    before = config.flag("do_layer_norm_before")
    fields = learned(config) | {
        "position_offset": POSITION_OFFSET,
        "norm_position": "pre" if before else "post",
        "final_norm": before and not config.flag("_remove_final_layer_norm"),
        "norm_weight": config.flag("layer_norm_elementwise_affine"),
        "norm_bias": config.flag("layer_norm_elementwise_affine"),
        "bias": config.flag("enable_bias"),
    }
    narrow = config.number_or_none("word_embed_proj_dim")
    if narrow is None or narrow == fields["width"]:
        return fields
    return fields | {
        "embedding_width": narrow,
        "output_projection": True,
        "position_width": fields["width"],
    }


def bloom(config: Config) -> dict[str, Any]:
    """Slopes for positions, and a norm on the token table."""
    return {**_four_times(config), "embedding_norm": True, "bias": True}


def falcon(config: Config) -> dict[str, Any]:
    """Two generations: the older shares one key-value head or none, the newer groups them under two norms."""
    newer, parallel = config.flag("new_decoder_architecture"), config.flag("parallel_attn")
    norms = config.number_or_none("num_ln_in_parallel_attn") or (2 if newer else 1)
    fields = learned(config)
    heads = fields["heads"]
    older_kv_heads = 1 if config.flag("multi_query") else heads
    return {
        **fields,
        "kv_heads": config.divisor(heads, "num_kv_heads", default=heads) if newer else older_kv_heads,
        "positions": "alibi" if config.value("alibi") else "rotary",
        "bias": config.flag("bias"),
        "parallel_blocks": newer or parallel,
        "shared_block_norm": parallel and norms == 1,
    }


def mpt(config: Config) -> dict[str, Any]:
    """Slopes for positions, no bias at all. Its class in transformers takes no other expansion than four."""
    return {**_four_times(config), "norm_bias": False, "bias": False}


def _four_times(config: Config) -> dict[str, Any]:
    """Layer norms, slopes for positions, and a feed-forward whose width and activation no field changes."""
    fields = stack(config)
    return {
        **fields,
        "feed_forward_width": PLAIN_RATIO * fields["width"],
        "feed_forward": "plain",
        "activation": "gelu",
        "positions": "alibi",
        "norm": "layer",
        **decoder_head(config),
    }


def biogpt(config: Config) -> dict[str, Any]:
    """As GPT-2, with fairseq's table of positions."""
    return {**learned(config), "position_offset": POSITION_OFFSET}


def xglm(config: Config) -> dict[str, Any]:
    """As GPT-2, with computed positions."""
    return {**learned(config), "positions": "sinusoidal"}


def openai_gpt(config: Config) -> dict[str, Any]:
    """The first GPT: norms behind the blocks, none at the end."""
    return {**learned(config), "norm_position": "post", "final_norm": False}


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "biogpt": biogpt,
    "bloom": bloom,
    "codegen": gptj,
    "falcon": falcon,
    "gpt2": learned,
    "gpt_bigcode": gpt_bigcode,
    "gpt_neo": gpt_neo,
    "gpt_neox": gpt_neox,
    "gptj": gptj,
    "mpt": mpt,
    "openai-gpt": openai_gpt,
    "opt": opt,
    "xglm": xglm,
}
