"""`tonne finetune` from a plan file: what it prints, where, and how it ends."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from tonne.cli.main import app

PLAN = """
[architecture]
kind = "encoder"
layers = 1
width = 16
heads = 2
vocabulary = 120
positions = "learned"
max_positions = 16

[data]
source = "rows.csv"
validation_fraction = 0.2

[task]
name = "classification"
columns = { text = "body" }

[training]
global_batch_sequences = 4
epochs = 1
precision = "fp32"

[run]
log_every = 1
threads = 1
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("TONNE_HOME", str(tmp_path / "home"))
    lines = [f"the {('cat', 'apple')[i % 2]} is number {i},{('animal', 'fruit')[i % 2]}" for i in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["body,label", *lines]), encoding="utf-8")
    path = tmp_path / "small.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def finetune(*arguments):
    return CliRunner().invoke(app, ["finetune", *map(str, arguments)])


@pytest.mark.slow
def test_a_run_is_told_on_standard_error_and_its_result_on_standard_output(plan, tmp_path):
    done = finetune(plan, "--output", tmp_path / "run")
    assert done.exit_code == 0, done.output
    ended, best, model, *_ = done.stdout.splitlines()
    assert ended.startswith("trained for 4 steps")
    assert best.startswith("best after step ")
    assert "accuracy" in best
    assert model == f"model: {tmp_path / 'run' / 'model'}"
    assert "16 examples, 4 more held out" in done.stderr
    assert "expected loss: starts near 0.69 (every choice alike)" in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"metrics.jsonl", "checkpoints", "best", "model"}


@pytest.mark.slow
def test_json_is_one_document(plan, tmp_path):
    done = finetune(plan, "--output", tmp_path / "run", "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == "1"
    assert document["run"]["steps"] == 4
    assert set(document["run"]["best"]["metrics"]) == {"accuracy", "f1_macro", "f1_micro"}


@pytest.mark.slow
def test_max_steps_and_resume(plan, tmp_path):
    assert finetune(plan, "--output", tmp_path / "run", "--max-steps", 2).exit_code == 0
    assert finetune(plan, "--output", tmp_path / "run").exit_code == 2  # it holds a run
    done = finetune(plan, "--output", tmp_path / "run", "--resume")
    assert done.exit_code == 0
    assert "going on from step 2" in done.stderr
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize(("change", "message"), [
    (('text = "body"', 'text = "words"'), "body"),  # the columns that there are
    (('name = "classification"', 'name = "clasification"'), "task.name"),
    (("epochs = 1", "epoch = 1"), "training.epoch is not a field"),
    (("[task]", "[tasks]"), r"[task] is missing"),
])  # fmt: skip
def test_a_wrong_plan_is_told_with_exit_code_two(plan, tmp_path, change, message):
    plan.write_text(plan.read_text("utf-8").replace(*change), encoding="utf-8")
    done = finetune(plan, "--output", tmp_path / "run")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()
