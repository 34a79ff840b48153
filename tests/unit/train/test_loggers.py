"""Lines of metrics, and what a resumed run keeps of them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from tonne.errors import MissingPackageError
from tonne.train.loggers import JsonLines, MLflow, WeightsAndBiases, cut_back, is_logged, sinks_of


def test_lines_are_on_the_disk_at_once(tmp_path):
    sink = JsonLines(tmp_path / "metrics.jsonl")
    sink.write(1, {"loss": 2.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 2.0}
    sink.close()


def test_cutting_back_leaves_what_an_uninterrupted_run_would_have(tmp_path):
    path = tmp_path / "metrics.jsonl"
    steps = [1, 10, 17, 20, 30]  # 17: the last step of a run that was cut there
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in steps) + '{"step": 3', encoding="utf-8")
    cut_back(path, 20, lambda line: is_logged(line["step"], 10))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 10, 20]


def test_no_file_is_nothing_to_cut(tmp_path):
    cut_back(tmp_path / "metrics.jsonl", 5, lambda _: True)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_tracker_that_is_not_installed_names_its_extra(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.train.loggers.MODULE_OF", {name: "no_such_module"})
    with pytest.raises(MissingPackageError, match=rf"pip install 'tonne\[{name}\]'"):
        sinks_of([name], tmp_path, "run")


class FakeTracker:
    """Stands for the modules of W&B and MLflow: writes down how it was called."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def called(*given, **named):
            self.calls.append((name, given, named))
            return self

        return called


COLUMNS = {"loss": 2.0, "note": "no number"}


def test_wandb_gets_the_numbers_of_a_step(tmp_path):
    tracker = FakeTracker()
    sink = WeightsAndBiases(tracker, tmp_path, "small")
    sink.write(3, COLUMNS)
    sink.close()
    assert [call[0] for call in tracker.calls] == ["init", "log", "finish"]
    assert tracker.calls[0][2]["name"] == "small"
    assert tracker.calls[1][1:] == (({"loss": 2.0},), {"step": 3})


def test_mlflow_gets_the_numbers_of_a_step(tmp_path):
    tracker = FakeTracker()
    sink = MLflow(tracker, tmp_path, "small")
    sink.write(3, COLUMNS)
    sink.close()
    assert [call[0] for call in tracker.calls][-3:] == ["start_run", "log_metrics", "end_run"]
    assert tracker.calls[-2][1:] == (({"loss": 2.0},), {"step": 3})


def test_tensorboard_writes_its_files(tmp_path):
    pytest.importorskip("tensorboard")
    made = sinks_of(["tensorboard"], tmp_path, "small")
    for sink in made:
        sink.write(3, COLUMNS)
        sink.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))
