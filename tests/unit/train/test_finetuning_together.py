"""Processes and micro-batches that fine-tune together make the run of one alone, weights of labels and all."""

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
from tonne.describe.finetuning import FinetuningRecipe
from tonne.train import Session, finetuning_job, fit

fields, folder, home = json.loads(sys.argv[1])
job = finetuning_job(FinetuningRecipe.from_fields(fields), Path(home))
job.model.double()
fit(job, folder, session=Session(device="cpu", stream=None))
"""
FIELDS = {
    "name": "together",
    "architecture": {"kind": "encoder", "layers": 2, "width": 32, "heads": 4, "vocabulary": 200,
                     "positions": "learned", "max_positions": 32},
    "task": {"name": "classification", "class_weights": {"a": 0.3, "b": 2.0}},
    "training": {"global_batch_sequences": 6, "epochs": 2, "learning_rate": 1e-3, "label_smoothing": 0.1},
    "run": {"log_every": 1, "threads": 1, "evaluate_every": 3},
}  # fmt: skip


@pytest.fixture
def taught(tmp_path, lines_of):
    """Losses, held-out losses and metrics of the steps by so many processes."""
    rows = [{"text": " ".join(["cat", "dog", "cow"][i % 3 :] * (1 + i % 4)), "label": "ab"[i % 2]} for i in range(30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def by(ranks, folder, micro=None, **changes):
        fields = json.loads(json.dumps(FIELDS)) | changes
        fields["data"] = {"source": str(tmp_path / "rows.jsonl"), "validation_fraction": 0.2}
        if micro:
            fields["training"]["micro_batch_sequences"] = micro
        (tmp_path / "script.py").write_text(CODE, encoding="utf-8")
        given = json.dumps([fields, str(tmp_path / folder), str(tmp_path / "home")])
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
        command = [sys.executable, *launcher, str(tmp_path / "script.py"), given]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return [
            {name: value for name, value in line.items() if "loss" in name or "accuracy" in name}
            for line in lines_of(tmp_path / folder)
        ]

    return by


def test_two_processes_and_small_parts_make_the_run_of_one(taught):
    alone = taught(1, "alone")
    assert any("validation_accuracy" in line for line in alone)
    for found in (taught(1, "parts", micro=1), taught(2, "two", micro=2)):
        assert [line.keys() for line in found] == [line.keys() for line in alone]
        for line, expected in zip(found, alone, strict=True):
            assert line == {name: pytest.approx(value, rel=1e-12) for name, value in expected.items()}


def test_a_sharded_model_goes_by_its_loss(taught):
    alone = taught(1, "alone")
    found = taught(2, "sharded", parallelism={"data": 2, "sharding": "zero-3"})
    for line, expected in zip(found, alone, strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert not any("validation_accuracy" in line for line in found)
