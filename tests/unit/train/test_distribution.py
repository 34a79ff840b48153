"""Processes that train together make the run of one alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow

CODE = """
import json, sys
from pathlib import Path
from tonne.describe.recipe import Recipe
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder

fields, folder, stores, double, options = json.loads(sys.argv[1])
recipe = Recipe.model_validate(fields)
job = job_of(recipe, store_folder(recipe, Path(stores)))
if double:
    job.model.double()
fit(job, folder, session=Session(device="cpu", stream=None), **options)
"""
ULP = {False: 1e-6, True: 1e-12}


@pytest.fixture
def train(tmp_path, tiny_folder, lines_of):
    """Run the script by so many processes; the losses of its steps."""

    def by(ranks, fields, folder, *, double=False, **options):
        script = tmp_path / "script.py"
        script.write_text(CODE, encoding="utf-8")
        given = json.dumps([fields, str(tmp_path / folder), str(tiny_folder / "stores"), double, options])
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
        command = [sys.executable, *launcher, str(script), given]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        lines = lines_of(tmp_path / folder)
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
        return [line["loss"] for line in lines], [line.get("validation_loss") for line in lines]

    return by


def close(found, expected, tolerance):
    losses, validation = found
    assert losses == pytest.approx(expected[0], rel=tolerance, abs=0)
    for a, b in zip(validation, expected[1], strict=True):
        assert a == b or a == pytest.approx(b, rel=tolerance, abs=0)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(
    ("ranks", "sharding", "optimizer"),
    [
        (2, "none", "adamw"),
        (4, "none", "adamw"),
        (2, "zero-3", "adamw"),
        (4, "zero-3", "muon"),
        (2, "zero-2", "adamw"),
    ],
)
def test_losses_are_those_of_one_process(ranks, sharding, optimizer, double, train, tiny_fields):
    training = {"optimizer": optimizer, "learning_rate": 1e-3, "micro_batch_sequences": 2}
    alone = tiny_fields(training=training)
    together = tiny_fields(training=training, parallelism={"sharding": sharding, "data": ranks})
    expected = train(1, alone, "alone", double=double)
    close(train(ranks, together, "together", double=double), expected, ULP[double])


@pytest.mark.parametrize("sharding", ["none", "zero-3"])
def test_checkpoint_of_two_processes_goes_on_with_one_and_with_four(sharding, train, tiny_fields, tmp_path):
    import shutil

    fields = tiny_fields(parallelism={"sharding": sharding}, training={"learning_rate": 1e-3})
    alone = tiny_fields(parallelism={"sharding": "none"}, training={"learning_rate": 1e-3})
    expected = train(1, alone, "alone", double=True)
    train(2, fields, "two", double=True, max_steps=6)
    for ranks in (1, 4):
        shutil.copytree(tmp_path / "two", tmp_path / f"on-{ranks}")
        given = alone if ranks == 1 else fields
        close(train(ranks, given, f"on-{ranks}", double=True, resume=True), expected, 1e-12)


def test_sharded_model_is_written_whole(train, tiny_fields, tmp_path):
    from safetensors.torch import load_file

    train(1, tiny_fields(), "alone", double=True)
    train(2, tiny_fields(parallelism={"sharding": "zero-3"}), "together", double=True)
    models = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("alone", "together")]
    assert models[0].keys() == models[1].keys()
    assert all(torch.allclose(models[0][name], models[1][name], rtol=0, atol=1e-9) for name in models[0])
