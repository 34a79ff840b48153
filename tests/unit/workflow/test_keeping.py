"""What is kept between runs and between the parts of one: paces, points, the folder's own knowledge."""

from __future__ import annotations

import json
import logging
from itertools import pairwise

import pytest

from tonne.estimate import Estimate
from tonne.ledger.records import Series
from tonne.workflow.kept import Kept, keep, kept_in, run_that_made
from tonne.workflow.paces import FILE, Pace, keep_pace, paces_in, same_machine, same_shape
from tonne.workflow.points import MOST_POINTS, Points, kwh_at, series_of

PACE = Pace(
    machine="here",
    shape="small",
    steps=10,
    tried={"step": 0.5},
    measured={"step": 0.6, "start": 0.1},
    watts={"cpu": (50.0, 40.0, 70.0)},
    measured_parts=("cpu",),
    tried_slowness=1.5,
    slowness=2.0,
)


def test_a_pace_is_read_as_it_was_kept(tmp_path):
    keep_pace(tmp_path, PACE)
    assert paces_in(tmp_path) == [PACE]
    assert PACE.alone("step") == pytest.approx(0.3)


def test_lines_that_are_torn_or_of_another_version_are_passed_over(tmp_path):
    keep_pace(tmp_path, PACE)
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    newer = json.dumps({**json.loads(text), "schema": 99})
    (tmp_path / FILE).write_text(f"{text[:40]}\n{newer}\n[1]\n{text}", encoding="utf-8")
    assert paces_in(tmp_path) == [PACE]


def test_the_last_runs_of_a_kind_count(tmp_path):
    rows = [Pace(machine="here", shape=f"{n % 2}", steps=n) for n in range(40)]
    assert [one.steps for one in same_shape(rows, "1")] == [25, 27, 29, 31, 33, 35, 37, 39]
    assert [one.steps for one in same_machine(rows, "here")] == list(range(32, 40))
    assert same_machine(rows, "there") == []


def test_a_file_that_has_grown_loses_its_older_half(tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.workflow.paces.MOST_BYTES", 2000)
    for steps in range(20):
        keep_pace(tmp_path, Pace(machine="here", shape="small", steps=steps))
    kept = [one.steps for one in paces_in(tmp_path)]
    assert kept[-1] == 19
    assert len(kept) < 20


def test_a_home_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    home = tmp_path / "file"
    home.write_text("", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        keep_pace(home, PACE)
    assert "is not kept for the next forecast" in caplog.text
    assert paces_in(home) == []
    assert paces_in(None) == []


def test_points_stay_some_hundred_and_hold_the_first_and_the_last():
    points = Points()
    for step in range(1, 100_001):
        points.add((step, float(step), step * 10, 1.0 / step))
    found = points.all()
    assert MOST_POINTS / 2 <= len(found) <= MOST_POINTS + 1
    assert (found[0][0], found[-1][0]) == (1, 100_000)
    gaps = {b[0] - a[0] for a, b in pairwise(found[:-1])}
    assert len(gaps) == 1  # even


def test_energy_between_two_accounts_by_hand():
    energy = [(10.0, 1.0), (20.0, 3.0)]
    assert kwh_at(5.0, energy) == pytest.approx(0.5)
    assert kwh_at(15.0, energy) == pytest.approx(2.0)
    assert kwh_at(25.0, energy) == pytest.approx(3.0)
    assert kwh_at(5.0, []) is None


def test_a_later_part_goes_on_where_the_series_ended():
    before = series_of([(1, 1.0, 10, 3.0), (2, 2.0, 20, 2.0)], [(2.0, 0.2)])
    found = series_of([(2, 3.0, 30, 2.0), (3, 4.0, 40, 1.0)], [(4.0, 0.4)], before)
    assert found.steps == (1, 2, 3)  # step 2 was made again after a cut: its first point stays
    assert found.step_tokens == (10, 20, 40)
    assert found.step_kwh == (pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.4))


def test_a_folder_knows_its_measurement(tmp_path, caplog):
    kept = Kept(
        run="r-1",
        name="small",
        journal="/journals/r-1",
        forecast_inputs={"pue": Estimate.exact(1.2)},
        stages_s={"stepping": 2.0},
        steps=5,
        series=Series(steps=(1, 5), step_loss=(3.0, 2.0)),
    )
    keep(tmp_path, kept)
    assert kept_in(tmp_path) == kept
    assert kept_in(tmp_path / "nowhere") is None
    (tmp_path / "metered.json").write_text('{"run": ', encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert kept_in(tmp_path) is None
    assert "begins a measurement of its own" in caplog.text


def test_the_run_of_a_model_is_that_of_the_folder_around_it(tmp_path):
    keep(tmp_path, Kept(run="r-1", name="small", journal="nowhere"))
    assert run_that_made(tmp_path / "model") == "r-1"
    assert run_that_made(tmp_path) == "r-1"
    assert run_that_made(tmp_path / "a" / "b") is None
    assert run_that_made(None) is None


def test_only_a_run_that_did_not_finish_goes_on(monkeypatch):
    kept = Kept(run="r-1", name="small", journal="j")
    for standing, goes_on in {
        "stopped": True, "failed": True, "interrupted": True, "recovered": True,
        "finished": False, "running": False, None: False,
    }.items():  # fmt: skip
        monkeypatch.setattr("tonne.workflow.kept.status.status_of", lambda _, standing=standing: standing)
        assert kept.goes_on is goes_on
