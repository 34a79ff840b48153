"""What waits in the inbox is taken in once, whatever comes between; what cannot be is set aside, never lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from tonne.documents import plain
from tonne.errors import LedgerError
from tonne.ledger.book import Filter, Ledger
from tonne.ledger.intake import NO_HEADER, Intake
from tonne.ledger.journals import run_of_journal
from tonne.ledger.records import Link, Work
from tonne.ledger.series import Column, mean_watts
from tonne.ledger.writing import enter, new_entry
from tonne.measure import environment, inbox
from tonne.measure.facts import NodeFacts
from tonne.measure.inbox import put
from tonne.measure.models.cpu import cpu_energy_j
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Description

sys.path.insert(0, str(Path(__file__).parent))
from journals import BEGUN_NS, BEGUN_UNIX_S, NS_PER_S, header, sensors, write_journal

OLD = "22222222-bbbb"


def home() -> Path:
    return Path(environment.home())


def runs_folder() -> Path:
    return home() / "runs"


def waiting() -> list[str]:
    return sorted(path.name for path in (home() / "inbox").glob("*") if path.is_file())


def forecast_document(kwh: float, make_account, **fields) -> dict:
    return {
        "schema_version": "1",
        "plan": {"name": "gpt", "data": {"tokens": 1e9}, "site": {"grid": "FR"},
                 "cluster": {"accelerator": "H100-SXM", "accelerators": 8}},
        "counts": {"parameters": 10, "active_parameters": 10, "training_flop": 6 * 10**10},
        "account": plain(make_account(kwh)),
        "inputs": {"pue": {"value": 1.2, "low": 1.1, "high": 1.3, "basis": "assumed", "sources": []}},
        "notes": [],
        "data_version": "1",
        **fields,
    }  # fmt: skip


def test_measured_run_has_energy_power_windows_work_and_evidence():
    # 100 W for 10 s are 1000 J; the window "epoch" took half of it. Steps 5 and 10, 200 tokens.
    sums = [[500.0, 500.0, 500.0, 5.0, 0.0]]
    more = [
        {"kind": "windows", "windows": {"epoch": [2, 5.0, sums, None]}},
        {"kind": "progress", "t": BEGUN_NS + 5 * NS_PER_S, "step": 5, "total": 10, "tokens": 100, "j": 500.0},
        {"kind": "progress", "t": BEGUN_NS + 10 * NS_PER_S, "step": 10, "total": 10, "tokens": 200, "j": 1000.0},
    ]
    write_journal(runs_folder() / "r1", "r1", more=more, project="p", purpose="sweep", tags=["t"])
    with Ledger.open() as ledger:
        assert ledger.taken.journals == 1
        run = ledger.run("r1")
    assert (run.kind, run.status, run.project, run.purpose, run.tags) == ("measured", "finished", "p", "sweep", ("t",))
    assert (run.begun_unix_s, run.ended_unix_s) == (BEGUN_UNIX_S, BEGUN_UNIX_S + 10)
    assert run.account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(1000.0)
    assert run.work == Work(steps=10, tokens=200)
    assert (run.hardware, run.nodes) == ({"Test 9000": 2}, 1)
    assert run.site["grid"] == "FR"
    (stage,) = run.stages
    assert (stage.name, stage.duration_s, stage.count) == ("epoch", 5.0, 2)
    assert run.series.time_s == pytest.approx([0.5 + i for i in range(10)])
    assert run.series.power_w["cpu"] == pytest.approx([100.0] * 10)
    journal = (runs_folder() / "r1" / "journal.jsonl").read_bytes()
    import hashlib

    assert run.evidence.journal_sha256 == hashlib.sha256(journal).hexdigest()
    assert run.evidence.journal_lines == journal.count(b"\n")


def test_series_of_a_long_run_is_thinned_and_keeps_its_energy():
    folder = runs_folder() / "long"
    write_journal(folder, "long", seconds=3000, watts=50.0)
    series = run_of_journal(str(folder)).series
    assert len(series.time_s) == 500
    assert sum(series.power_w["cpu"]) / 500 == pytest.approx(50.0, rel=1e-4)


def test_series_of_a_run_with_a_pause_has_none_in_it(tmp_path):
    # 100 W from 0 to 10 s; the next part of the run begins at 30 s and draws 200 W for 10 s.
    first = write_journal(tmp_path, "r1", end="stopped")
    write_journal(tmp_path / "other", "r1", watts=200.0, unix_s=BEGUN_UNIX_S + 30, node=OLD, resumes=True)
    (tmp_path / "other" / "journal.jsonl").rename(first.with_name("journal-2.jsonl"))
    power = run_of_journal(str(tmp_path)).series
    watts = dict(zip(power.time_s, power.power_w["cpu"], strict=True))
    assert watts[min(watts)] == pytest.approx(100.0)
    assert [w for at, w in watts.items() if 12 < at < 28] == [None] * sum(12 < at < 28 for at in watts)
    assert watts[max(watts)] == pytest.approx(200.0)


def test_series_of_a_counter_that_wraps_and_of_one_that_steps_back():
    of = Description(name="a", part="cpu", covers=("cpu",), kind="counter", unit="J", error_fraction=0.0, wrap_j=1000.0,
                     window_s=0.0, ceiling_w=None)  # fmt: skip
    times = [i * NS_PER_S for i in range(4)]
    edges = np.array([0.0, 1.0, 2.0, 3.0]) * NS_PER_S
    wrapped = Column(of, times, [900.0, 1000.0 - 1e-9, 100.0, 200.0])
    assert mean_watts(wrapped, edges) == pytest.approx([100.0, 100.0, 100.0])
    stepped = Column(replace(of, wrap_j=None), times, [900.0, 1000.0, 100.0, 200.0])
    assert mean_watts(stepped, edges) == pytest.approx([100.0, 0.0, 100.0])
    power = Column(replace(of, kind="power", unit="W"), times, [100.0, 200.0, 300.0, 300.0])
    assert mean_watts(power, edges) == pytest.approx([150.0, 250.0, 300.0])


def test_processor_without_a_sensor_is_modelled_from_how_busy_it_was(tmp_path):
    # 8 threads, half of them busy all along: 4 s of busy and 8 s of all time a second.
    lines = [header("r1"), {**sensors(), "sensors": []}, {"kind": "start", "t": BEGUN_NS, "unix_s": BEGUN_UNIX_S}]
    lines += [{"t": BEGUN_NS + i * NS_PER_S, "p": [0.0, 0], "c": [4.0 * i, 8.0 * i]} for i in range(11)]
    lines.append({"kind": "leave", "t": BEGUN_NS + 10 * NS_PER_S, "unix_s": BEGUN_UNIX_S + 10, "status": "finished"})
    tmp_path.joinpath("journal.jsonl").write_text(
        "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    )
    run = run_of_journal(str(tmp_path))
    facts = NodeFacts.from_dict(sensors()["facts"])
    expected_w = cpu_energy_j(facts, Load.steady(10.0, 0.5), 10.0)[0].value / 10
    assert run.series.power_w["cpu"] == pytest.approx([expected_w] * 10, rel=1e-3)


def test_lines_and_journal_meet_whichever_comes_first(make_account):
    folder = runs_folder() / "r1"
    work = {
        "run": "r1", "purpose": "final", "project": "p", "plan": {"name": "plan"}, "status": "finished",
        "work": plain(Work(tokens=100, loss=2.5)), "forecast": plain(make_account(3.0)),
        "stages": [{"name": "stepping", "duration_s": 8.0}], "links": [{"kind": "continues", "to": "r0"}],
        "series": {"steps": [1, 2], "step_loss": [3.0, 2.5]}, "notes": ["a note"],
    }  # fmt: skip
    put("work", work)
    with Ledger.open() as ledger:
        alone = ledger.run("r1")
        assert (alone.account, alone.status, alone.work.loss) == (None, "finished", 2.5)
        write_journal(folder, "r1")
        put("run", {"run": "r1", "folder": str(folder)})
        ledger.take_in()
        run = ledger.run("r1")
        assert run.account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(1000.0)
        assert (run.work.tokens, run.work.loss, run.purpose, run.project) == (100, 2.5, "final", "p")
        assert run.forecast.energy.facility_kwh.value == 3.0
        assert run.series.steps == (1, 2)
        assert len(run.series.power_w["cpu"]) == 10
        assert [stage.name for stage in run.stages] == ["stepping"]
        assert run.links == (Link(kind="continues", to="r0"),)
        assert ledger.rows()[0].is_foretold
        assert ledger.verify().problems == ()


def test_forecast_is_kept_once_and_its_run_finds_it(make_account):
    told = forecast_document(3.0, make_account)
    put("forecast", {"id": "forecast-gpt-1", "forecast": told, "project": "p"})
    put("forecast", {"id": "forecast-gpt-1", "forecast": told, "project": "p"})
    put("work", {"run": "r1", "forecast_id": "forecast-gpt-1", "status": "finished"})
    with Ledger.open() as ledger:
        assert ledger.head()[0] == 2
        found = ledger.run("forecast-gpt-1")
        assert (found.kind, found.status, found.name, found.project) == ("forecast", "forecast", "gpt", "p")
        assert (found.work.tokens, found.work.training_flop, found.hardware) == (10**9, 6e10, {"H100-SXM": 8})
        run = ledger.run("r1")
        assert run.forecast == found.account
        assert run.forecast_inputs["pue"].value == 1.2
        assert run.links == (Link(kind="foretold-by", to="forecast-gpt-1"),)


def test_forecast_without_its_plan_is_kept_and_says_what_it_lacks(make_account):
    put("forecast", {"id": "f", "forecast": forecast_document(3.0, make_account, plan=None)})
    with Ledger.open() as ledger:
        found = ledger.run("f")
    assert found.plan is None
    assert found.account.energy.facility_kwh.value == 3.0
    assert found.notes == ("its plan was not kept: it cannot be made again, nor be compared with a run by its factors",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"kind": "work", "run": "r', "it is torn, or no JSON"),
        ("[1]", "it is torn, or no JSON"),
        ('{"kind": "wish", "schema_version": "1"}', "kind='wish' is none that this tonne knows"),
        ('{"kind": "work", "schema_version": "2", "run": "r"}', "written by a newer tonne .schema 2, this one reads 1"),
        ('{"kind": "work", "schema_version": "1"}', "cannot be understood: KeyError: 'run'"),
        ('{"kind": "forecast", "schema_version": "1", "id": "f", "forecast": 7}', "cannot be understood"),
        ('{"kind": "work", "schema_version": "1", "run": "r", "purpose": "fun"}', "purpose='fun' is none of final"),
        ('{"kind": "work", "schema_version": "1", "run": "r", "name": 7}', "cannot be understood: TypeError: name=7"),
        ('{"kind": "work", "schema_version": "1", "run": "r", "begun_unix_s": "now"}', "begun_unix_s='now'"),
        ('{"kind": "run", "schema_version": "1", "run": "r", "folder": "/nowhere"}', "there is no journal in /nowhere"),
    ],
)
def test_line_that_cannot_be_taken_in_is_set_aside_with_the_reason(content, why):
    folder = home() / "inbox"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(content)
    put("work", {"run": "good"})
    with Ledger.open() as ledger:
        ((path, reason),) = ledger.taken.refused
        assert [row.id for row in ledger.rows()] == ["good"]
        assert [path.name for path in ledger.refused()] == ["1.json"]
    import re

    assert re.search(why, reason)
    assert Path(path).read_text() == content
    assert re.search(why, Path(f"{path}.txt").read_text())


def test_what_was_set_aside_is_tried_again_when_asked(monkeypatch):
    (home() / "inbox").mkdir(parents=True)
    (home() / "inbox" / "1.json").write_text('{"kind": "work", "schema_version": "2", "run": "r"}')
    with Ledger.open() as ledger:
        assert ledger.rows() == []
        assert ledger.retry_refused() == 1
        assert len(ledger.refused()) == 1
        monkeypatch.setattr("tonne.ledger.lines.SCHEMA", "2")  # as after an update
        assert ledger.retry_refused() == 1
        assert [row.id for row in ledger.rows()] == ["r"]
        assert ledger.refused() == []


def test_line_whose_file_stayed_after_it_was_taken_in_enters_once(monkeypatch):
    """As after a crash between the ledger's commit and the end of the file."""
    put("work", {"run": "r1", "notes": ["once"]})
    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", lambda *_, **__: None)
        with Ledger.open() as ledger:
            assert ledger.head()[0] == 1
    assert len(waiting()) == 1
    with Ledger.open() as ledger:
        assert ledger.head()[0] == 1
        assert ledger.run("r1").notes == ("once",)
    assert waiting() == []


def test_line_that_took_the_place_of_the_one_that_was_read_stays(monkeypatch):
    put("work", {"run": "r1", "notes": ["first"]}, name="same")
    entered = Intake._read

    def slow(self, path):
        read = entered(self, path)
        put("work", {"run": "r1", "notes": ["second"]}, name="same")
        monkeypatch.setattr(Intake, "_read", entered)
        return read

    monkeypatch.setattr(Intake, "_read", slow)
    with Ledger.open() as ledger:
        assert waiting() == ["same.json"]
        ledger.take_in()
        assert ledger.run("r1").notes == ("first", "second")


def test_file_that_its_writer_did_not_finish_is_looked_at_when_it_is_old():
    folder = home() / "inbox"
    folder.mkdir(parents=True)
    whole, torn = folder / "1.json.part", folder / "2.json.part"
    whole.write_text('{"kind": "work", "schema_version": "1", "run": "whole"}\n')
    torn.write_text('{"kind": "work", "sche')
    with Ledger.open() as ledger:
        assert ledger.rows() == []
        assert len(waiting()) == 2
        for path in (whole, torn):
            os.utime(path, (1.0, 1.0))
        ledger.take_in()
        assert [row.id for row in ledger.rows()] == ["whole"]
        assert [path.name for path in ledger.refused()] == ["2.json.part"]


@pytest.mark.slow
def test_what_there_was_no_time_for_is_taken_in_when_it_is_asked_for():
    for i in range(250):
        put("work", {"run": f"r{i}"})
    with Ledger.open(budget_s=0.0) as ledger:
        assert (ledger.taken.lines, ledger.taken.left) == (100, 150)
        assert ledger.count() == 100
        assert ledger.run("r249").id == "r249"
        assert ledger.count() == 250
    put("work", {"run": "more"})
    with Ledger.open(budget_s=0.0) as ledger:
        assert len(list(ledger.whole())) == 251


def test_import_of_an_older_version_is_still_understood(make_account):
    old = {"id": "codecarbon-x", "name": "bert", "status": "finished", "begun": "2026-01-01T10:00:00",
           "ended": "2026-01-01T11:00:00", "source": "CodeCarbon file e.csv",
           "account": plain(make_account())}  # fmt: skip
    (home() / "inbox").mkdir(parents=True)
    (home() / "inbox" / "codecarbon-x.json").write_text(json.dumps({"schema_version": "1", "run": old}, indent=2))
    with Ledger.open() as ledger:
        run = ledger.run("codecarbon-x")
    assert (run.kind, run.name, run.ended_unix_s - run.begun_unix_s) == ("imported", "bert", 3600.0)
    assert run.evidence.source == "CodeCarbon file e.csv"


def test_same_import_twice_is_one_and_a_grown_one_takes_its_place(make_run, make_account):
    run = plain(make_run("i", kind="imported"))
    put("import", {"run": run})
    put("import", {"run": run})
    with Ledger.open() as ledger:
        assert ledger.head()[0] == 1
        put("import", {"run": {**run, "account": plain(make_account(9.0))}})
        ledger.take_in()
        assert [row.facility_kwh for row in ledger.rows()] == [9.0]


def test_two_runs_with_one_id_are_both_kept(make_run):
    write_journal(runs_folder() / "r1", "r1", watts=100.0)
    other = home() / "elsewhere"
    write_journal(other, "r1", watts=200.0, node=OLD)
    put("import", {"run": plain(make_run("r1", kind="imported"))})
    with Ledger.open() as ledger:
        put("run", {"run": "r1", "folder": str(other)})
        ledger.take_in()
        put("run", {"run": "r1", "folder": str(other)})
        ledger.take_in()
        assert sorted(row.id for row in ledger.rows()) == ["r1", "r1-2", "r1-3"]
        third = ledger.run("r1-3")
        assert third.account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(2000.0)
        assert "another run has the id r1: this one is kept as r1-3" in third.notes[-1]
        whole = ledger.merge(["r1-2", "r1-3"])
        assert whole.account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(3000.0)
        assert ledger.verify().problems == ()


def test_journal_cut_in_the_middle_of_a_line_is_kept_as_far_as_it_goes():
    path = write_journal(runs_folder() / "cut", "cut", end=None)
    text_ = path.read_bytes()
    path.write_bytes(text_[: len(text_) - 20])  # the last reading is torn: 9 s are whole
    os.utime(path, (1.0, 1.0))
    with Ledger.open() as ledger:
        run = ledger.run("cut")
    assert run.status == "interrupted"
    assert run.account.duration_s.value == pytest.approx(9.0)
    assert run.account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(900.0)


def test_run_without_an_end_is_taken_in_when_it_is_over_and_again_when_it_is_recovered():
    path = write_journal(runs_folder() / "r1", "r1", end=None)
    with Ledger.open() as ledger:
        assert ledger.rows() == []  # its file was written just now, by another node: it goes on
        assert [row.status for row in ledger.unread()] == ["running"]
        assert ledger.run("r1").status == "running"
        os.utime(path, (1.0, 1.0))
        ledger.take_in()
        assert [row.status for row in ledger.rows()] == ["interrupted"]
        from tonne.measure.recover import recover

        recover(str(path.parent))
        put("run", {"run": "r1", "folder": str(path.parent)})
        ledger.take_in()
        assert [row.status for row in ledger.rows()] == ["recovered"]


def test_word_of_a_begin_waits_until_its_run_has_ended(make_account):
    path = write_journal(runs_folder() / "r1", "r1", end=None)
    fields = {"run": "r1", "purpose": "sweep", "forecast": plain(make_account(2.0)), "journal": str(path.parent)}
    put("work", fields, name="work-r1")
    with Ledger.open() as ledger:
        assert waiting() == ["work-r1.json"]  # its file was written just now: it goes on
        assert ledger.rows() == []
        os.utime(path, (1.0, 1.0))
        ledger.take_in()
        assert waiting() == []
        found = ledger.run("r1")
    assert (found.status, found.purpose, found.forecast) == ("interrupted", "sweep", make_account(2.0))


def test_what_was_said_of_a_run_that_goes_on_is_shown_with_it():
    path = write_journal(runs_folder() / "r1", "r1", end=None)
    with Ledger.open() as ledger:
        ledger.tag("r1", project="p")
        assert (ledger.run("r1").project, ledger.run("r1").status) == ("p", "running")
        os.utime(path, (1.0, 1.0))
        ledger.take_in()
        put("run", {"run": "r1", "folder": str(path.parent)})
        ledger.take_in()
        assert (ledger.run("r1").project, ledger.run("r1").status) == ("p", "interrupted")


def test_overlapping_windows_are_told():
    sums = [[900.0, 900.0, 900.0, 9.0, 0.0]]
    more = [{"kind": "windows", "windows": {"a": [1, 9.0, sums, None], "b": [1, 9.0, sums, None]}}]
    write_journal(runs_folder() / "r1", "r1", more=more)
    with Ledger.open() as ledger:
        assert any("its windows overlap" in note for note in ledger.run("r1").notes)


def test_unknown_place_costs_the_co2e_and_not_the_run():
    write_journal(runs_folder() / "r1", "r1", site="Atlantis")
    with Ledger.open() as ledger:
        run = ledger.run("r1")
    assert run.account.carbon.operational_location_kgco2e is None
    assert run.account.energy.cpu_kwh.value > 0
    assert any("its place 'Atlantis' is unknown" in note for note in run.notes)


def test_clock_that_was_set_back_during_a_run_leaves_its_length():
    folder = runs_folder() / "r1"
    path = write_journal(folder, "r1")
    lines = path.read_text().splitlines()
    end = json.loads(lines[-1])
    lines[-1] = json.dumps({**end, "unix_s": BEGUN_UNIX_S - 86_400})
    path.write_text("\n".join(lines) + "\n")
    with Ledger.open() as ledger:
        run = ledger.run("r1")
    assert run.account.duration_s.value == pytest.approx(10.0)
    assert run.ended_unix_s == run.begun_unix_s + 10.0


def test_long_journal_waits_until_it_is_asked_for(monkeypatch):
    write_journal(runs_folder() / "long", "long", seconds=100)
    write_journal(runs_folder() / "short", "short", seconds=1)
    monkeypatch.setattr("tonne.ledger.intake.BYTES_PER_S", 10_000.0)  # as if reading were slow
    with Ledger.open() as ledger:
        assert list(ledger.taken.waiting) == ["long"]
        assert [row.id for row in ledger.rows()] == ["short"]
        assert [row.id for row in ledger.unread()] == ["long"]
        assert ledger.run("long").account.duration_s.value == pytest.approx(100.0)
        assert sorted(row.id for row in ledger.rows()) == ["long", "short"]
        assert ledger.taken.waiting == {}
    monkeypatch.setattr("tonne.ledger.intake.BYTES_PER_S", 1.0)
    write_journal(runs_folder() / "other", "other", seconds=100, node=OLD)
    with Ledger.open() as ledger:
        assert len(list(ledger.whole())) == 3


def test_journal_that_makes_no_sense_is_told_and_left_where_it_is():
    path = write_journal(runs_folder() / "odd", "odd")
    text_ = path.read_text()
    path.write_text(text_.replace('"unix_s":1700000000.0', '"unix_s":"yesterday"', 1))
    write_journal(runs_folder() / "good", "good", node=OLD)
    with Ledger.open() as ledger:
        assert [row.id for row in ledger.rows()] == ["good"]
        ((folder, reason),) = ledger.taken.unreadable
    assert folder == str(runs_folder() / "odd")
    assert "ValueError" in reason or "TypeError" in reason
    assert path.exists()


def test_journal_whose_first_line_is_torn_is_told_once_nobody_can_be_writing_it():
    path = write_journal(runs_folder() / "odd", "odd")
    path.write_bytes(b'{"kind":"ru\xff' + path.read_bytes()[40:])
    with Ledger.open() as ledger:
        assert ledger.taken.unreadable == []  # it may just be written
        os.utime(path, (1.0, 1.0))
        assert ledger.take_in().unreadable == [(str(path.parent), NO_HEADER)]
        assert ledger.rows() == []
    assert path.exists()


READER = """
import sys
from tonne.ledger.book import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    ledger.take_in()
"""


@pytest.mark.slow
def test_processes_that_take_in_together_enter_each_line_once(address):
    for i in range(300):
        put("work", {"run": f"r{i}", "notes": ["once"]})
    for i in range(6):
        write_journal(runs_folder() / f"j{i}", f"j{i}", node=f"{i}" * 8)
    running = [subprocess.Popen([sys.executable, "-c", READER, address]) for _ in range(4)]
    assert [one.wait(timeout=300) for one in running] == [0] * 4
    with Ledger.open(address) as ledger:
        assert ledger.head()[0] == 306
        assert ledger.count() == 306
        assert ledger.run("r7").notes == ("once",)
        assert ledger.verify().problems == ()
    assert waiting() == []


def test_deleted_run_does_not_come_back_from_its_journal():
    write_journal(runs_folder() / "r1", "r1")
    with Ledger.open() as ledger:
        ledger.delete("r1", "a test")
        ledger.take_in()
        assert ledger.rows() == []
        put("run", {"run": "r1", "folder": str(runs_folder() / "r1")})  # but where somebody says so
        ledger.take_in()
        assert [row.id for row in ledger.rows()] == ["r1"]
        assert ledger.verify().problems == ()


def test_a_part_that_was_killed_after_the_run_was_read_is_read_too(tmp_path):
    folder = runs_folder() / "r1"
    write_journal(folder, "r1", end="failed")  # 100 W for 10 s
    with Ledger.open() as ledger:
        assert [row.status for row in ledger.rows()] == ["failed"]
        first = ledger.run("r1").account.energy.cpu_kwh.value
    assert first == pytest.approx(1000 / 3.6e6)
    later = {"node": "22222222-bbbb", "unix_s": BEGUN_UNIX_S + 60, "resumes": True}
    part = write_journal(
        tmp_path / "part", "r1", seconds=30, end=None, **later
    )  # 100 W for 30 s, and no word of an end
    os.utime(part, (1.0, 1.0))
    part.rename(folder / "journal-22222222-42.jsonl")
    with Ledger.open() as ledger:
        assert ledger.taken.journals == 1
        assert [row.status for row in ledger.rows()] == ["interrupted"]
        assert ledger.run("r1").account.energy.cpu_kwh.value == pytest.approx(4000 / 3.6e6)
    with Ledger.open() as ledger:
        assert ledger.taken.journals == 0


def test_deleted_run_does_not_come_back_from_a_folder_that_is_called_otherwise():
    write_journal(runs_folder() / "my-folder", "r1")
    with Ledger.open() as ledger:
        ledger.delete("r1", "a test")
        ledger.take_in()
        assert ledger.rows() == []
        assert [(run, reason) for run, _, reason in ledger.deleted()] == [("r1", "a test")]


def test_folder_that_is_called_otherwise_than_its_run_is_read_once():
    write_journal(runs_folder() / "my-folder", "r1")
    with Ledger.open() as ledger:
        assert ledger.taken.journals == 1
    with Ledger.open() as ledger:
        assert ledger.taken.journals == 0
        assert ledger.run("r1").id == "r1"


def test_ledger_that_is_switched_off_takes_nothing_and_says_so(monkeypatch):
    monkeypatch.setenv("TONNE_LEDGER", "off")
    assert put("work", {"run": "r"}) is None
    assert waiting() == []
    with pytest.raises(LedgerError, match="switched off by TONNE_LEDGER=off"):
        Ledger.open()


def test_inbox_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert put("work", {"run": "r"}, str(tmp_path / "file" / "inbox")) is None
    assert "nothing was left for the ledger" in caplog.text


def test_labels_come_from_the_environment_where_nobody_gives_them(monkeypatch, tmp_path):
    import tonne

    monkeypatch.setenv("TONNE_PROJECT", "p")
    monkeypatch.setenv("TONNE_PURPOSE", "sweep")
    monkeypatch.setenv("TONNE_TAGS", "a, b")
    nothing = lambda: ([], [])  # noqa: E731
    with tonne.track("one", open_sensors=nothing):
        time.sleep(0.05)
    with tonne.track("two", project="q", purpose="final", tags=["c"], open_sensors=nothing):
        time.sleep(0.05)
    with pytest.raises(ValueError, match="purpose='fun' is none"):
        tonne.track("three", purpose="fun")
    with Ledger.open() as ledger:
        rows = {row.name: row for row in ledger.rows()}
    assert (rows["one"].project, rows["one"].purpose, rows["one"].tags) == ("p", "sweep", ("a", "b"))
    assert (rows["two"].project, rows["two"].purpose, rows["two"].tags) == ("q", "final", ("c", "a", "b"))


def test_meter_leaves_one_line_at_its_end(tmp_path):
    import tonne

    with tonne.track("one", folder=tmp_path / "elsewhere", open_sensors=lambda: ([], [])) as meter:
        time.sleep(0.1)
    (name,) = waiting()
    line = json.loads((home() / "inbox" / name).read_text())
    assert (line["kind"], line["run"], line["folder"]) == ("run", meter.run_id, str(tmp_path / "elsewhere"))
    with Ledger.open() as ledger:
        assert [row.id for row in ledger.rows(Filter(name="one"))] == [meter.run_id]
    assert waiting() == []


def _enter_and_die(ledger, entry):
    with ledger.store.writing() as connection:
        enter(connection, entry)
        raise RuntimeError("killed")


def test_writer_that_dies_before_its_commit_leaves_the_ledger_whole(address, make_run):
    with Ledger.open(address) as ledger:
        ledger.put(make_run("a"))
        entry = new_entry("whole", "b", {"run": plain(make_run("b"))})
        with pytest.raises(RuntimeError, match="killed"):
            _enter_and_die(ledger, entry)
        assert [row.id for row in ledger.rows()] == ["a"]
        assert ledger.verify().problems == ()


def test_locked_away_sqlite_ledger_loses_nothing(tmp_path):
    """The file turns out to be none; the line stays in the inbox and goes into the next ledger."""
    bad = tmp_path / "ledger.db"
    bad.write_text("this is no database, but a letter to somebody " * 100)
    put("work", {"run": "r1"})
    with pytest.raises(LedgerError, match=r"cannot be used: file is not a database.*waits in the inbox"):
        Ledger.open(str(bad))
    assert len(waiting()) == 1
    with Ledger.open(str(tmp_path / "other.db")) as ledger:
        assert [row.id for row in ledger.rows()] == ["r1"]


@pytest.mark.slow
def test_postgresql_that_goes_away_during_a_run_gets_it_when_it_is_back(server, make_run):
    address = server.new_database()
    with Ledger.open(address) as ledger:
        ledger.put(make_run("before"))
        server.stop()
        put("work", {"run": "during"})  # training goes on
        with pytest.raises(
            LedgerError, match=r"postgresql\+pg8000://tonne@127.0.0.1.* cannot be used.*waits in the inbox"
        ):
            ledger.take_in()
        with pytest.raises(LedgerError, match="cannot be used"):
            Ledger.open(address)
        assert len(waiting()) == 1
        server.start()
        ledger.take_in()
        assert sorted(row.id for row in ledger.rows()) == ["before", "during"]
        assert ledger.verify().problems == ()
    assert waiting() == []


def test_names_that_a_database_cannot_hold_are_mended(address, make_run):
    with Ledger.open(address) as ledger:
        ledger.put(make_run("a", name="zero\0half\ud800", tags=("x\0",)))
        assert ledger.rows()[0].name == "zerohalf?"
        assert ledger.run("a").name == "zero\0half\ud800"
        with ledger.store.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM tonne_runs")).scalar() == 1


def test_inbox_schema_is_that_of_documents():
    assert inbox.SCHEMA == "1"
