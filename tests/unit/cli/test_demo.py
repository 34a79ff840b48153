"""`make demo`, made short: every command that it shows runs, and everything is where it says."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("altair")

MOST_LINES = 85  # some wrap, as their numbers come


@pytest.mark.slow
def test_the_demo_shows_the_whole_product(repository, tmp_path):
    command = [sys.executable, str(repository / "examples" / "demo.py"), "--folder", str(tmp_path / "demo")]
    done = subprocess.run(
        [*command, "--tokens", "20480", "--site", "DE"], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("BLOOM-176B", "$ tonne train", "$ tonne finetune", "$ tonne reconcile", "## Environmental Impact"):
        assert text in done.stdout
    assert len(done.stdout.splitlines()) <= MOST_LINES, done.stdout
    assert max(map(len, done.stdout.splitlines())) < 400
    for name in (
        "report.html",
        "eu-form.md",
        "gpt/model/config.json",
        "classify/model/config.json",
        "home/paces.jsonl",
    ):
        assert (tmp_path / "demo" / name).exists(), name
