"""Readers of config.json: decoders with mixtures of experts, and with latent attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.describe.huggingface.config import Config
from tonne.describe.huggingface.experts_parts import (
    decoder,
    experts,
    places_of,
    shared,
    window_everywhere,
)
from tonne.describe.huggingface.experts_switch import switch_transformers
from tonne.describe.huggingface.parts import biases, windows
from tonne.errors import DescriptionError

EVERYWHERE: dict[str, Any] = {}  # the places of experts in every layer


def mixtral(config: Config) -> dict[str, Any]:
    """Mixtral: experts in every layer, and a window in every layer where the file gives one."""
    fields = decoder(config)
    mixture = experts(config, count="num_local_experts", width="intermediate_size", places=EVERYWHERE)
    return fields | mixture | window_everywhere(config)


def qwen2_moe(config: Config) -> dict[str, Any]:
    """Qwen2-MoE: a shared expert of a width of its own behind a gate."""
    fields = decoder(config)
    one = {"shared": 1, "shared_width": config.size("shared_expert_intermediate_size"), "shared_gate": True}
    mixture = experts(config, count="num_experts", width="moe_intermediate_size", places=_qwen_places(config), **one)
    slides = config.flag("use_sliding_window")
    below = config.number("max_window_layers")
    full = [layer for layer in range(fields["layers"]) if layer % 2 or layer >= below]
    window = windows(config, fields["layers"], config.number_or_none("sliding_window") if slides else None, full)
    return fields | mixture | window | {"bias": biases(attention=config.flag("qkv_bias"), output=False)}


def qwen3_moe(config: Config) -> dict[str, Any]:
    """Qwen3-MoE: norms of queries and keys."""
    fields = decoder(config)
    mixture = experts(config, count="num_experts", width="moe_intermediate_size", places=_qwen_places(config))
    window = window_everywhere(config) if config.flag("use_sliding_window") else {}
    attention = {"query_key_norm": "head", "bias": biases(attention=config.flag("attention_bias"))}
    return fields | mixture | window | attention


def deepseek_v2(config: Config) -> dict[str, Any]:
    """DeepSeek-V2. As in transformers ``moe_layer_freq`` is not read: all layers but the first ones have experts."""
    fields = decoder(config, 3)
    bias = config.flag("mlp_bias")
    linears = biases(attention=config.flag("attention_bias"), feed_forward=bias)
    return _latent(config, fields, bias=bias) | {"bias": linears}


def deepseek_v3(config: Config) -> dict[str, Any]:
    """DeepSeek-V3, and Kimi K2.

    transformers holds the router's correction as a buffer, which is no parameter, and builds no further layers for
    ``num_nextn_predict_layers``.
    """
    fields = decoder(config, 4)
    return _latent(config, fields) | {"bias": biases(attention=config.flag("attention_bias"))}


def gpt_oss(config: Config) -> dict[str, Any]:
    """gpt-oss: biases of the router and the experts, sinks, and a window in every second layer."""
    fields = decoder(config, 4)
    mixture = experts(
        config, count="num_local_experts", width="intermediate_size", places=EVERYWHERE, bias=True, router_bias=True
    )
    window = windows(config, fields["layers"], config.number_or_none("sliding_window"), range(1, fields["layers"], 2))
    attention = {"attention_sinks": True, "bias": biases(attention=config.flag("attention_bias"))}
    return fields | mixture | window | attention


def olmoe(config: Config) -> dict[str, Any]:
    """OLMoE: norms over all of the queries and all of the keys."""
    fields = decoder(config, 2)
    if fields["width"] != fields["heads"] * fields["head_width"]:
        raise DescriptionError(
            f"{config.file}: hidden_size = {fields['width']} is not num_attention_heads x head width = "
            f"{fields['heads']} x {fields['head_width']}, which the norm of the queries needs. Mend one of them."
        )
    mixture = experts(config, count="num_experts", width="intermediate_size", places=EVERYWHERE)
    return fields | mixture | {"query_key_norm": "full", "bias": biases(attention=config.flag("attention_bias"))}


def granitemoe(config: Config) -> dict[str, Any]:
    """GraniteMoE: experts in every layer."""
    fields = decoder(config, 2)
    mixture = experts(config, count="num_local_experts", width="intermediate_size", places=EVERYWHERE)
    return fields | mixture | {"bias": biases(attention=config.flag("attention_bias"))}


def granitemoeshared(config: Config) -> dict[str, Any]:
    """GraniteMoE with one shared expert of a width of its own, or none."""
    fields, width = granitemoe(config), config.number("shared_intermediate_size")
    return fields | {"experts": fields["experts"] | ({"shared": 1, "shared_width": width} if width else {})}


def minimax_m2(config: Config) -> dict[str, Any]:
    """MiniMax-M2: norms over all queries and all keys; the router's correction is a buffer, as DeepSeek-V3's."""
    mixture = experts(config, count="num_local_experts", width="intermediate_size", places=EVERYWHERE)
    return decoder(config, 2) | mixture | {"query_key_norm": "full"}


def flex_olmo(config: Config) -> dict[str, Any]:
    """FlexOlmo: norms on the branches, and over all queries and all keys."""
    mixture = experts(config, count="num_experts", width="intermediate_size", places=EVERYWHERE)
    norms = {"norm_position": "post", "reordered_norm": True, "final_norm": True, "query_key_norm": "full"}
    return decoder(config, 2) | mixture | norms | {"bias": biases(attention=config.flag("attention_bias"))}


def phimoe(config: Config) -> dict[str, Any]:
    """Phi-3.5-MoE: layer norms, and a bias of the output table on request."""
    fields = decoder(config, 3, output_bias=config.flag("lm_head_bias"))
    mixture = experts(config, count="num_local_experts", width="intermediate_size", places=EVERYWHERE)
    window = window_everywhere(config)
    return fields | mixture | window | {"norm": "layer", "bias": biases(attention=config.flag("attention_bias"))}


def glm4_moe(config: Config) -> dict[str, Any]:
    """GLM-4.5: the first layers dense, shared experts; the router's correction is a buffer, as DeepSeek-V3's."""
    fields = decoder(config, 2)
    attention = {
        "query_key_norm": "head" if config.flag("use_qk_norm") else "none",
        "bias": biases(attention=config.flag("attention_bias"), output=False),
    }
    return fields | attention | _after_first_dense(config, fields["layers"])


def ernie4_5_moe(config: Config) -> dict[str, Any]:
    """ERNIE 4.5: experts between a first and a last layer; the router's correction is a parameter."""
    bias = config.flag("use_bias")
    fields = decoder(config, 2, output_bias=bias)
    mixture = experts(
        config,
        count="moe_num_experts",
        width="moe_intermediate_size",
        places=_ernie_places(config, fields["layers"]),
        router_correction=True,
        **shared(config, "moe_num_shared_experts", bias=bias),
    )
    return fields | mixture | {"bias": bias}


def _latent(config: Config, fields: dict[str, Any], *, bias: bool = False) -> dict[str, Any]:
    """DeepSeek's latent attention, whose heads have widths of their own, and its experts."""
    plain = {name: value for name, value in fields.items() if name not in ("kv_heads", "head_width")}
    latent = {
        "kv_rank": config.size("kv_lora_rank"),
        "query_rank": config.number_or_none("q_lora_rank", least=1),
        "rotary_width": config.size("qk_rope_head_dim"),
        "plain_width": config.size("qk_nope_head_dim"),
        "value_width": config.size("v_head_dim"),
    }
    return plain | {"latent_attention": latent} | _after_first_dense(config, fields["layers"], bias=bias)


def _after_first_dense(config: Config, layers: int, *, bias: bool = False) -> dict[str, Any]:
    """Experts in all layers but the first."""
    dense = config.number("first_k_dense_replace")
    return experts(
        config,
        count="n_routed_experts",
        width="moe_intermediate_size",
        places=places_of(layers, lambda layer: layer >= dense),
        **shared(config, "n_shared_experts", bias=bias),
    )


def _qwen_places(config: Config) -> dict[str, Any] | None:
    """Every so many layers have experts, but for those that the file names."""
    layers, step = config.layers("num_hidden_layers"), config.size("decoder_sparse_step")
    if not config.number("num_experts", "num_local_experts"):
        return None
    dense = config.value("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(isinstance(layer, int) for layer in dense):
        raise DescriptionError(
            f"{config.file}: mlp_only_layers = {dense!r} is not a list of whole numbers. Give the layers without "
            f"experts, counted from 0, e.g. [0, 1], or leave it out."
        )
    return places_of(layers, lambda layer: layer not in dense and (layer + 1) % step == 0)


def _ernie_places(config: Config, layers: int) -> dict[str, Any] | None:
    """Every so many layers from the first to the last one that may have experts."""
    first, every = config.number("moe_layer_start_index"), config.size("moe_layer_interval")
    last = config.given.get("moe_layer_end_index", -1)
    if not isinstance(last, int):
        raise DescriptionError(f"{config.file}: moe_layer_end_index = {last!r} is not a whole number. Mend it.")
    last = layers - 1 if last == -1 else last
    return places_of(layers, lambda layer: first <= layer <= last and (layer + 1) % every == 0)


READERS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "mixtral": mixtral,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
    "deepseek_v2": deepseek_v2,
    "deepseek_v3": deepseek_v3,
    "kimi_k2": deepseek_v3,
    "gpt_oss": gpt_oss,
    "olmoe": olmoe,
    "granitemoe": granitemoe,
    "granitemoeshared": granitemoeshared,
    "minimax_m2": minimax_m2,
    "flex_olmo": flex_olmo,
    "phimoe": phimoe,
    "glm4_moe": glm4_moe,
    "ernie4_5_moe": ernie4_5_moe,
    "switch_transformers": switch_transformers,
}
