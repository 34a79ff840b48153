"""A plan from a plan file or a model's name, and the options that override its fields."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.describe.plan import TrainingPlan, paths_from
from tonne.describe.presets import preset_ids
from tonne.errors import DescriptionError, PlanFileError
from tonne.units import quantity

FIELD_OF = {
    "tokens": ("data", "tokens"),
    "sequence_length": ("data", "sequence_length"),
    "global_batch": ("training", "global_batch_sequences"),
    "precision": ("training", "precision"),
    "origin": ("start", "from"),
    "lora_rank": ("training.lora", "rank"),
    "accelerator_hours": ("schedule", "accelerator_hours"),
    "goodput": ("schedule", "goodput"),
    "utilisation": ("schedule", "step_utilisation"),
    "measured_step_s": ("schedule", "measured_step_s"),
    "start": ("schedule", "start"),
    "overhead": ("schedule", "development_multiplier"),
    "power_cap_w": ("cluster", "power_cap_w"),
    "grid_basis": ("site", "grid_basis"),
    "pue": ("site", "pue"),
    "wue": ("site", "wue_l_per_kwh"),
    "usd_per_kwh": ("site", "usd_per_kwh"),
    "usd_per_accelerator_hour": ("site", "usd_per_accelerator_hour"),
    "requests": ("inference", "requests"),
    "requests_per_day": ("inference", "requests_per_day"),
    "prompt_tokens": ("inference", "prompt_tokens"),
    "output_tokens": ("inference", "output_tokens"),
    "batch": ("inference", "batch_sequences"),
    "weight_precision": ("inference", "weight_precision"),
    "inference_accelerator": ("inference", "accelerator"),
}
QUANTITIES = {"tokens", "accelerator_hours", "requests", "requests_per_day"}
PLACE_FIELDS = ("grid", "region", "grid_gco2e_per_kwh")
_ACCELERATORS = re.compile(r"^\s*([\d_,]+)\s*[xX×*]\s*(\S.*?)\s*$")
_NUMBER = re.compile(r"^\s*-?[\d_,]+\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The options that say where; at most one of the first three may be given."""

    site: str | None = None
    grid: str | None = None
    region: str | None = None
    gco2e_per_kwh: float | None = None


def plan_from(
    name: str | None,
    given: Mapping[str, Any],
    accelerators: str | None = None,
    place: Place | None = None,
    *,
    with_inference: bool = False,
) -> TrainingPlan:
    """The plan of a file or a preset, with what the options say in place of its fields.

    Raises:
        TonneError: The plan or an option is wrong; the text says how to mend it.
    """
    fields = _base_fields(name)
    _replace_requests(fields, given)
    if with_inference:
        _section(fields, "inference")
    _name_the_start(fields, name, given)
    for option, value in given.items():
        section, field = FIELD_OF[option]
        number = quantity(value, name=f"--{option.replace('_', '-')}") if option in QUANTITIES else value
        _section(fields, section)[field] = _start_of(value) if option == "origin" else number
    if accelerators is not None:
        _section(fields, "cluster").update(cluster_fields(accelerators))
    _put_place(fields, place or Place())
    if not fields.get("cluster") and "inference_accelerator" in given:
        fields["cluster"] = {"accelerator": given["inference_accelerator"]}
    if not fields.get("cluster"):
        raise DescriptionError(
            "No accelerators were given. Say how many of which, e.g. --accelerators 1024xA100-80GB, "
            "or write [cluster] in a plan file."
        )
    return TrainingPlan.from_fields(fields, origin=name or "the options")


def _name_the_start(fields: dict[str, Any], name: str | None, given: Mapping[str, Any]) -> None:
    """A plan without a file is named after what it starts from; adapters of a named model start from that model."""
    if "origin" in given:
        fields.setdefault("name", f"{given['origin']}, fine-tuned")
        _section(fields, "start").clear()  # tokens and compute of the file's original are not those of this one
    elif "lora_rank" in given and name is not None and "preset" in fields.get("architecture", {}):
        _section(fields, "start").setdefault("from", fields["architecture"]["preset"])


def _start_of(origin: str) -> str | dict[str, str]:
    """What [start] from takes: a name or a folder, or the plan file that trains the original."""
    return {"train": origin} if origin.endswith(".toml") else origin


def _replace_requests(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Requests that an option gives, in all or a day, replace however the file gives them."""
    if "requests" in given or "requests_per_day" in given:
        for field in ("requests", "requests_per_day", *(("days",) if "requests" in given else ())):
            _section(fields, "inference").pop(field, None)


def cluster_fields(text: str) -> dict[str, Any]:
    """Fields of [cluster] meant by "1024xA100-80GB", "A100-80GB" or "1024".

    Raises:
        DescriptionError: The number is not one, or is zero.
    """
    found = _ACCELERATORS.match(text)
    if found is not None:
        return {"accelerators": _how_many(found.group(1), text), "accelerator": found.group(2)}
    if _NUMBER.match(text):
        return {"accelerators": _how_many(text, text)}
    return {"accelerator": text.strip()}


def _how_many(digits: str, text: str) -> int:
    plain = digits.replace(",", "").replace("_", "").strip()
    number = int(plain) if plain.lstrip("-").isdigit() else 0
    if number < 1:
        raise DescriptionError(
            f"--accelerators {text!r} says no number above zero. Write how many of which, e.g. 1024xA100-80GB."
        )
    return number


def _base_fields(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    path = Path(name)
    if is_config(name):
        folder = path.resolve().parent if path.suffix == ".json" else path.resolve()
        return {"name": folder.name, "architecture": {"huggingface": name}}
    if path.suffix == ".toml" or path.is_file():
        return paths_from(_file_fields(path), path.parent)
    return {"name": name, "architecture": {"preset": name}}


def is_config(name: str) -> bool:
    """Whether this is a config.json or its folder; a folder without one may share its name with a preset."""
    path = Path(name)
    if path.suffix == ".json" or (path / "config.json").is_file():
        return True
    return path.is_dir() and name.lower() not in preset_ids()


def _file_fields(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise PlanFileError(f"{path} {reason}. Give the path of a TOML file, or the name of a model.") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanFileError(f"{path} is not TOML: {error}. Mend that line; examples/ holds whole plans.") from None


def _section(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """The section of that name ("training", "training.lora"), made where it is missing."""
    section: Any = fields
    for part in name.split("."):
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise DescriptionError(
                f"[{name}] is not a section but {section!r}. Write it as [{name}] with fields below."
            )
    found: dict[str, Any] = section
    return found


def _put_place(fields: dict[str, Any], place: Place) -> None:
    """A place that is given replaces the place of the file, not its PUE and prices."""
    named = [option for option in ("site", "grid", "region") if getattr(place, option) is not None]
    if len(named) > 1:
        raise DescriptionError(f"{' and '.join('--' + n for n in named)} each name a place. Give one of them.")
    if not named and place.gco2e_per_kwh is None:
        return
    section = _section(fields, "site")
    for field in PLACE_FIELDS:
        section.pop(field, None)
    if named:
        section.update(_site_fields(str(getattr(place, named[0])), named[0]))
    if place.gco2e_per_kwh is not None:
        section["grid_gco2e_per_kwh"] = place.gco2e_per_kwh


def _site_fields(text: str, option: str) -> dict[str, Any]:
    """Fields of [site] meant by a zone, provider:region or a TOML file (its [site] section, or the whole file)."""
    if option == "site" and (text.endswith(".toml") or Path(text).is_file()):
        fields = _file_fields(Path(text))
        return dict(fields.get("site", fields))
    if option == "region" or (option == "site" and ":" in text):
        return {"region": text}
    return {"grid": text}


TEXT_OPTIONS = ("objective", "kind", "vocabulary", "lowercase", "format", "documents", "split", "validation_fraction")


def text_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of the commands for text say, by the fields of ``[data]`` and ``[tokenizer]``.

    Raises:
        DescriptionError: More than two columns are named.
    """
    found = {name: given[name] for name in TEXT_OPTIONS if given[name] is not None}
    if given.get("tokenizer") is not None:
        found["file"] = given["tokenizer"]
    columns = given["column"] or []
    if len(columns) > 2:
        raise DescriptionError(f"--column is given {len(columns)} times. Name the text, or a source and its target.")
    if columns:
        found["columns"] = dict(zip(("text",) if len(columns) == 1 else ("source", "target"), columns, strict=True))
    return found
