"""The defaults that a config.json may leave out are those of the pinned transformers, to the value.

``TONNE_UPDATE_PAGES=1`` writes the table anew from the installed transformers.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from tonne.describe.huggingface import model_types
from tonne.reference.huggingface import SAME_CONFIGURATION

TABLE = Path(__file__).parents[2] / "src/tonne/reference/tables/huggingface_defaults.csv"
NEEDED = {"nemotron": {"num_key_value_heads": 8}}  # values that transformers, too, cannot do without
COLUMNS = ("model_type", "field", "value", "source")
NO_SHAPE = re.compile(
    r"drop|_token_id|_init|init_|initializer|return_|output_|use_cache|rope_param|rope_theta|cache|"
    r"^transformers_version|^architectures|^dtype|chunk_size|problem_type|label2id|pretraining_tp|_coef|"
    r"jitter|begin_|end_|suppress|upcast|_path|reference_compile|temperature"
)
NUMBERS = re.compile(
    r"_eps$|epsilon$|_multiplier$|logit_scale$|logits_scaling$|softcapping$|routed_scaling_factor$|swiglu_limit$"
)  # the fractions that are read; others are what trains a model


def defaults_of(model_type: str) -> dict[str, object]:
    """Fields that may bear on the shape or on what norms and scores do, with the values of the configuration class."""
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - seconds

    found: dict[str, object] = {}
    made_by = CONFIG_MAPPING[model_type]
    for field in dataclasses.fields(made_by):
        made = field.default_factory is not dataclasses.MISSING
        value = field.default_factory() if made else field.default
        number = isinstance(value, float) and NUMBERS.search(field.name)
        plain = isinstance(value, int | str | bool | list | tuple | type(None))
        if not NO_SHAPE.search(field.name) and (plain or number):
            found[field.name] = list(value) if isinstance(value, tuple) else value
    if any(field.name == "rope_parameters" for field in dataclasses.fields(made_by)):
        found["default_rope"] = made_by(
            **NEEDED.get(model_type, {})
        ).rope_parameters  # made by the class, not a field's
    return found


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def configured_types() -> set[str]:
    """The types that can be read, by the name of their configuration class."""
    return {SAME_CONFIGURATION.get(model_type, model_type) for model_type in model_types()}


def write(types: set[str]) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(COLUMNS)
        for model_type in sorted(types):
            for name, value in sorted(defaults_of(model_type).items()):
                table.writerow((model_type, name, json.dumps(value), "transformers2026"))


@pytest.mark.slow
def test_defaults_are_those_of_transformers():
    pytest.importorskip("transformers").logging.set_verbosity_error()
    if os.environ.get("TONNE_UPDATE_PAGES") == "1":
        write(configured_types())
    known: dict[str, dict[str, object]] = {}
    for row in rows():
        known.setdefault(row["model_type"], {})[row["field"]] = json.loads(row["value"])
    assert configured_types() <= set(known)
    for model_type, values in known.items():
        assert values == defaults_of(model_type), model_type
