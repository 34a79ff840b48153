"""`tonne train` from a plan file: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import signal

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from tonne.cli.main import app
from tonne.workflow.metering import Metering

pytestmark = pytest.mark.slow  # every test trains

PLAN = """
[architecture]
kind = "decoder"
layers = 1
width = 16
heads = 2
vocabulary = 300
positions = "learned"
max_positions = 32

[data]
source = "text.txt"
documents = "paragraph"
validation_fraction = 0.1
tokens = 640
sequence_length = 16

[tokenizer]
kind = "bpe"
vocabulary = 300

[training]
global_batch_sequences = 4
precision = "fp32"

[run]
log_every = 1
threads = 1
"""


@pytest.fixture
def plan(tmp_path):
    sentences = (f"The {n} quick foxes jump over {n * n} lazy dogs." for n in range(120))
    (tmp_path / "text.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    path = tmp_path / "small.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def train(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_run_is_told_on_standard_error_and_its_result_on_standard_output(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--max-steps", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("trained for 3 steps, 192 tokens")
    assert f"model: {tmp_path / 'run' / 'model'}" in done.stdout
    assert "small: " in done.stderr
    assert "parameters; 3 steps of 64 tokens = 192 tokens" in done.stderr
    assert "expected loss: starts near 5.70" in done.stderr  # ln 300
    assert "step 3/3  loss" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert {"loss", "tokens", "tokens_per_s", "mfu"} <= lines[0].keys()


def test_json_is_one_document(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == "1"
    assert document["run"]["steps"] == 10  # 640 tokens in steps of 64
    assert document["run"]["stopped_by"] is None
    assert document["run"]["model"] == str(tmp_path / "run" / "model")


def test_second_run_in_one_folder_is_refused_and_resume_goes_on(plan, tmp_path):
    assert train(plan, "--output", tmp_path / "run", "--max-steps", 2).exit_code == 0
    refused = train(plan, "--output", tmp_path / "run")
    assert refused.exit_code == 2
    assert "holds a run already" in refused.stderr
    resumed = train(plan, "--output", tmp_path / "run", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "going on from step 2" in " ".join(resumed.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_a_signal_ends_is_saved_and_its_exit_status_says_so(plan, tmp_path, monkeypatch, number, status):
    told = Metering.on_step

    def on_step(self, step, tokens, loss):
        if step == 3:
            os.kill(os.getpid(), number)
        return told(self, step, tokens, loss)

    monkeypatch.setattr(Metering, "on_step", on_step)
    done = train(plan, "--output", tmp_path / "run")
    assert done.exit_code == status
    assert done.stdout.startswith("stopped by a signal after 3 steps")
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    monkeypatch.undo()
    assert train(plan, "--output", tmp_path / "run", "--resume").exit_code == 0


def test_unknown_key_names_those_that_are_known(plan, tmp_path):
    plan.write_text(PLAN.replace("log_every", "log_evry"), encoding="utf-8")
    done = train(plan, "--output", tmp_path / "run")
    assert done.exit_code == 2
    assert "run.log_evry is not a field. Known here: log_every" in done.stderr
    assert not (tmp_path / "run").exists()


def test_forecast_reads_the_same_file(plan):
    done = CliRunner().invoke(app, ["forecast", str(plan), "--accelerators", "1xA100-80GB", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"]["tokens"] == 640


@pytest.mark.parametrize("name", ["gpt", "bert", "t5"])
def test_examples_are_recipes_and_plans(name, repository):
    from tonne.describe.recipe import Recipe

    path = repository / "examples" / f"pretrain-{name}.toml"
    recipe = Recipe.from_toml(path)
    assert recipe.data.sources == ("builtin",)
    done = CliRunner().invoke(app, ["forecast", str(path), "--accelerators", "1xA100-80GB", "--json"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", ["gpt", "bert", "t5"])
def test_examples_train_from_the_built_in_corpus(name, tmp_path, repository):
    path = repository / "examples" / f"pretrain-{name}.toml"
    done = train(path, "--output", tmp_path / "run", "--max-steps", 12)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"]
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text(encoding="utf-8"))
    expected = {"gpt": "Qwen2ForCausalLM", "bert": "BertForPreTraining", "t5": "T5ForConditionalGeneration"}
    assert config["architectures"] == [expected[name]]


def test_a_run_says_before_and_after_what_it_takes(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--site", "FR", "--project", "p")
    assert done.exit_code == 0, done.output
    assert "forecast: " in done.stderr
    assert "on this machine: stepping" in done.stderr
    assert "CO2e" in done.stderr
    assert "Duration" in done.stdout
    assert "run: 20" in done.stdout


def test_json_holds_forecast_account_and_reconciliation(plan, tmp_path):
    document = json.loads(train(plan, "--output", tmp_path / "run", "--json").stdout)["run"]
    assert document["forecast"]["duration_s"]["value"] > 0
    assert document["account"]["energy"]["facility_kwh"]["value"] > 0
    assert {one["quantity"] for one in document["reconciliation"]["comparisons"]} >= {"duration_s"}
    assert document["id"].endswith(tuple("0123456789abcdef"))


@pytest.mark.usefixtures("_patient_looks")
def test_a_limit_that_is_enforced_ends_with_status_three(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--max-kwh", "1e-12", "--enforce")
    assert done.exit_code == 3, done.output
    assert "stopped at a limit" in done.stdout
    assert (tmp_path / "run" / "model").is_dir()


def test_without_a_meter_only_the_model_is_left(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--no-meter")
    assert done.exit_code == 0, done.output
    assert "run: " not in done.stdout
    assert "forecast: " in done.stderr


def test_two_places_are_one_too_many(plan, tmp_path):
    done = train(plan, "--output", tmp_path / "run", "--site", "FR", "--grid", "DE")
    assert done.exit_code == 2
    assert "each name a place" in done.stderr
