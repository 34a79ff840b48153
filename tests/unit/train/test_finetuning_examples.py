import json
from pathlib import Path

import pytest

from tonne.describe.finetuning import FinetuningRecipe
from tonne.describe.recipe import Recipe
from tonne.describe.start import Trained
from tonne.train import Session, finetune
from tonne.train.corpora import TEST, corpora
from tonne.train.metrics import default_metric

EXAMPLES = Path(__file__).parents[3] / "examples"
PLANS = sorted(path for path in EXAMPLES.glob("finetune-*.toml") if "[task]" in path.read_text(encoding="utf-8"))
TASKS = {"translation", "summarisation", "classification", "question-answering"}


def test_every_task_of_the_issue_has_an_example():
    assert {FinetuningRecipe.from_toml(plan).task.name for plan in PLANS} == TASKS


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_an_example_trains_on_a_built_in_corpus_and_says_what_it_is_tested_on(plan):
    recipe, text = FinetuningRecipe.from_toml(plan), plan.read_text(encoding="utf-8")
    (source,) = recipe.data.sources
    assert source.removeprefix("builtin:") in corpora()
    assert f"--data {source}{TEST}" in text
    assert default_metric(recipe.task.name) in {"chrf", "rougeL", "accuracy", "f1"}


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_what_an_example_starts_from_is_a_plan_beside_it_that_reads_no_test(plan):
    origin = FinetuningRecipe.from_toml(plan).start.origin
    if isinstance(origin, Trained):
        assert Recipe.from_toml(origin.train).data.sources == ("builtin:untested",)
    else:
        assert origin == "scratch"


@pytest.mark.slow
def test_an_example_makes_its_first_steps_from_a_fresh_home(tmp_path):
    found = finetune(
        EXAMPLES / "finetune-translate.toml",
        tmp_path / "run",
        max_steps=12,
        session=Session(home=tmp_path / "home", device="cpu", stream=None),
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert found.steps == 12
    assert lines[-1]["loss"] < lines[0]["loss"]  # ln 1024 = 6.93 at the start, and falling
    assert abs(lines[0]["loss"] - 6.93) < 0.3
