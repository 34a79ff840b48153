"""What a training records of its plan is the plan: as it was given, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tonne.describe.plan import TrainingPlan
from tonne.describe.recipe import Recipe
from tonne.ledger.records import MEASURED, Run
from tonne.workflow.record import plan_of

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["pretrain-gpt", "pretrain-bert", "pretrain-t5"])
def test_a_recorded_plan_is_the_plan(name):
    path = EXAMPLES / f"{name}.toml"
    told = SimpleNamespace(recipe=Recipe.from_toml(path), metering=SimpleNamespace(ahead=None))
    fields, notes = plan_of(told)
    kept = Run(
        id="r", name="r", kind=MEASURED, status="finished", begun_unix_s=0.0, plan=json.loads(json.dumps(fields))
    )
    plan, again = TrainingPlan.from_toml(path), kept.training_plan()
    assert notes == ()
    assert again == plan
    for section in ("training", "data", "cluster", "schedule"):
        assert getattr(again, section).model_fields_set == getattr(plan, section).model_fields_set
