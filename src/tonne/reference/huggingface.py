"""What transformers takes for a value that a config.json leaves out: the rows of its table."""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = "huggingface_defaults.csv"
SAME_CONFIGURATION: Mapping[str, str] = MappingProxyType(
    {"kimi_k2": "deepseek_v3"}
)  # types that transformers has no class for, and whose files are those of another type


@cache
def _by_type() -> Mapping[str, Mapping[str, Any]]:
    table = files("tonne.reference").joinpath("tables", TABLE)
    found: dict[str, dict[str, Any]] = {}
    with table.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["model_type"], {})[row["field"]] = json.loads(row["value"])
    return MappingProxyType({model_type: MappingProxyType(values) for model_type, values in found.items()})


def default_values(model_type: str) -> Mapping[str, Any]:
    """Defaults of a model type's configuration by field; none for a type that the table does not know."""
    return _by_type().get(SAME_CONFIGURATION.get(model_type, model_type), MappingProxyType({}))
