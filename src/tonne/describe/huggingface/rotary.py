"""What a config.json says of rotary positions: base, turned part, scaling, and a base of the windowed layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tonne.describe.huggingface.config import Config, shown
from tonne.errors import DescriptionError

Fields = dict[str, Any]
Group = Mapping[str, Any]

SCALINGS = ("linear", "dynamic", "llama3", "yarn")
LEFT_TO_THE_FILE = ("rope_theta", "partial_rotary_factor")  # older files have these beside the group
PAIR = 2  # the narrowest part that can be turned
UNSCALED = ("default", None)
FULL, WINDOWED = "full_attention", "sliding_attention"  # groups of their own, where a type has layers of both kinds
WINDOWED_BASES = ("rope_local_base_freq", "local_rope_theta")  # older names, for Gemma 3 and ModernBERT
BASES = ("rope_theta", "global_rope_theta", "rotary_emb_base")
PARTS = ("partial_rotary_factor", "rotary_pct")
ORIGINAL = "original_max_position_embeddings"


def rotary(config: Config, head_width: int) -> Fields:
    """Fields of the rotary positions.

    Args:
        config: Of a type that has some.
        head_width: Width of a head, of which a part may be turned.
    """
    given, default = _given(config), config.defaults["default_rope"]
    nested = FULL in default
    own = default[FULL] if nested else default
    group = _of_full_layers(given, nested=nested) or {
        name: value for name, value in own.items() if name not in LEFT_TO_THE_FILE
    }
    fields: Fields = {"rotary_base": _base(config, group, BASES, own), **_scaling(config, group)}
    if nested:
        windowed = given.get(WINDOWED) or {}
        fields["window_rotary_base"] = _base(config, windowed, WINDOWED_BASES, default[WINDOWED])
    part = _first(group, config.given, PARTS, own.get("partial_rotary_factor"))
    if "partial_rotary_factor" in own and part is not None:
        turned = int(head_width * _positive(config, "partial_rotary_factor", part))
        fields |= {"rotary_width": turned} if PAIR <= turned < head_width else {}
    return fields


def not_held(config: Config) -> list[str]:
    """What the file asks of rotary positions and no field of Architecture holds, as ``name = value``."""
    if "default_rope" not in config.defaults:
        return []
    group = _given(config)
    kind = _kind(group)
    found = [] if kind in (*SCALINGS, *UNSCALED) else [f"rope_type = {shown(kind)}"]
    part = _first(group, config.given, PARTS, None)
    held = "partial_rotary_factor" in config.defaults["default_rope"]
    return found if held or part in (None, 1) else [*found, f"partial_rotary_factor = {shown(part)}"]


def magnitude(factor: float, weight: float = 1.0) -> float:
    """What yarn multiplies sines and cosines by. Source: peng2023yarn, section 3.4."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _given(config: Config) -> Group:
    """What the file says of rotary positions, under its newer name or its older one."""
    found = config.given.get("rope_scaling") or config.given.get("rope_parameters") or {}
    if not isinstance(found, dict) or not all(isinstance(found.get(name) or {}, dict) for name in (FULL, WINDOWED)):
        raise DescriptionError(
            f"{config.file}: rope_parameters = {shown(found)} is no group of fields. Write it as "
            f'{{"rope_type": "linear", "factor": 2.0}}, or leave it out.'
        )
    return found


def _of_full_layers(given: Group, *, nested: bool) -> Group:
    """The group of the layers that attend fully: their own where the file has one a kind, else the only one."""
    if not nested or (FULL not in given and WINDOWED not in given):
        return given
    return given.get(FULL) or {}


def _kind(group: Group) -> Any:  # noqa: ANN401 - whatever JSON held
    return group.get("rope_type", group.get("type", "default"))


def _first(group: Group, given: Group, names: tuple[str, ...], default: Any) -> Any:  # noqa: ANN401 - so too
    """The value of the first of these names, in the group or beside it."""
    return next((values[name] for values in (group, given) for name in names if values.get(name) is not None), default)


def _base(config: Config, group: Group, names: tuple[str, ...], default: Group) -> float:
    beside = {name: config.given[name] for name in names if name in config.given}
    return _positive(config, "rope_theta", _first(group, beside, ("rope_theta", *names), default["rope_theta"]))


def _scaling(config: Config, group: Group) -> Fields:
    kind = _kind(group)
    if kind not in SCALINGS:
        return {}
    fields: Fields = {"kind": kind}
    original = None
    if kind != "linear":
        original = fields["original_positions"] = _original(config, group, kind)
    if kind == "yarn" and group.get("factor") is None and original:
        fields["factor"] = config.size("max_position_embeddings") / original
    else:
        fields["factor"] = _positive(config, "factor", group.get("factor"))
    if kind == "llama3":
        fields["low_frequency_factor"] = _positive(config, "low_freq_factor", group.get("low_freq_factor"))
        fields["high_frequency_factor"] = _positive(config, "high_freq_factor", group.get("high_freq_factor"))
    if kind == "yarn":
        fields |= _yarn(config, group, fields["factor"])
    return {"rotary_scaling": fields}


def _original(config: Config, group: Group, kind: str) -> int:
    """The length trained on; beside the group it goes before the one inside."""
    own = config.given.get(ORIGINAL, group.get(ORIGINAL)) if kind != "dynamic" else None
    return config.size("max_position_embeddings") if own is None else int(_positive(config, ORIGINAL, own))


def _yarn(config: Config, group: Group, factor: float) -> Fields:
    """Where yarn passes over, and what it multiplies sines and cosines by, where the file says."""
    fields: Fields = {"truncated": group.get("truncate", True) is not False}
    for theirs, ours in (("beta_fast", "fast_rotations"), ("beta_slow", "slow_rotations")):
        if group.get(theirs):
            fields[ours] = _positive(config, theirs, group[theirs])
    weights = [group.get(name) for name in ("mscale", "mscale_all_dim")]
    if group.get("attention_factor") is not None:
        fields["magnitude"] = _positive(config, "attention_factor", group["attention_factor"])
    elif all(weights):
        first, second = (magnitude(factor, _positive(config, "mscale", weight)) for weight in weights)
        fields["magnitude"] = first / second
    return fields


def _positive(config: Config, name: str, value: Any) -> float:  # noqa: ANN401 - whatever JSON held
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise DescriptionError(
            f"{config.file}: {name} = {shown(value)} of the rotary positions is not a number above 0. Mend it."
        )
    return float(value)
