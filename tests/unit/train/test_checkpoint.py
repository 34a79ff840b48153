"""Checkpoints are whole or not there, and say so when they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import CheckpointError  # noqa: E402 - after the skip
from tonne.train.checkpoint import newest, read_tensors, save, steps_in  # noqa: E402 - as above

ROOT = Path(__file__).resolve().parents[3]


def saved(folder, step, keep=2):
    return save(folder, step, {"a": torch.arange(4.0) + step}, {"standing": {"step": step}}, keep)


def test_newest_is_the_last_one_with_what_was_saved(tmp_path):
    saved(tmp_path, 9)
    saved(tmp_path, 10)
    found = newest(tmp_path)
    assert found.step == 10
    assert found.state["standing"] == {"step": 10}
    assert read_tensors(found)["a"].tolist() == [10, 11, 12, 13]


def test_there_is_none_in_an_empty_folder(tmp_path):
    assert newest(tmp_path / "checkpoints") is None


def test_only_the_last_ones_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        saved(tmp_path, step)
    assert [path.name for path in steps_in(tmp_path)] == ["step-0000000003", "step-0000000004"]


def test_half_written_folder_is_no_checkpoint_and_goes_with_the_next(tmp_path):
    saved(tmp_path, 1)
    (tmp_path / ".partial-step-0000000002").mkdir()
    assert newest(tmp_path).step == 1
    saved(tmp_path, 3)
    assert not list(tmp_path.glob(".partial-*"))


def test_truncated_checkpoint_says_how_to_go_on_from_the_one_before(tmp_path):
    saved(tmp_path, 1)
    path = saved(tmp_path, 2) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(
        CheckpointError, match=r"state.safetensors is truncated: .*Remove .*2 to go on from step-0000000001"
    ):
        newest(tmp_path)


def test_changed_bytes_are_noticed(tmp_path):
    path = saved(tmp_path, 1) / "state.safetensors"
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(bytes(held))
    with pytest.raises(CheckpointError, match=r"digest differs.*no older one"):
        newest(tmp_path)


def test_checkpoint_of_another_format_is_refused(tmp_path):
    path = saved(tmp_path, 1) / "state.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "format": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has format 99, and this version reads 1"):
        newest(tmp_path)


@pytest.mark.slow
def test_disk_that_is_full_leaves_the_last_good_checkpoint(tmp_path):
    # The system refuses to let a file of this process grow beyond 4 kB, as a full disk would.
    code = f"""
import resource, signal, sys, torch
from pathlib import Path
from tonne.train.checkpoint import newest, save
folder = Path({str(tmp_path)!r})
save(folder, 1, {{"a": torch.zeros(4)}}, {{}}, 2)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save(folder, 2, {{"a": torch.zeros(100_000)}}, {{}}, 2)
except Exception as error:
    print(type(error).__name__, error)
print(newest(folder).step, sorted(path.name for path in folder.iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("CheckpointError the checkpoint of step 2 could not be written")
    assert "The last good one is" in first
    assert second == "1 ['step-0000000001']"
