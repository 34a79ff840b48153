"""Processes that train together make the run of one alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.slow

CODE = """
import json, os, sys
from pathlib import Path
from torch import distributed
from tonne.describe.recipe import Recipe
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder

cases = json.loads(sys.argv[1])
if len(cases) > 1 and "RANK" in os.environ:
    distributed.init_process_group("gloo")  # once for all; a fit alone does it itself
for fields, folder, stores, double, options in cases:
    recipe = Recipe.model_validate(fields)
    job = job_of(recipe, store_folder(recipe, Path(stores)))
    if double:
        job.model.double()
    fit(job, folder, session=Session(device="cpu", stream=None), **options)
"""
ULP = {False: 1e-6, True: 1e-12}


@pytest.fixture(scope="module")
def train_all(tmp_path_factory, tiny_folder, lines_of):
    """Run several cases by so many processes, which are started once; the losses of the steps of each."""

    def by(ranks, cases):
        script = tmp_path_factory.mktemp("script") / "script.py"
        script.write_text(CODE, encoding="utf-8")
        stores = str(tiny_folder / "stores")
        given = [(fields, str(folder), stores, double, options) for fields, folder, double, options in cases]
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
        command = [sys.executable, *launcher, str(script), json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        return [losses_of(lines_of(folder)) for _, folder, _, _ in cases]

    return by


def losses_of(lines):
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines], [line.get("validation_loss") for line in lines]


@pytest.fixture
def train(tmp_path, train_all):
    """Run one case by so many processes; the losses of its steps."""

    def by(ranks, fields, folder, *, double=False, **options):
        return train_all(ranks, [(fields, tmp_path / folder, double, options)])[0]

    return by


def close(found, expected, tolerance):
    losses, validation = found
    assert losses == pytest.approx(expected[0], rel=tolerance, abs=0)
    for a, b in zip(validation, expected[1], strict=True):
        assert a == b or a == pytest.approx(b, rel=tolerance, abs=0)


TOGETHER = [
    (2, "none", "adamw"),
    (4, "none", "adamw"),
    (2, "zero-3", "adamw"),
    (4, "zero-3", "muon"),
    (2, "zero-2", "adamw"),
]


@pytest.fixture(scope="module")
def losses(train_all, tiny_fields, tmp_path_factory):
    """Of a run by so many processes, sharded so, with an optimizer, in single or double precision.

    All runs of as many processes are made when one is asked for.
    """
    folder, found = tmp_path_factory.mktemp("together"), {}

    def fields_of(ranks, sharding, optimizer):
        training = {"optimizer": optimizer, "learning_rate": 1e-3, "micro_batch_sequences": 2}
        if ranks == 1:
            return tiny_fields(training=training)
        return tiny_fields(training=training, parallelism={"sharding": sharding, "data": ranks})

    def of(ranks, sharding, optimizer, double):
        if not any(known[0] == ranks for known in found):
            runs = [(1, "none", name) for name in ("adamw", "muon")] if ranks == 1 else TOGETHER
            runs = [(*run, precision) for run in runs if run[0] == ranks for precision in (False, True)]
            cases = [(fields_of(*run[:3]), folder / "-".join(map(str, run)), run[3], {}) for run in runs]
            found.update(zip(runs, train_all(ranks, cases), strict=True))
        return found[ranks, sharding, optimizer, double]

    return of


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("ranks", "sharding", "optimizer"), TOGETHER)
def test_losses_are_those_of_one_process(ranks, sharding, optimizer, double, losses):
    expected = losses(1, "none", optimizer, double)
    close(losses(ranks, sharding, optimizer, double), expected, ULP[double])


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
