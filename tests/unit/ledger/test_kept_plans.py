"""A plan that was kept is forecast as it was when it was read from its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tonne.describe.plan import TrainingPlan
from tonne.documents import plain
from tonne.errors import DescriptionError
from tonne.forecasting import forecast
from tonne.ledger.records import MEASURED, Run

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.toml"))
FIELDS = {
    "name": "small",
    "architecture": {"preset": "gpt2-small"},
    "data": {"tokens": 1e9, "sequence_length": 1024},
    "training": {"micro_batch_sequences": 1},  # as its default is, and yet given
    "cluster": {"accelerator": "A100-SXM4-80GB", "accelerators": 8},
}


def kept(plan, *, says_what_was_given=True):
    document = json.loads(json.dumps(plain(plan)))
    if not says_what_was_given:
        del document["given"]
    return Run(id="r", name="r", kind=MEASURED, status="finished", begun_unix_s=0.0, plan=document)


@pytest.mark.slow
@pytest.mark.parametrize("says", [True, False], ids=["with-given", "without"])
@pytest.mark.parametrize("name", NAMES)
def test_forecast_of_a_kept_plan_is_that_of_the_plan(name, says):
    plan = TrainingPlan.from_toml(EXAMPLES / f"{name}.toml")
    again = kept(plan, says_what_was_given=says).training_plan()
    assert again == plan
    assert forecast(again) == forecast(plan)


def test_a_document_says_what_was_given_and_only_that_counts_as_given():
    plan = TrainingPlan.from_fields(FIELDS)
    document = plain(plan)
    assert document["given"] == [
        "name", "architecture", "data.tokens", "data.sequence_length", "training.micro_batch_sequences",
        "cluster.accelerator", "cluster.accelerators",
    ]  # fmt: skip
    assert document["training"]["recomputation"] == "none"  # a default, named all the same
    again = kept(plan).training_plan()
    assert again.training.model_fields_set == {"micro_batch_sequences"}
    assert again.cluster.model_fields_set == {"accelerator", "accelerators"}
    assert again.parallelism is None
    assert plain(again) == document


def test_an_older_document_gives_what_is_no_default():
    again = kept(TrainingPlan.from_fields(FIELDS), says_what_was_given=False).training_plan()
    assert again.training.model_fields_set == set()
    assert again.data.model_fields_set == {"tokens", "sequence_length"}
    assert again == TrainingPlan.from_fields(FIELDS)


def test_a_layout_of_ones_that_was_given_stays_given():
    fields = {**FIELDS, "cluster": {**FIELDS["cluster"], "accelerators": 1}, "parallelism": {}}
    again = kept(TrainingPlan.from_fields(fields)).training_plan()
    assert again.parallelism is not None
    assert kept(TrainingPlan.from_fields({**fields, "parallelism": None})).training_plan().parallelism is None


def test_a_plan_without_defaults_is_written_as_it_was_given():
    plan = TrainingPlan.from_fields(FIELDS)
    assert "given" not in plan.model_dump(exclude_unset=True)
    assert "given" not in plan.model_dump(mode="json", exclude_unset=True)


def test_what_was_given_is_a_list_of_names():
    with pytest.raises(DescriptionError, match=r"given=7 is no list of fields. A document lists there"):
        TrainingPlan.from_fields({**FIELDS, "given": 7})
