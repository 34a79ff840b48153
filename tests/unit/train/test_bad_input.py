"""What cannot be trained says why, and takes nothing with it."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import CheckpointError, DataError, DescriptionError, TrainingError  # noqa: E402 - after the skip
from tonne.train.checkpoint import newest  # noqa: E402 - as above
from tonne.train.fitting import fit  # noqa: E402 - as above


class Spoiler:
    """Makes a weight infinite after a step, as a broken chip might."""

    def __init__(self, model, after):
        self.model, self.after = model, after

    def on_start(self, total_steps, tokens_per_step):
        pass

    def on_step(self, step, tokens, loss):
        if step == self.after:
            with torch.no_grad():
                self.model.embedding.tokens.weight.fill_(float("inf"))

    def on_end(self, error):
        self.error = error


@pytest.mark.slow
def test_loss_that_is_no_number_stops_at_its_step_and_keeps_the_last_good_checkpoint(tmp_path, tiny_job, quiet):
    job = tiny_job(run={"checkpoint_every": 3})
    spoiler = Spoiler(job.model, after=4)
    with pytest.raises(TrainingError, match=r"step 5: the loss is nan. The batch is number 5 of the run .*\(8, 32\)"):
        fit(job, tmp_path / "run", session=quiet, observers=[spoiler])
    assert isinstance(spoiler.error, TrainingError)
    assert newest(tmp_path / "run" / "checkpoints").step == 3
    assert fit(tiny_job(run={"checkpoint_every": 3}), tmp_path / "run", session=quiet, resume=True).steps == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": {"width": 16}}, "architecture.width was 32, is 16"),
        ({"training": {"learning_rate": 1.0}}, "training.learning_rate was 0.01, is 1.0"),
        ({"training": {"seed": 5}}, "training.seed was 0, is 5"),
        ({"data": {"tokens": 9999}}, "data.total_steps was 12, is 40"),
    ],
)
def test_run_of_another_plan_is_not_gone_on_with(changes, message, tmp_path, tiny_job, quiet):
    fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=1)
    with pytest.raises(CheckpointError, match=f"holds a run of another plan: .*{message}"):
        fit(tiny_job(**changes), tmp_path / "run", session=quiet, resume=True)


def test_checkpoint_of_another_architecture_is_refused(tmp_path, tiny_job, quiet):
    import shutil

    fit(tiny_job(architecture={"layers": 1}), tmp_path / "other", session=quiet, max_steps=3)
    fit(tiny_job(), tmp_path / "run", session=quiet, max_steps=1)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "run" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"of another architecture: it lacks decoder.layers.1"):
        fit(tiny_job(), tmp_path / "run", session=quiet, resume=True)


def test_id_beyond_the_vocabulary_is_named(tmp_path, tiny_job, quiet):
    job = tiny_job()
    real = job.batches.micro_batches

    def spoilt(step, **more):
        batches = real(step, **more)
        if step == 2:
            batches[0].tokens[0, 0] = 777
        return batches

    job.batches.micro_batches = spoilt
    with pytest.raises(
        DescriptionError, match=r"step 3: tokens holds the id 777, and .*vocabulary=300 has ids 0 to 299"
    ):
        fit(job, tmp_path / "run", session=quiet)


def test_store_with_more_ids_than_the_model_is_refused(tiny_job):
    with pytest.raises(DataError, match="vocabulary of at least"):
        tiny_job(architecture={"vocabulary": 100}, tokenizer={"kind": "bpe", "vocabulary": 300})


def test_sequence_longer_than_the_positions_is_refused(tiny_job):
    with pytest.raises(DataError, match="sequence_length = 65, but the model has positions for 64"):
        tiny_job(data={"sequence_length": 65})


def test_precision_that_is_not_trained_in_is_refused(tmp_path, tiny_job, quiet):
    with pytest.raises(DescriptionError, match="precision='fp8' can be forecast, and is not trained in here"):
        fit(tiny_job(training={"precision": "fp8"}), tmp_path / "run", session=quiet)


def test_folder_in_use_is_refused(tmp_path, tiny_job, quiet):
    from tonne.errors import RunFolderError
    from tonne.train.run_folder import opened

    with (
        opened(tmp_path / "run", resume=False),
        pytest.raises(RunFolderError, match="being written by another process"),
    ):
        fit(tiny_job(), tmp_path / "run", session=quiet)


@pytest.mark.slow
def test_full_disk_while_saving_keeps_what_was_saved(tmp_path, tiny_job, quiet, monkeypatch):
    from tonne.train import checkpoint

    written = checkpoint.save_file

    def full(tensors, path):
        if "0000000006" in str(path):
            raise OSError(28, "No space left on device")
        written(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(
        CheckpointError, match=r"checkpoint of step 6 could not be written.*No space left.*step-0000000003"
    ):
        fit(tiny_job(), tmp_path / "run", session=quiet)
    monkeypatch.undo()
    assert fit(tiny_job(), tmp_path / "run", session=quiet, resume=True).steps == 12


def test_sharding_without_torchrun_says_how_to_start(tmp_path, tiny_job, quiet):
    job = dataclasses.replace(tiny_job(), sharding="zero-3")
    with pytest.raises(DescriptionError, match="sharding shares a model out over processes, but this is one alone"):
        fit(job, tmp_path / "run", session=quiet)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"global_batch_sequences": None}}, "global_batch_sequences is missing"),
        ({"data": {"source": None}}, r"\[data\] source is missing"),
        (
            {"parallelism": {"tensor": 2, "data": 1}},
            r"\[parallelism\] tensor=2: tonne train shares out sequences alone",
        ),
        ({"training": {"frozen_layers": 1}}, "change a model that exists"),
        ({"architecture": None}, r"\[architecture\] is missing"),
        ({"training": {"learning_rat": 1}}, "training.learning_rat is not a field. Known here: .*learning_rate"),
    ],
)
def test_plan_that_cannot_be_trained_says_what_is_missing(changes, message, tiny_fields):
    from tonne.describe.plan import described
    from tonne.describe.recipe import Recipe

    with pytest.raises(DescriptionError, match=message):
        described(Recipe, tiny_fields(**changes), origin="plan.toml")
