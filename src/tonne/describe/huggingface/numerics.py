"""What a config.json says that changes results but no count: epsilons, the form of GELU, scales, rotary positions.

It is read for the model types whose weights tonne.model reads, so that the same weights give the same logits. For the
others the defaults of Architecture stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tonne.describe.huggingface.config import Config, shown
from tonne.errors import DescriptionError
from tonne.reference.huggingface import default_values

Fields = dict[str, Any]

APPROXIMATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu_new": "tanh",
        "gelu_fast": "tanh",
        "gelu_accurate": "tanh",
        "gelu_pytorch_tanh": "tanh",
        "gelu_python_tanh": "tanh",
        "quick_gelu": "sigmoid",
    }
)  # the other names of GELU are the exact one
ACTIVATION_NAMES = ("hidden_act", "activation_function", "feed_forward_proj", "dense_act_fn")
BART_EPSILON = 1e-5  # torch's default, which no field of its file changes
SCALINGS = ("linear", "dynamic", "llama3", "yarn")
UNSCALED = ("default", None)
LLAMA3_FIELDS = ("factor", "low_freq_factor", "high_freq_factor")


def numerics(config: Config, fields: Fields) -> Fields:
    """Fields of Numerics that the file sets, beside those of the shape; none for a type that is only counted."""
    reader = READERS.get(config.model_type)
    return {} if reader is None else reader(config, fields)


def numerics_of_type(model_type: str, fields: Fields) -> Fields:
    """The same for a published model of that type, whose shape is known and of which no file is at hand.

    What a type leaves to each model, such as the base of rotary positions, is the type's default.
    """
    gate = "gated-" if fields.get("feed_forward") == "gated" else ""
    given = {
        "tie_word_embeddings": fields.get("tied_embeddings", True),
        "feed_forward_proj": f"{gate}{fields.get('activation', 'gelu')}",
    }
    config = Config(
        file=model_type, model_type=model_type, class_name=None, given=given, defaults=default_values(model_type)
    )
    return numerics(config, fields)


def not_held(config: Config) -> list[str]:
    """What the file asks for and no field of Architecture holds, as ``name = value``; its weights would be misread."""
    clipped = [name for name in ACTIVATION_NAMES if str(config.given.get(name)).endswith("gelu_10")]
    found = [f"{name} = {shown(config.given[name])}" for name in clipped]
    if config.given.get("position_embedding_type", "absolute") != "absolute":
        found.append(f"position_embedding_type = {shown(config.given['position_embedding_type'])}")
    if config.given.get("partial_rotary_factor") not in (None, 1, 1.0):
        found.append(f"partial_rotary_factor = {shown(config.given['partial_rotary_factor'])}")
    if "default_theta" in config.defaults:
        given = _rotary_fields(config)
        if _scaling_kind(given) not in (*SCALINGS, *UNSCALED):
            found.append(f"rope_type = {shown(_scaling_kind(given))}")
        if given.get("partial_rotary_factor") not in (None, 1, 1.0):
            found.append(f"partial_rotary_factor = {shown(given['partial_rotary_factor'])}")
    return found


def gpt2(config: Config, _: Fields) -> Fields:
    """Scores are divided by the root of the head's width, unless switched off, and by the layer's number, if on."""
    scaled = {} if config.flag("scale_attn_weights") else {"attention_scale": 1.0}
    return {
        "norm_epsilon": config.real("layer_norm_epsilon"),
        "attention_scale_by_layer": config.flag("scale_attn_by_inverse_layer_idx"),
        **_gelu(config.word("activation_function")),
        **scaled,
    }


def bert(config: Config, _: Fields) -> Fields:
    """One epsilon and one activation, also in the head of the masked language model."""
    return {"norm_epsilon": config.real("layer_norm_eps"), **_gelu(config.word("hidden_act"))}


def t5(config: Config, fields: Fields) -> Fields:
    """Scores are not scaled. The states are, before the output table, unless the file unties it.

    transformers ties the tables all the same; a file that it wrote says ``scale_decoder_outputs`` in so many words.
    """
    untied = config.given.get("tie_word_embeddings") is False
    scaled = config.given.get("scale_decoder_outputs", not untied)
    if not isinstance(scaled, bool):
        raise DescriptionError(
            f"{config.file}: scale_decoder_outputs = {shown(scaled)} is not true or false. Mend it, or leave it out."
        )
    word = config.word("feed_forward_proj")
    inner = config.given.get("dense_act_fn") or ("gelu_new" if word == "gated-gelu" else word.removeprefix("gated-"))
    return {
        "norm_epsilon": config.real("layer_norm_epsilon"),
        "attention_scale": 1.0,
        "relative_max_distance": config.size("relative_attention_max_distance"),
        **_gelu(inner),
        **({"output_scale": fields["width"] ** -0.5} if scaled else {}),
    }


def bart(config: Config, fields: Fields) -> Fields:
    """Token vectors are multiplied by the root of the width, where it is switched on."""
    scaled = {"embedding_scale": math.sqrt(fields["width"])} if config.flag("scale_embedding") else {}
    return {"norm_epsilon": BART_EPSILON, **_gelu(config.word("activation_function")), **scaled}


def llama(config: Config, _: Fields) -> Fields:
    """Rotary positions with their base and scaling; also Mistral and Qwen 2."""
    given = _rotary_fields(config)
    theta = given.get("rope_theta") or config.given.get("rope_theta")
    base = config.real("default_theta") if theta is None else _positive(config, "rope_theta", theta)
    return {
        "norm_epsilon": config.real("rms_norm_eps"),
        "rotary_base": base,
        **_gelu(config.word("hidden_act")),
        **_scaling(config, given),
    }


def _gelu(word: str) -> Fields:
    return {"gelu_approximation": APPROXIMATIONS[word]} if word in APPROXIMATIONS else {}


def _rotary_fields(config: Config) -> Mapping[str, Any]:
    """What the file says of rotary positions, under its newer name or its older one."""
    found = config.given.get("rope_scaling") or config.given.get("rope_parameters") or {}
    if not isinstance(found, dict):
        raise DescriptionError(
            f"{config.file}: rope_parameters = {shown(found)} is no group of fields. Write it as "
            f'{{"rope_type": "linear", "factor": 2.0}}, or leave it out.'
        )
    return found


def _scaling_kind(given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON held
    return given.get("rope_type", given.get("type", "default"))


def _scaling(config: Config, given: Mapping[str, Any]) -> Fields:
    kind = _scaling_kind(given)
    if kind not in SCALINGS:
        return {}
    name = "original_max_position_embeddings"  # beside the group it goes before the one inside
    own = config.given.get(name, given.get(name)) if kind != "dynamic" else None
    positions = config.size("max_position_embeddings")
    original = positions if own is None else int(_positive(config, name, own))
    fields: Fields = {"kind": kind}
    if kind != "linear":
        fields["original_positions"] = original
    if kind == "yarn" and given.get("factor") is None:
        fields["factor"] = positions / original
    else:
        fields["factor"] = _positive(config, "factor", given.get("factor"))
    if kind == "llama3":
        fields["low_frequency_factor"] = _positive(config, "low_freq_factor", given.get("low_freq_factor"))
        fields["high_frequency_factor"] = _positive(config, "high_freq_factor", given.get("high_freq_factor"))
    if kind == "yarn":
        fields |= _yarn(config, given, fields["factor"])
    return {"rotary_scaling": fields}


def _yarn(config: Config, given: Mapping[str, Any], factor: float) -> Fields:
    """Where yarn passes over, and what it multiplies sines and cosines by, where the file says."""
    fields: Fields = {"truncated": given.get("truncate", True) is not False}
    for theirs, ours in (("beta_fast", "fast_rotations"), ("beta_slow", "slow_rotations")):
        if given.get(theirs):
            fields[ours] = _positive(config, theirs, given[theirs])
    if given.get("attention_factor") is not None:
        fields["magnitude"] = _positive(config, "attention_factor", given["attention_factor"])
    elif given.get("mscale") and given.get("mscale_all_dim"):
        fields["magnitude"] = _magnitude(factor, given["mscale"]) / _magnitude(factor, given["mscale_all_dim"])
    return fields


def _magnitude(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _positive(config: Config, name: str, value: Any) -> float:  # noqa: ANN401 - whatever JSON held
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise DescriptionError(
            f"{config.file}: {name} = {shown(value)} of the rotary positions is not a number above 0. Mend it."
        )
    return float(value)


READERS: Mapping[str, Callable[[Config, Fields], Fields]] = MappingProxyType(
    {
        "bart": bart,
        "bert": bert,
        "gpt2": gpt2,
        "llama": llama,
        "mistral": llama,
        "qwen2": llama,
        "t5": t5,
    }
)
