"""A run that lies ahead, without torch; and a small plan that is trained in a second."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tonne.train.ahead import Ahead

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
tokens = 1280
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
evaluate_every = 10
checkpoint_every = 5
"""


@pytest.fixture
def ahead():
    """A run of 100 steps of 1,000 tokens on one thread, changed as is asked."""

    def made(**changes):
        fields = {
            "name": "ahead",
            "first_step": 0,
            "steps": 100,
            "total_steps": 100,
            "times": {"evaluation": 2, "checkpoints": 4, "finishing": 1},
            "may_stop_early": False,
            "tokens_per_step": 1000,
            "flop_per_token": 6e6,
            "parameters": 1_000_000,
            "processes": 1,
            "processes_here": 1,
            "first": True,
            "threads": 1,
            "device": "cpu",
            "chips": (),
            "precision": "fp32",
            "tokens_per_s": None,
            "peak_flop_per_s": 6e10,
            "machine": "here",
            "shape": "small",
        }
        return Ahead(**{**fields, **changes})

    return made


@pytest.fixture
def plan(tmp_path):
    """The file of a small plan: 20 steps of 64 tokens."""
    sentences = (f"The {n} quick foxes jump over {n * n} lazy dogs." for n in range(120))
    (tmp_path / "text.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    path = tmp_path / "small.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def left_for_ledger():
    """The lines of a kind that lie in the inbox, oldest first."""

    def lines(kind):
        folder = Path(os.environ["TONNE_HOME"]) / "inbox"
        found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
        found.sort(key=lambda line: line["unix_s"])  # names of files tell runs that began in one second by their names
        return [line for line in found if line["kind"] == kind]

    return lines
