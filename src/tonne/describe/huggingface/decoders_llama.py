"""Readers of config.json: decoders with rotary positions that descend from LLaMA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import Config
from tonne.describe.huggingface.parts import ACTIVATION, biases, decoder_head, last_of_each_full, stack, windows
from tonne.errors import DescriptionError

XIELU_WEIGHTS = 2  # one slope for each sign


def rotary(config: Config, **head: Any) -> dict[str, Any]:  # noqa: ANN401 - as decoder_head takes them
    """A pre-norm stack with RMS norms, gated feed-forward and no bias; families replace what differs."""
    return {
        **stack(config),
        "feed_forward": "gated",
        "activation": config.activation(*ACTIVATION),
        "positions": "rotary",
        "norm": "rms",
        "bias": False,
        **decoder_head(config, **head),
    }


def llama(config: Config) -> dict[str, Any]:
    """Also Granite, whose multipliers learn nothing."""
    bias = biases(attention=config.flag("attention_bias"), feed_forward=config.flag("mlp_bias"))
    return {**rotary(config), "bias": bias}


def mistral(config: Config) -> dict[str, Any]:
    """Every layer has the window, where there is one. Also Phi-3, which holds the same numbers in fused matrices."""
    fields = rotary(config)
    window = config.number_or_none("sliding_window")
    return fields | ({"attention_window": window} if window else {})


def qwen2(config: Config) -> dict[str, Any]:
    """Biases of queries, keys and values; windows from a layer on, where they are switched on."""
    fields = rotary(config)
    return fields | {"bias": biases(attention=True, output=False)} | _upper_windows(config, fields["layers"])


def qwen3(config: Config) -> dict[str, Any]:
    """As Qwen 2, with norms of queries and keys in place of the biases."""
    fields = rotary(config)
    bias = biases(attention=config.flag("attention_bias"))
    return fields | {"bias": bias, "query_key_norm": "head"} | _upper_windows(config, fields["layers"])


def _upper_windows(config: Config, layers: int) -> dict[str, Any]:
    window = config.number_or_none("sliding_window") if config.flag("use_sliding_window") else None
    first = min(config.number("max_window_layers"), layers)
    return windows(config, layers, window, range(first))


def gemma(config: Config) -> dict[str, Any]:
    """As LLaMA, with heads of a width of their own."""
    return {**rotary(config), "bias": biases(attention=config.flag("attention_bias"))}


def gemma2(config: Config) -> dict[str, Any]:
    """Norms before and after; the first layer of two has the window."""
    fields = gemma(config) | {"norm_position": "both"}
    return fields | last_of_each_full(config, fields["layers"], 2)


def gemma3_text(config: Config) -> dict[str, Any]:
    """Also norms of queries and keys; the last layer of six attends fully. For embeddings it looks both ways."""
    fields = gemma(config) | {"norm_position": "both", "query_key_norm": "head"}
    kind = "encoder" if config.flag("use_bidirectional_attention") else "decoder"
    return fields | {"kind": kind} | last_of_each_full(config, fields["layers"], 6, pattern=True)


def phi(config: Config) -> dict[str, Any]:
    """Attention and a plain feed-forward side by side under one norm; the output table has a bias."""
    return {
        **rotary(config, output_bias=True),
        "feed_forward": "plain",
        "norm": "layer",
        "bias": True,
        "parallel_blocks": True,
        "shared_block_norm": True,
        "query_key_norm": "head" if config.flag("qk_layernorm") else "none",
    }


def olmo(config: Config) -> dict[str, Any]:
    """Norms that learn nothing."""
    bias = biases(attention=config.flag("attention_bias"))
    return {**rotary(config), "norm": "layer", "norm_weight": False, "bias": bias}


def olmo2(config: Config) -> dict[str, Any]:
    """Norms on the branches, and over all queries and all keys."""
    return {**rotary(config), "bias": biases(attention=config.flag("attention_bias")), **_norm_on_branch("full")}


def olmo3(config: Config) -> dict[str, Any]:
    """As OLMo 2; the last layer of four attends fully."""
    fields = olmo2(config)
    return fields | last_of_each_full(config, fields["layers"], 4)


def exaone4(config: Config) -> dict[str, Any]:
    """Norms on the branches and of queries and keys; the last layer of four attends fully."""
    fields = rotary(config) | _norm_on_branch("head")
    return fields | last_of_each_full(config, fields["layers"], 4, pattern=True)


def _norm_on_branch(query_key_norm: str) -> dict[str, Any]:
    return {
        "norm_position": "post",
        "reordered_norm": True,
        "final_norm": True,
        "query_key_norm": query_key_norm,
    }


def stablelm(config: Config) -> dict[str, Any]:
    """Layer norms; parallel blocks share one."""
    parallel = config.flag("use_parallel_residual")
    return {
        **rotary(config),
        "norm": "layer",
        "bias": biases(attention=config.flag("use_qkv_bias"), output=False),
        "parallel_blocks": parallel,
        "shared_block_norm": parallel,
        "query_key_norm": "each-head" if config.flag("qk_layernorm") else "none",
    }


def starcoder2(config: Config) -> dict[str, Any]:
    """Layer norms and a plain feed-forward."""
    return {**mistral(config), "feed_forward": "plain", "norm": "layer", "bias": config.flag("use_bias")}


def smollm3(config: Config) -> dict[str, Any]:
    """As LLaMA; the layers without rotary positions have the window, where it is switched on."""
    fields = llama(config)
    window = config.number_or_none("sliding_window") if config.flag("use_sliding_window") else None
    turned = config.value("no_rope_layers")  # 1 where a layer has rotary positions
    if turned is None:
        every = config.number("no_rope_layer_interval", least=1)
        turned = [int((layer + 1) % every != 0) for layer in range(fields["layers"])]
    if not isinstance(turned, list):
        raise DescriptionError(
            f"{config.file}: no_rope_layers = {turned!r} is not a list of 1 and 0, one a layer. "
            f"Mend it, or leave it out."
        )
    return fields | windows(config, fields["layers"], window, [layer for layer, turns in enumerate(turned) if turns])


def cohere(config: Config) -> dict[str, Any]:
    """Attention and feed-forward side by side under one layer norm without bias."""
    return {
        **rotary(config),
        "norm": "layer",
        "norm_bias": False,
        "bias": biases(attention=config.flag("attention_bias")),
        "parallel_blocks": True,
        "shared_block_norm": True,
        "query_key_norm": "each-head" if _switched_on(config, "use_qk_norm") else "none",
    }


def _switched_on(config: Config, name: str) -> bool:
    """A switch that not every model type of a family has."""
    return name in config.defaults and config.flag(name)


def cohere2(config: Config) -> dict[str, Any]:
    """As Command R, with windows; the last layer of four attends fully."""
    fields = cohere(config)
    return fields | last_of_each_full(config, fields["layers"], 4, pattern=True)


def nemotron(config: Config) -> dict[str, Any]:
    """Layer norms and a plain feed-forward."""
    return {**llama(config), "feed_forward": "plain", "norm": "layer"}


def glm(config: Config) -> dict[str, Any]:
    """Biases of queries, keys and values where they are switched on."""
    return {**rotary(config), "bias": biases(attention=config.flag("attention_bias"), output=False)}


def glm4(config: Config) -> dict[str, Any]:
    """As GLM, with norms after the branches too."""
    return {**glm(config), "norm_position": "both"}


def ernie4_5(config: Config) -> dict[str, Any]:
    """As LLaMA; one switch for all biases."""
    return {**rotary(config), "bias": config.flag("use_bias")}


def hunyuan(config: Config) -> dict[str, Any]:
    """Norms of queries and keys."""
    return {**rotary(config), "bias": biases(attention=config.flag("attention_bias")), "query_key_norm": "head"}


def seed_oss(config: Config) -> dict[str, Any]:
    """A switch of its own for the output's bias."""
    bias = biases(
        attention=config.flag("attention_bias"),
        output=config.flag("attention_out_bias"),
        feed_forward=config.flag("mlp_bias"),
    )
    return {**rotary(config), "bias": bias}


def apertus(config: Config) -> dict[str, Any]:
    """Norms of queries and keys; a plain feed-forward whose activation learns two numbers a layer."""
    learns = config.word("hidden_act") == "xielu"
    return {**hunyuan(config), "feed_forward": "plain", "activation_weights": XIELU_WEIGHTS * learns}


def helium(config: Config) -> dict[str, Any]:
    """The output projection is width x width and has no bias."""
    fields = rotary(config)
    if fields["heads"] * fields["head_width"] != fields["width"]:
        raise DescriptionError(
            f"{config.file}: head_dim = {fields['head_width']} times num_attention_heads = {fields['heads']} is not "
            f"hidden_size = {fields['width']}, which the output projection of helium takes. Mend one of them."
        )
    bias = biases(attention=config.flag("attention_bias"), output=False, feed_forward=config.flag("mlp_bias"))
    return {**fields, "bias": bias}


def arcee(config: Config) -> dict[str, Any]:
    """As LLaMA, with a plain feed-forward."""
    return {**llama(config), "feed_forward": "plain"}


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "apertus": apertus,
    "arcee": arcee,
    "cohere": cohere,
    "cohere2": cohere2,
    "ernie4_5": ernie4_5,
    "exaone4": exaone4,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3_text,
    "glm": glm,
    "glm4": glm4,
    "granite": llama,
    "helium": helium,
    "hunyuan_v1_dense": hunyuan,
    "llama": llama,
    "mistral": mistral,
    "nemotron": nemotron,
    "olmo": olmo,
    "olmo2": olmo2,
    "olmo3": olmo3,
    "phi": phi,
    "phi3": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "seed_oss": seed_oss,
    "smollm3": smollm3,
    "stablelm": stablelm,
    "starcoder2": starcoder2,
}
