"""A run that is killed, twice in a row, ends as the one that was never touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file  # noqa: E402 - after the skip

from tonne.train.checkpoint import newest  # noqa: E402 - as above

CODE = """
import json, os, signal, sys
from pathlib import Path
from tonne.describe.recipe import Recipe
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder

fields, folder, stores, kill_at, resume = json.loads(sys.argv[1])

class Killer:
    def on_start(self, total_steps, tokens_per_step): pass
    def on_step(self, step, tokens, loss):
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    def on_end(self, error): pass

recipe = Recipe.model_validate(fields)
job = job_of(recipe, store_folder(recipe, Path(stores)))
fit(job, folder, resume=resume, observers=[Killer()], session=Session(device="cpu", stream=None))
"""


def run(fields, folder, stores, *, kill_at=None, resume=False):
    given = json.dumps([fields, str(folder), str(stores), kill_at, resume])
    done = subprocess.run([sys.executable, "-c", CODE, given], capture_output=True, text=True, check=False)
    assert done.returncode == (-signal.SIGKILL if kill_at else 0), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "kills"), [("adamw", (1, 2)), ("adamw", (5, 11)), ("muon", (4, 4)), ("muon", (9, 10))]
)
def test_run_killed_twice_is_the_run_that_was_not(optimizer, kills, tmp_path, tiny_fields, tiny_folder, lines_of):
    training = {"optimizer": optimizer, "dropout": 0.1}
    fields = tiny_fields(training=training, run={"checkpoint_every": 2, "evaluate_every": 5})
    stores = tiny_folder / "stores"
    run(fields, tmp_path / "straight", stores)
    run(fields, tmp_path / "killed", stores, kill_at=kills[0])
    run(fields, tmp_path / "killed", stores, kill_at=kills[1], resume=True)
    run(fields, tmp_path / "killed", stores, resume=True)
    assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "straight")
    ends = [newest(tmp_path / name / "checkpoints") for name in ("killed", "straight")]
    assert [end.step for end in ends] == [12, 12]
    tensors = [load_file(end.folder / "state.safetensors") for end in ends]  # weights and optimizer
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    models = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "straight")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
