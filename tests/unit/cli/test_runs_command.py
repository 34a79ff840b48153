"""`tonne runs` and `tonne ledger`, as a shell calls them: each through the command's own functions, in one process."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))
from journals import write_journal

from tonne.measure import environment

FORECAST = ["forecast", "gpt-3-175b", "--tokens", "300B", "--accelerators", "1024xA100-80GB", "--grid", "FR"]


@pytest.fixture
def tonne(capsys):
    """Runs a command: exit status, standard output, standard error."""
    from typer.main import get_command

    from tonne.cli.main import app

    command = get_command(app)

    def call(*words: str) -> tuple[int, str, str]:
        try:
            command.main(args=list(words), prog_name="tonne", standalone_mode=True)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def two(tonne):
    """Two measured runs, 1000 J and 2000 J of the processor."""
    runs = Path(environment.home()) / "runs"
    write_journal(runs / "20260101-a", "20260101-a", name="first", project="p", purpose="final", unix_s=1.7e9)
    write_journal(runs / "20260102-b", "20260102-b", name="second", watts=200.0, unix_s=1.75e9, node="3333-c")


def document(answer) -> dict:
    code, out, err = answer
    assert code == 0, err
    found = json.loads(out)
    assert found["schema_version"] == "1"
    return found


def test_list_shows_the_newest_first_and_filters(tonne, two):
    assert [run["name"] for run in document(tonne("runs", "--json"))["runs"]] == ["second", "first"]
    run = document(tonne("runs", "--project", "p", "--json"))["runs"][0]
    assert (run["id"], run["status"], run["duration_s"], run["begun"]) == (
        "20260101-a", "finished", 10.0, "2023-11-14T22:13:20+00:00",
    )  # fmt: skip
    assert run["facility_kwh"] > 0
    for words in (["--purpose", "final"], ["--name", "fir*"], ["--until", "2024-01-01"], ["list", "--project", "p"]):
        assert [run["name"] for run in document(tonne("runs", *words, "--json"))["runs"]] == ["first"], words
    assert document(tonne("runs", "--since", "1d", "--json"))["runs"] == []
    code, out, err = tonne("runs", "--limit", "1")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "1 older ones are not shown: --limit 0 shows all" in err
    assert tonne("runs", "--status", "failed")[2].startswith("No run is like that")


def test_list_reads_journals_alone_where_a_folder_is_given_or_the_ledger_is_off(tonne, two, monkeypatch, tmp_path):
    write_journal(tmp_path / "there" / "c", "c")
    assert [run["id"] for run in document(tonne("runs", "--folder", str(tmp_path / "there"), "--json"))["runs"]] == [
        "c"
    ]
    monkeypatch.setenv("TONNE_LEDGER", "off")
    assert [run["name"] for run in document(tonne("runs", "--project", "p", "--json"))["runs"]] == ["first"]
    assert document(tonne("runs", "show", "first", "--json"))["run"]["id"] == "20260101-a"
    assert not (Path(environment.home()) / "ledger.db").exists()
    code, _, err = tonne("ledger")
    assert (code, "switched off" in err) == (2, True)


def test_show_has_all_of_a_run(tonne, two):
    run = document(tonne("runs", "show", "first", "--json"))["run"]
    assert run["account"]["energy"]["cpu_kwh"]["value"] * 3.6e6 == pytest.approx(1000.0)
    assert {"begun", "ended", "duration_s", "folder", "view", "windows", "expected", "series", "evidence"} <= set(run)
    text = tonne("runs", "show", "second")[1]
    assert text.startswith("Run  second · finished · 20260102-b")
    assert "Begun            2025-06-15" in text
    told = document(tonne("runs", "show", "first", "--site", "DE", "--view", "job", "--json"))["run"]
    assert (told["site"], told["view"]) == ("DE", "job")
    assert (tonne("runs", "show", "nobody")[0], tonne("runs", "show", "first", "--window", "x")[0]) == (2, 2)


def test_show_of_a_run_whose_journal_is_gone_says_what_cannot_be_shown(tonne, two):
    import shutil

    tonne("runs")
    shutil.rmtree(Path(environment.home()) / "runs")
    assert document(tonne("runs", "show", "first", "--json"))["run"]["account"]["energy"]["cpu_kwh"]["value"] > 0
    code, _, err = tonne("runs", "show", "first", "--view", "job")
    assert code == 2
    assert "the journal of 20260101-a is not on this machine" in err


def test_tag_link_merge_delete_and_export(tonne, two):
    tagged = document(tonne("runs", "tag", "second", "--project", "p", "--purpose", "sweep", "--tag", "x", "--json"))
    assert (tagged["run"]["purpose"], tagged["run"]["tags"]) == ("sweep", ["x"])
    assert tonne("runs", "link", "second", "continues", "first")[1].startswith("linked  20260102-b")
    assert document(tonne("runs", "show", "second", "--json"))["run"]["links"] == [
        {"kind": "continues", "to": "20260101-a"}
    ]
    totals = document(tonne("runs", "totals", "--by", "purpose", "--json"))
    assert totals["totals"]["runs"] == 2
    assert [(one["key"], one["runs"]) for one in totals["groups"]] == [("final", 1), ("sweep", 1)]
    assert totals["totals"]["duration_s"]["value"] == 20.0
    assert "2 runs" in tonne("runs", "totals", "--by", "project")[1]
    rows = list(csv.DictReader(io.StringIO(tonne("runs", "export", "--format", "csv")[1])))
    assert [(row["id"], row["purpose"], row["tags"]) for row in rows] == [
        ("20260102-b", "sweep", "x"), ("20260101-a", "final", ""),
    ]  # fmt: skip
    lines = [json.loads(line) for line in tonne("runs", "export", "--purpose", "sweep")[1].splitlines()]
    assert [(line["schema_version"], line["run"]["name"]) for line in lines] == [("1", "second")]
    whole = document(tonne("runs", "merge", "first", "second", "--name", "both", "--json"))["run"]
    assert [run["name"] for run in document(tonne("runs", "--json"))["runs"]] == ["both"]
    assert document(tonne("runs", "delete", whole["id"], "--reason", "no", "--json"))["deleted"]["reason"] == "no"
    assert [run["name"] for run in document(tonne("runs", "--json"))["runs"]] == ["second", "first"]
    assert tonne("runs", "delete", "first")[0] == 2  # why?


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has no zone of a process")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
def test_since_and_until_are_in_utc_as_the_list_prints_it(tonne, two, monkeypatch, zone):
    """The first run began at 1.7e9 s: 2023-11-14 22:13:20 UTC, a day later in Shanghai."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        lines = tonne("runs", "--name", "first")[1].splitlines()
        assert "begun (UTC)" in lines[0]
        assert "2023-11-14 22:13" in lines[1]

        def found(*words):
            return [run["name"] for run in document(tonne("runs", *words, "--until", "2024-01-01", "--json"))["runs"]]

        assert found("--since", "2023-11-14T22:13") == ["first"]
        assert found("--since", "2023-11-14T22:14") == []
        assert found("--since", "2023-11-15T06:13+08:00") == ["first"]
        assert found("--since", "2023-11-15T06:14+08:00") == []
        assert found("--since", "2023-11-14") == ["first"]
        assert found("--since", "2023-11-15") == []
    finally:
        monkeypatch.undo()
        time.tzset()


def test_export_goes_into_a_file(tonne, two, tmp_path):
    path = tmp_path / "runs.jsonl"
    code, out, err = tonne("runs", "export", "--output", str(path))
    assert (code, out, err) == (0, "", f"2 runs in {path}\n")
    assert len(path.read_text().splitlines()) == 2
    assert "cannot be written" in tonne("runs", "export", "--output", str(tmp_path / "no" / "x"))[2]
    assert "--format 'xml' is none. Use jsonl or csv" in tonne("runs", "export", "--format", "xml")[2]


def test_wrong_words_are_told(tonne):
    assert "kind='x' is none" in tonne("runs", "--kind", "x")[2]
    assert "--since 'soon' is no date. Write one, in UTC" in tonne("runs", "--since", "soon")[2]
    assert "purpose='x' is none" in tonne("runs", "--purpose", "x")[2]
    assert "there is nothing to say" in tonne("runs", "tag", "x")[2]
    assert "cannot be added up by 'x'" in tonne("runs", "totals", "--by", "x")[2]


def test_forecast_is_kept_unless_it_is_not_wanted(tonne, monkeypatch):
    assert tonne(*FORECAST, "--no-ledger")[0] == 0
    assert document(tonne("runs", "--kind", "forecast", "--json"))["runs"] == []
    for _ in range(2):
        tonne(*FORECAST, "--project", "p", "--tag", "x")
    (row,) = document(tonne("runs", "--kind", "all", "--json"))["runs"]
    assert (row["kind"], row["status"], row["name"], row["project"]) == ("forecast", "forecast", "gpt-3-175b", "p")
    run = document(tonne("runs", "show", row["id"], "--json"))["run"]
    made = json.loads(tonne(*FORECAST, "--no-ledger", "--json")[1])
    assert run["account"] == made["account"]
    assert run["plan"] == made["plan"]
    assert document(tonne("runs", "totals", "--json"))["totals"]["runs"] == 0
    monkeypatch.setenv("TONNE_LEDGER", "off")
    assert tonne(*FORECAST)[0] == 0
    assert os.listdir(Path(environment.home()) / "inbox") == []  # noqa: PTH208


def test_verify_tells_what_was_changed_and_leaves_with_4(tonne, two):
    found = document(tonne("ledger", "verify", "--json"))["verification"]
    assert (found["is_whole"], found["entries"], found["runs"]) == (True, 2, 2)
    assert tonne("ledger", "verify", "--expect", found["head_sha256"])[0] == 0
    assert tonne("ledger", "verify", "--expect", "0" * 64)[0] == 4
    with sqlite3.connect(Path(environment.home()) / "ledger.db") as connection:
        connection.execute("UPDATE tonne_runs SET facility_kwh = 0.0")
    connection.close()
    code, out, _ = tonne("ledger", "verify")
    assert code == 4
    assert "what is listed of the run 20260101-a was changed" in out
    assert document(tonne("ledger", "mend", "--json"))["verification"]["is_whole"]
    assert document(tonne("runs", "--json"))["runs"][0]["facility_kwh"] > 0


def test_ledger_says_where_it_is_and_what_waits(tonne, two):
    inbox = Path(environment.home()) / "inbox"
    inbox.mkdir()
    (inbox / "1.json").write_text("{")
    found = document(tonne("ledger", "--json"))
    assert found["ledger"] == str(Path(environment.home()) / "ledger.db")
    assert found["runs"] == {"measured": 2, "forecast": 0, "imported": 0}
    assert found["refused"] == [str(inbox / "refused" / "1.json")]
    assert "Refused" in tonne("ledger")[1]
    assert "taken in  0 lines, 0 journals" in tonne("ledger", "take-in")[1]
    code, _, err = tonne("ledger", "take-in", "--refused")
    assert (code, "Set aside: " in err) == (0, True)


def test_ledger_of_a_newer_version_is_exit_2(tonne, two):
    tonne("runs")
    with sqlite3.connect(Path(environment.home()) / "ledger.db") as connection:
        connection.execute("UPDATE tonne_version SET version_num = '9999'")
    connection.close()
    code, out, err = tonne("runs")
    assert (code, out) == (2, "")
    assert "written by a newer tonne" in err


def test_recover_updates_what_the_ledger_keeps(tonne):
    path = write_journal(Path(environment.home()) / "runs" / "cut", "cut", end=None)
    os.utime(path, (1.0, 1.0))
    assert document(tonne("runs", "--json"))["runs"][0]["status"] == "interrupted"
    assert "tonne recover" in tonne("runs")[2]
    assert document(tonne("recover", "--json"))["recovered"][0]["status"] == "recovered"
    assert document(tonne("runs", "--json"))["runs"][0]["status"] == "recovered"


def test_a_run_that_cannot_be_recovered_does_not_keep_the_others(tonne, monkeypatch):
    folder = Path(environment.home()) / "runs"
    for name in ("a", "b", "c"):
        os.utime(write_journal(folder / name, name, end=None), (1.0, 1.0))
    true_open = open

    def refuse(path, mode="r", **options):
        if "b/journal" in str(path) and mode.startswith("a"):
            raise PermissionError(13, "Permission denied")
        return true_open(path, mode, **options)

    monkeypatch.setattr("builtins.open", refuse)
    code, out, err = tonne("recover")
    assert (code, sorted(out.split())) == (2, ["a", "c", "recovered", "recovered"])
    assert "cannot be written: Permission denied" in " ".join(err.split())
