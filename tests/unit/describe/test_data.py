"""The sections [data] and [tokenizer] of a plan."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import tonne
from tonne.describe.data import Data, Tokenizer
from tonne.errors import DescriptionError

CLUSTER = {"accelerator": "A100-80GB", "accelerators": 1}


def test_a_forecast_reads_the_file_that_training_reads(tmp_path):
    (tmp_path / "plan.toml").write_text(
        """
        [architecture]
        preset = "gpt2-small"
        [data]
        tokens = 1e9
        sequence_length = 1024
        source = ["text/*.txt", "builtin"]
        columns = "body"
        validation_fraction = 0.01
        [tokenizer]
        file = "tokenizer.json"
        [cluster]
        accelerator = "A100-80GB"
        accelerators = 1
        """,
        "utf-8",
    )
    plan = tonne.TrainingPlan.from_toml(tmp_path / "plan.toml")
    # Paths start at the plan's folder; the built-in corpus has none.
    assert plan.data.sources == (str(tmp_path / "text/*.txt"), "builtin")
    assert plan.data.columns.names == ("body",)
    assert plan.tokenizer.file == str(tmp_path / "tokenizer.json")
    assert tonne.forecast(plan).counts.parameters == 124_439_808  # GPT-2 small with its 1,024 positions


def test_columns_are_one_text_or_a_pair():
    assert Data(tokens=1, columns={"source": "en", "target": "de"}).columns.names == ("en", "de")
    for wrong in ({"source": "en"}, {}, {"text": "a", "source": "b", "target": "c"}):
        with pytest.raises(ValidationError, match=r"Name text alone, e\.g\. columns = 'text'"):
            Data(tokens=1, columns=wrong)


def test_a_tokenizer_is_loaded_or_trained():
    assert Tokenizer().file is None
    with pytest.raises(ValidationError, match="names a file, and vocabulary of one to be trained"):
        Tokenizer(file="t.json", vocabulary=100)


def test_a_fault_names_its_field():
    fields = {"architecture": {"preset": "gpt2-small"}, "cluster": CLUSTER, "data": {"tokens": 1e9, "sourc": "x"}}
    with pytest.raises(DescriptionError, match=r"data\.sourc is not a field\. Known here: tokens, .*source, format"):
        tonne.TrainingPlan.from_fields(fields)
