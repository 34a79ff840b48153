"""A published model's name -> the fields of its Architecture, read from the reference table."""

from __future__ import annotations

import difflib
from typing import Any

from tonne.describe.huggingface.numerics import numerics_of_type
from tonne.errors import UnknownReferenceError
from tonne.reference.architectures import architecture_rows

NUMBERS = (
    "layers",
    "encoder_layers",
    "decoder_layers",
    "width",
    "heads",
    "kv_heads",
    "head_width",
    "feed_forward_width",
    "vocabulary",
    "max_positions",
    "attention_window",
    "window_every",
)
WORDS = ("kind", "feed_forward", "activation", "positions", "norm", "norm_position")
SWITCHES = ("bias", "tied_embeddings", "parallel_blocks")
GROUPS = ("experts", "latent_attention")
GROUP_NUMBERS = {
    "experts": ("count", "per_token", "shared", "width", "dense_layers", "every"),
    "latent_attention": ("kv_rank", "query_rank", "rotary_width", "plain_width", "value_width"),
}


def preset_ids() -> tuple[str, ...]:
    """Ids of all presets, in the order of the table."""
    return tuple(architecture_rows())


def preset_fields(preset: str) -> dict[str, Any]:
    """Fields of the Architecture of one published model.

    Args:
        preset: Id of a row of ``architectures.csv``, e.g. ``gpt-3-175b``; case does not matter.

    Returns:
        What ``Architecture.model_validate`` takes. Fields that the row leaves empty are left out.

    Raises:
        UnknownReferenceError: No row has this id.
    """
    row = architecture_rows().get(preset.strip().lower())
    if row is None:
        raise UnknownReferenceError(_unknown(preset))
    fields: dict[str, Any] = {name: int(row[name]) for name in NUMBERS if row[name]}
    fields |= {name: row[name] for name in WORDS if row[name]}
    fields |= {name: _value(row[name]) for name in SWITCHES if row[name]}
    for group in GROUPS:
        cells = {name: row[f"{group}.{name}"] for name in GROUP_NUMBERS[group]}
        if any(cells.values()):
            fields[group] = {name: int(cell) for name, cell in cells.items() if cell}
    for key, value in _extra(row["extra"]).items():
        group, dot, name = key.partition(".")
        if dot:
            fields[group][name] = value
        else:
            fields[key] = value
    return numerics_of_type(row["huggingface_model_type"], fields) | fields


def _extra(cell: str) -> dict[str, Any]:
    """``"pooler=true;token_types=2"`` -> ``{"pooler": True, "token_types": 2}``."""
    pairs = (item.partition("=") for item in cell.split(";") if item)
    return {key: _value(value) for key, _, value in pairs}


def _value(cell: str) -> bool | int | str | list[str]:
    """A cell's switch, whole number, list (``a+b``) or word."""
    if cell in {"true", "false"}:
        return cell == "true"
    if cell.isdecimal():
        return int(cell)
    linears = ("feed_forward", "query", "key", "value", "output")
    names = cell.split("+")
    return names if all(name in linears for name in names) else cell


def _unknown(preset: str) -> str:
    """What to say about an id that the table does not have."""
    known = preset_ids()
    key = preset.strip().lower()
    close = difflib.get_close_matches(key, known, n=5, cutoff=0.5)
    close += [name for name in known if key and key in name and name not in close][:5]
    hint = f"Close: {', '.join(close)}. " if close else ""
    return (
        f"architectures.csv has no preset {preset!r}. {hint}"
        f"Use one of the {len(known)} ids (Architecture.preset_ids()), or give the fields themselves: "
        "kind, layers, width, heads, vocabulary, ..."
    )
