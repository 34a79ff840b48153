"""What config.json files of decoders say that changes results but no count."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tonne.describe.huggingface.config import Config
from tonne.describe.huggingface.numerics_parts import Fields, epsilon, gelu, layer_norm_default
from tonne.describe.huggingface.parts import ACTIVATION
from tonne.describe.huggingface.rotary import magnitude, rotary

ROTARY_BASE = 10000.0  # su2021roformer, section 3.2.2; GPT-J has no field for another


def gpt2(config: Config, _: Fields) -> Fields:
    """Scores are divided by the root of the head's width, unless switched off, and by the layer's number, if on."""
    scaled = {} if config.flag("scale_attn_weights") else {"attention_scale": 1.0}
    return {
        **epsilon(config),
        "attention_scale_by_layer": config.flag("scale_attn_by_inverse_layer_idx"),
        **gelu(config.word("activation_function")),
        **scaled,
    }


def llama(config: Config, fields: Fields) -> Fields:
    """An epsilon, an activation and rotary positions: also of its many descendants."""
    return epsilon(config) | gelu(config.word(*ACTIVATION)) | rotary(config, _head_width(fields))


def _head_width(fields: Fields) -> int:
    return int(fields.get("head_width") or fields["width"] // fields["heads"])


def interleaved(config: Config, fields: Fields) -> Fields:
    """The same, with neighbours as the pairs that are turned."""
    return llama(config, fields) | {"rotary_interleaved": True}


def gemma(config: Config, fields: Fields) -> Fields:
    """Norms multiply by one more than their weight; token vectors are multiplied by the root of the width."""
    word = config.given.get("hidden_activation") or "gelu_pytorch_tanh"  # what an older hidden_act says is not read
    return {
        **llama(config, fields),
        **gelu(str(word)),
        "norm_unit_offset": True,
        "embedding_scale": math.sqrt(fields["width"]),
    }


def gemma2(config: Config, fields: Fields) -> Fields:
    """As Gemma, with a scale of scores, and caps, of their own."""
    caps = {"attention_softcap": "attn_logit_softcapping", "output_softcap": "final_logit_softcapping"}
    found = {ours: config.real(theirs) for ours, theirs in caps.items() if config.value(theirs) is not None}
    return {**gemma(config, fields), "attention_scale": config.real("query_pre_attn_scalar") ** -0.5, **found}


def granite(config: Config, fields: Fields) -> Fields:
    """Multipliers of token vectors, branches, scores and logits."""
    return {
        **llama(config, fields),
        "embedding_scale": config.real("embedding_multiplier"),
        "residual_scale": config.real("residual_multiplier"),
        "attention_scale": config.real("attention_multiplier"),
        "output_scale": 1 / config.real("logits_scaling"),
    }


def cohere(config: Config, fields: Fields) -> Fields:
    """Neighbours are turned, logits are scaled."""
    return interleaved(config, fields) | {"output_scale": config.real("logit_scale")}


def nemotron(config: Config, fields: Fields) -> Fields:
    """Norms multiply by one more than their weight."""
    return llama(config, fields) | {"norm_unit_offset": True}


def smollm3(config: Config, fields: Fields) -> Fields:
    """Some layers are not turned."""
    turned = config.value("no_rope_layers")  # 1 where a layer has rotary positions
    if turned is None:
        every = config.number("no_rope_layer_interval", least=1)
        turned = [(layer + 1) % every for layer in range(fields["layers"])]
    return llama(config, fields) | {"unrotated_layers": tuple(n for n, turns in enumerate(turned) if not turns)}


def olmo(config: Config, fields: Fields) -> Fields:
    """Norms without weights, and without a field for their epsilon."""
    return layer_norm_default() | gelu(config.word(*ACTIVATION)) | rotary(config, _head_width(fields))


def gptj(config: Config, _: Fields) -> Fields:
    """The first part of a head is turned, neighbour with neighbour."""
    width = config.number_or_none("rotary_dim")
    return {
        **epsilon(config),
        **gelu(config.word("activation_function")),
        "rotary_base": ROTARY_BASE,
        "rotary_interleaved": True,
        **({"rotary_width": width} if width else {}),
    }


def bloom(config: Config, _: Fields) -> Fields:
    """GELU by its tanh, whatever the file says."""
    return epsilon(config) | gelu("gelu_new")


def falcon(config: Config, fields: Fields) -> Fields:
    """Rotary positions, unless it has slopes, whose file gives no base."""
    turned = rotary(config, _head_width(fields)) if fields["positions"] == "rotary" else {}
    return epsilon(config) | gelu(config.word(*ACTIVATION)) | turned


def opt(config: Config, _: Fields) -> Fields:
    """Norms as torch has them."""
    return layer_norm_default() | gelu(config.word("activation_function"))


def experts(config: Config, fields: Fields) -> Fields:
    """Whether the weights of the experts visited are made to sum to 1."""
    routing = {"normalized_weights": config.flag("norm_topk_prob")}
    return llama(config, fields) | _routed(fields, routing)


def gpt_oss(config: Config, fields: Fields) -> Fields:
    """The gate of its experts is clamped."""
    return llama(config, fields) | {"swiglu_limit": config.real("swiglu_limit")}


def deepseek_v3(config: Config, fields: Fields) -> Fields:
    """Experts by groups and a sigmoid; the weights of those visited sum to a factor."""
    routing = {
        "router_scores": "sigmoid",
        "normalized_weights": config.flag("norm_topk_prob"),
        "routing_scale": config.real("routed_scaling_factor"),
        **_groups(config),
    }
    turned = _latent(config, fields) | {"rotary_interleaved": config.flag("rope_interleave")}
    return turned | _routed(fields, routing)


def deepseek_v2(config: Config, fields: Fields) -> Fields:
    """Experts by a softmax; by groups where the method says so, of which the largest score decides."""
    grouped = config.value("topk_method") == "group_limited_greedy"
    routing = {
        "normalized_weights": config.flag("norm_topk_prob"),
        "routing_scale": config.real("routed_scaling_factor"),
        **(_groups(config) | {"group_score": "maximum"} if grouped else {}),
    }
    return _latent(config, fields) | {"rotary_interleaved": True} | _routed(fields, routing)


def _routed(fields: Fields, routing: Fields) -> Fields:
    """The experts with what their router does, where a layer has some."""
    return {"experts": fields["experts"] | routing} if fields.get("experts") else {}


def _groups(config: Config) -> Fields:
    groups, visited = config.number_or_none("n_group"), config.number_or_none("topk_group")
    return {"groups": groups, "groups_per_token": visited} if groups and visited else {}


def _latent(config: Config, fields: Fields) -> Fields:
    """Latent attention: what yarn adds to sines and cosines elsewhere, it adds to the scale of the scores here."""
    latent = fields["latent_attention"]
    found = llama(config, fields)
    group = config.given.get("rope_scaling") or config.given.get("rope_parameters") or {}
    weight = group.get("mscale_all_dim")
    if "rotary_scaling" in found and isinstance(weight, int | float) and weight:
        width = latent["rotary_width"] + latent["plain_width"]
        found["attention_scale"] = width**-0.5 * magnitude(found["rotary_scaling"]["factor"], weight) ** 2
    return found


READERS: Mapping[str, Callable[[Config, Fields], Fields]] = MappingProxyType(
    {
        "apertus": llama,
        "bloom": bloom,
        "cohere": cohere,
        "deepseek_v2": deepseek_v2,
        "deepseek_v3": deepseek_v3,
        "falcon": falcon,
        "gemma": gemma,
        "gemma2": gemma2,
        "gemma3_text": gemma2,
        "glm4": interleaved,
        "gpt2": gpt2,
        "gpt_neox": llama,
        "gpt_oss": gpt_oss,
        "gptj": gptj,
        "granite": granite,
        "llama": llama,
        "mistral": llama,
        "mixtral": llama,
        "nemotron": nemotron,
        "olmo": olmo,
        "olmo2": llama,
        "olmoe": experts,
        "opt": opt,
        "phi": llama,
        "qwen2": llama,
        "qwen3": llama,
        "qwen3_moe": experts,
        "smollm3": smollm3,
        "stablelm": llama,
        "starcoder2": llama,
    }
)
