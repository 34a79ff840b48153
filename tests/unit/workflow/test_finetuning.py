"""A fine-tuning whose start has to be trained first: two runs, the second initialised from the first."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tonne.ledger.book import Ledger
from tonne.measure.limits import Limits
from tonne.workflow import Asked, finetune
from tonne.workflow.kept import run_that_made

TUNING = """
name = "tune"

[start]
from = { train = "small.toml" }

[task]
name = "classification"
columns = { text = "text", label = "label" }

[data]
source = "labelled.csv"
tokens = 100
validation_fraction = 0.2

[training]
objective = "classification"
global_batch_sequences = 4
epochs = 2
precision = "fp32"

[run]
threads = 1
"""


@pytest.fixture
def tuning(plan, tmp_path):
    rows = [f"{'good' if n % 2 else 'bad'} thing number {n},{'yes' if n % 2 else 'no'}" for n in range(20)]
    (tmp_path / "labelled.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    path = tmp_path / "tune.toml"
    path.write_text(TUNING, encoding="utf-8")
    return path


def run(tuning, output, **asked):
    from tonne.train.fitting import Session

    return finetune(tuning, output, asked=Asked(interval_s=0.05, **asked), session=Session(device="cpu", stream=None))


@pytest.mark.slow
def test_both_runs_are_kept_and_linked(tuning, tmp_path, left_for_ledger):
    found = run(tuning, tmp_path / "run", project="p", name="mine")
    first, second = left_for_ledger("work")
    assert (first["name"], first["purpose"], first["project"]) == ("small", "final", "p")
    assert (second["name"], second["purpose"], second["project"]) == ("mine", "fine-tuning", "p")
    assert second["links"] == [{"kind": "initialised-from", "to": first["run"]}]
    assert second["work"]["metrics"].keys() == {"accuracy", "f1_macro", "f1_micro"}
    assert run_that_made(found.fitted.model) == second["run"]
    assert second["plan"]["data"]["tokens"] > 0
    with Ledger.open() as ledger:
        assert ledger.run("mine").purpose == "fine-tuning"


@pytest.mark.slow
def test_a_start_that_was_trained_before_is_not_run_again_and_still_linked(tuning, tmp_path, left_for_ledger):
    run(tuning, tmp_path / "one")
    run(tuning, tmp_path / "two")
    lines = left_for_ledger("work")
    assert [line["name"] for line in lines] == ["small", "tune", "tune"]
    assert lines[2]["links"] == lines[1]["links"]


@pytest.mark.usefixtures("_patient_looks")
def test_a_limit_that_stops_the_start_stops_all(tuning, tmp_path):
    found = run(tuning, tmp_path / "run", limits=Limits(kwh=1e-12), enforce=True)
    assert found.over
    assert found.run.name == "small"
    assert not (tmp_path / "run" / "model").exists()
