"""A run so small that a test can afford dozens of its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

TEXT = "\n\n".join(
    f"The {number} quick brown foxes jump over {number * number} lazy dogs, and sleep for {number % 7} days."
    for number in range(240)
)
FIELDS = {
    "name": "tiny",
    "architecture": {
        "kind": "decoder",
        "layers": 2,
        "width": 32,
        "heads": 4,
        "vocabulary": 300,
        "positions": "learned",
        "max_positions": 64,
    },
    "data": {"documents": "paragraph", "validation_fraction": 0.1, "tokens": 8 * 32 * 12, "sequence_length": 32},
    "tokenizer": {"kind": "bpe", "vocabulary": 300},
    "training": {"global_batch_sequences": 8, "learning_rate": 1e-2, "warmup_steps": 2, "precision": "fp32"},
    "run": {"log_every": 1, "threads": 1, "evaluate_every": 4, "checkpoint_every": 3},
}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Where the text and its token store lie."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_fields(tiny_folder):
    """The nested fields of a small plan, sections updated with what is given."""

    def fields(**changes):
        found = {name: dict(part) if isinstance(part, dict) else part for name, part in FIELDS.items()}
        found["data"]["source"] = str(tiny_folder / "text.txt")
        for name, part in changes.items():
            found[name] = {**found.get(name, {}), **part} if isinstance(part, dict) else part
        return found

    return fields


@pytest.fixture
def tiny_job(tiny_fields, tiny_folder):
    """The job of such a plan; its data are prepared once a session."""
    from tonne.describe.recipe import Recipe
    from tonne.train.job import job_of, store_folder

    def job(**changes):
        recipe = Recipe.model_validate(tiny_fields(**changes))
        return job_of(recipe, store_folder(recipe, tiny_folder / "stores"))

    return job


@pytest.fixture
def quiet():
    """A session that prints nothing and keeps nothing."""
    from tonne.train.fitting import Session

    return Session(device="cpu", stream=None)


@pytest.fixture(scope="session")
def lines_of():
    """The lines of a run's metrics.jsonl, without what depends on the clock."""
    import json

    clock = {"tokens_per_s", "mfu", "elapsed_s", "eta_s"}

    def lines(folder: Path):
        text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
        found = [json.loads(line) for line in text.splitlines()]
        return [{name: value for name, value in line.items() if name not in clock} for line in found]

    return lines
