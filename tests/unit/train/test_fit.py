"""A whole run: what it writes, what it may not depend on, and how it ends."""

from __future__ import annotations

import json
import math

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import RunFolderError  # noqa: E402 - after the skip
from tonne.train.fitting import fit  # noqa: E402 - as above


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_run_leaves_metrics_checkpoints_and_a_model(tmp_path, tiny_job, quiet, lines_of):
    found = fit(tiny_job(), tmp_path / "run", session=quiet)
    assert (found.steps, found.tokens, found.stopped_by) == (12, 12 * 8 * 32, None)
    lines = lines_of(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {"loss", "tokens", "learning_rate", "gradient_norm", "bits_per_byte"} <= lines[0].keys()
    assert [line["step"] for line in lines if "validation_loss" in line] == [4, 8, 12]
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step-0000000009", "step-0000000012"]
    names = {path.name for path in (tmp_path / "run" / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def test_first_loss_is_that_of_knowing_nothing_and_it_falls(tmp_path, tiny_job, quiet, lines_of):
    fit(tiny_job(), tmp_path / "run", session=quiet)
    losses = [line["loss"] for line in lines_of(tmp_path / "run")]
    assert losses[0] == pytest.approx(math.log(300), abs=0.1)
    assert losses[-1] < losses[0] - 2


def test_bits_per_byte_by_hand(tmp_path, tiny_job, quiet, lines_of):
    job = tiny_job()
    view = job.batches.data
    fit(job, tmp_path / "run", session=quiet, max_steps=1)
    (line,) = lines_of(tmp_path / "run")
    assert line["bits_per_byte"] == pytest.approx(line["loss"] / math.log(2) * view.tokens / view.text_bytes, rel=1e-12)


@pytest.mark.slow
def test_model_that_was_written_predicts_as_the_one_that_was_trained(tmp_path, tiny_job, quiet):
    from tonne.model import from_huggingface

    job = tiny_job()
    found = fit(job, tmp_path / "run", session=quiet)
    tokens = job.batches.micro_batches(0)[0].tokens
    read = from_huggingface(found.model).eval()
    with torch.no_grad():
        assert torch.allclose(read.logits(tokens), job.model.eval().logits(tokens), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["causal-lm", "masked-lm+next-sentence", "span-corruption"])
def test_micro_batches_make_the_step_of_one_batch(objective, tmp_path, tiny_job, quiet, lines_of):
    losses, models = [], []
    for size in (8, 3, 1):
        job = tiny_job(**fields_of(objective), training={"objective": objective, "micro_batch_sequences": size})
        job.model.double()
        fit(job, tmp_path / f"run-{size}", session=quiet, max_steps=4)
        losses.append([line["loss"] for line in lines_of(tmp_path / f"run-{size}")])
        models.append(weights(job.model))
    for other, model in zip(losses[1:], models[1:], strict=True):
        assert other == pytest.approx(losses[0], rel=1e-12, abs=0)
        assert all(torch.allclose(model[name], models[0][name], rtol=0, atol=1e-12) for name in model)


def fields_of(objective):
    """Architecture of each objective, as small as the others."""
    shape = {
        "kind": "encoder",
        "layers": 1,
        "width": 32,
        "heads": 4,
        "vocabulary": 300,
        "positions": "learned",
        "max_positions": 64,
    }
    if objective == "causal-lm":
        return {}
    if objective == "span-corruption":
        both = {"kind": "encoder-decoder", "encoder_layers": 1, "decoder_layers": 1, "layers": None}
        return {"architecture": {**shape, **both}, "tokenizer": {"kind": "unigram"}}
    heads = {
        "token_types": 2,
        "embedding_norm": True,
        "pooler": True,
        "prediction_head": True,
        "next_sentence_head": True,
    }
    return {"architecture": {**shape, **heads}, "tokenizer": {"kind": "wordpiece"}}


@pytest.mark.slow
def test_run_that_is_cut_stays_on_the_schedule_of_the_whole(tmp_path, tiny_job, quiet, lines_of):
    fit(tiny_job(), tmp_path / "whole", session=quiet)
    fit(tiny_job(), tmp_path / "cut", session=quiet, max_steps=5)
    assert lines_of(tmp_path / "cut") == lines_of(tmp_path / "whole")[:5]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("cut", [1, 3, 5, 11])
def test_resumed_run_is_bit_for_bit_the_one_that_was_never_stopped(cut, optimizer, tmp_path, tiny_job, quiet, lines_of):
    fields = {"training": {"optimizer": optimizer, "dropout": 0.1}, "run": {"log_every": 2, "checkpoint_every": 100}}
    straight = tiny_job(**fields)
    fit(straight, tmp_path / "straight", session=quiet)
    fit(tiny_job(**fields), tmp_path / "run", session=quiet, max_steps=cut)
    resumed = tiny_job(**fields)
    fit(resumed, tmp_path / "run", session=quiet, resume=True)
    assert equal(weights(resumed.model), weights(straight.model))
    assert lines_of(tmp_path / "run") == lines_of(tmp_path / "straight")


def test_resume_does_not_probe(tmp_path, tiny_job, quiet, monkeypatch):
    fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=2)
    monkeypatch.setattr("tonne.train.starting.choose", lambda *_: pytest.fail("a resumed run probed"))
    assert fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=4, resume=True).steps == 4


def test_resume_without_a_checkpoint_starts_from_the_beginning_and_says_so(tmp_path, tiny_job, quiet, capsys):
    import dataclasses
    import io

    said = io.StringIO()
    session = dataclasses.replace(quiet, stream=said)
    assert fit(tiny_job(), tmp_path / "run", session=session, max_steps=1, resume=True).steps == 1
    assert "holds no checkpoint to go on from: starting from the beginning" in " ".join(said.getvalue().split())


def test_folder_of_another_run_is_refused_and_left_alone(tmp_path, tiny_job, quiet):
    fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=1)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match=r"holds a run already\. Go on with it by --resume"):
        fit(tiny_job(), tmp_path / "run", session=quiet)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_run_that_is_complete_has_nothing_left_to_do(tmp_path, tiny_job, quiet, lines_of):
    fit(tiny_job(), tmp_path / "run", session=quiet)
    lines = lines_of(tmp_path / "run")
    found = fit(tiny_job(), tmp_path / "run", session=quiet, resume=True)
    assert (found.steps, found.loss) == (12, None)
    assert lines_of(tmp_path / "run") == lines


class Watcher:
    """An observer that writes down what it is told, and stops the run after a step."""

    def __init__(self, stop_at=None):
        self.told, self.stop_at = [], stop_at

    def on_start(self, total_steps, tokens_per_step):
        self.told.append(("start", total_steps, tokens_per_step))

    def on_step(self, step, tokens, loss):
        self.told.append((step, tokens))
        return {"energy_kwh": step / 1000, "stop": float(step == self.stop_at)}

    def on_end(self, error):
        self.told.append(("end", error))


def test_observers_are_told_and_add_columns(tmp_path, tiny_job, quiet, lines_of):
    watcher = Watcher()
    fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=2, observers=[watcher])
    assert watcher.told == [("start", 2, 256), (1, 256), (2, 256), ("end", None)]
    assert [line["energy_kwh"] for line in lines_of(tmp_path / "run")] == [0.001, 0.002]


@pytest.mark.slow
def test_observer_may_stop_a_run_which_saves_and_can_go_on(tmp_path, tiny_job, quiet, lines_of):
    found = fit(tiny_job(), tmp_path / "run", session=quiet, observers=[Watcher(stop_at=5)])
    assert (found.steps, found.stopped_by) == (5, "observer")
    assert (tmp_path / "run" / "checkpoints" / "step-0000000005").is_dir()
    assert fit(tiny_job(), tmp_path / "run", session=quiet, resume=True).steps == 12
    assert len(lines_of(tmp_path / "run")) == 12


@pytest.mark.slow
def test_run_without_a_better_evaluation_ends_early(tmp_path, tiny_job, quiet):
    # A rate so high that the loss stops falling after the first evaluations.
    job = tiny_job(training={"learning_rate": 5.0}, run={"evaluate_every": 1, "patience": 2})
    found = fit(job, tmp_path / "run", session=quiet)
    assert found.stopped_by == "patience"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines]
    assert min(losses[-2:]) >= min(losses[:-2])


@pytest.mark.slow
def test_sample_of_text_goes_to_its_file(tmp_path, tiny_job, quiet):
    job = tiny_job(run={"sample_tokens": 5, "sample_prompt": "The", "evaluate_every": 2})
    fit(job, tmp_path / "run", session=quiet, max_steps=4)
    lines = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert all(line["text"].startswith("The") for line in lines)


@pytest.mark.slow
def test_mfu_is_never_above_one(tmp_path, tiny_job, quiet, monkeypatch):
    monkeypatch.setattr("tonne.train.choosing.peak_of", lambda *_: 1.0)  # as if the probe had been slowed down
    fit(tiny_job(), tmp_path / "run", session=quiet)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line["mfu"] for line in lines) == 1.0


@pytest.mark.slow
def test_sixteen_bit_products_leave_the_weights_in_thirty_two(tmp_path, tiny_job, quiet, lines_of):
    job = tiny_job(training={"precision": "bf16"})
    fit(job, tmp_path / "bf16", session=quiet)
    fit(tiny_job(), tmp_path / "fp32", session=quiet)
    assert {parameter.dtype for parameter in job.model.parameters()} == {torch.float32}
    losses = [[line["loss"] for line in lines_of(tmp_path / name)] for name in ("bf16", "fp32")]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)  # 8 bits of a number: 0.4 % a product


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's compiler warns of itself
def test_compiled_layers_make_the_same_run(tmp_path, tiny_job, quiet, lines_of):
    fit(tiny_job(run={"compile": True}), tmp_path / "compiled", session=quiet, max_steps=4)
    fit(tiny_job(), tmp_path / "eager", session=quiet, max_steps=4)
    losses = [[line["loss"] for line in lines_of(tmp_path / name)] for name in ("compiled", "eager")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
def test_run_that_starts_from_a_folder_goes_on_where_its_model_was(tmp_path, tiny_job, quiet, lines_of):
    first = fit(tiny_job(), tmp_path / "first", session=quiet)
    start = {"start": {"from": str(first.model)}, "architecture": None}
    fit(tiny_job(**start, training={"seed": 1}), tmp_path / "second", session=quiet, max_steps=1)
    ends = [lines_of(tmp_path / name)[-1] for name in ("first", "second")]
    assert ends[1]["loss"] == pytest.approx(ends[0]["loss"], abs=0.5)  # from scratch it would be 5.7


def test_folder_of_another_shape_than_the_plan_is_refused(tmp_path, tiny_job, quiet):
    from tonne.errors import DescriptionError

    first = fit(tiny_job(), tmp_path / "first", session=quiet, max_steps=1)
    with pytest.raises(DescriptionError, match=r"holds a model with layers=2, and \[architecture\] says 3"):
        tiny_job(start={"from": str(first.model)}, architecture={"layers": 3})


@pytest.mark.slow
def test_small_run_never_loads_the_compiler(tmp_path, tiny_fields, tiny_folder):
    import subprocess
    import sys

    code = """
import json, sys
from pathlib import Path
from tonne.describe.recipe import Recipe
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder

fields, folder, stores = json.loads(sys.argv[1])
recipe = Recipe.model_validate(fields)
job = job_of(recipe, store_folder(recipe, Path(stores)))
fit(job, folder, max_steps=1, session=Session(device="cpu", stream=None))
print([name for name in ("torch._dynamo", "torch._inductor", "torch.distributed.fsdp") if name in sys.modules])
"""
    given = json.dumps(
        [tiny_fields(training={"optimizer": "muon"}), str(tmp_path / "run"), str(tiny_folder / "stores")]
    )
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
