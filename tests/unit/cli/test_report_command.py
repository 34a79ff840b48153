"""`tonne report`: finds what is meant, writes where it is told to, and says what to do when it cannot."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("altair")
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import page_samples as samples
from typer.testing import CliRunner

from tonne import track
from tonne.cli.main import app
from tonne.cli.reports import Asked, subject_named
from tonne.cli.reports import run as report
from tonne.documents import plain
from tonne.errors import BrowserError, DescriptionError, LedgerError, RunFolderError
from tonne.ledger.book import Ledger
from tonne.report.page.figures import document, figures_of
from tonne.report.page.making import page_of
from tonne.report.page.markdown import markdown
from tonne.report.page.subject import of_run

PLAN = """
name = "hours"
[schedule]
accelerator_hours = 1000
[cluster]
accelerator = "A100-SXM4-80GB"
accelerator_power_w = 300
host_power_w = 150
network_power_w = 50
[site]
grid_gco2e_per_kwh = 400
pue = 1.2
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def ledger():
    with Ledger.open() as opened:
        for run in samples.project_runs():
            opened.put(run)
        opened.put(samples.cpu_run())


def test_a_plan_is_reported_as_its_forecast(plan, tmp_path):
    output = tmp_path / "new folder" / "plan.csv"
    report(str(plan), Asked(output=str(output)))
    found = figures_of(output.read_text("utf-8"))
    energy = next(one for (_, quantity), one in found.items() if quantity == "energy.facility_kwh")
    carbon = next(one for (_, quantity), one in found.items() if quantity == "carbon.operational_location_kgco2e")
    assert energy.value == pytest.approx(1000 * 0.5 * 1.2)  # 500 W an accelerator, PUE 1.2
    assert carbon.value == pytest.approx(600 * 0.4)


def test_the_report_goes_to_standard_output_where_no_file_is_named(plan, capsys):
    report(str(plan), Asked(format="md", language="zh"))
    told = capsys.readouterr()
    assert told.out.startswith("# hours\n")
    assert "600 kWh" in told.out
    assert not told.err


def test_a_run_of_the_ledger_is_found_by_id_beginning_and_name(ledger):
    wanted = samples.cpu_run()
    for name in (wanted.id, wanted.id[:12], wanted.name):
        assert subject_named(name).run.account.energy == wanted.account.energy


def test_a_project_is_all_of_its_runs(ledger):
    subject = subject_named("base-models")
    assert subject.is_project
    assert len(subject.runs) == 7  # all that happened; what was forecast beside them is not in it
    assert {run.kind for run in subject.runs} == {"measured"}
    assert subject.account.energy.facility_kwh.value == pytest.approx(1560 * 1.4)


def test_a_project_goes_before_a_run_whose_id_begins_so():
    with Ledger.open() as opened:
        opened.put(replace(samples.cpu_run(), id="bert-final-1a2b3c4d", name="bert-final", project="bert"))
        opened.put(replace(samples.cpu_run(), id="sweep-5e6f7a8b", name="sweep", project="bert"))
    assert {run.name for run in subject_named("bert").runs} == {"bert-final", "sweep"}
    assert subject_named("bert-fi").run.id == "bert-final-1a2b3c4d"


def test_a_run_that_goes_on_is_in_the_report_of_its_project_and_told(ledger):
    with track("going", project="base-models"):
        subject = subject_named("base-models")
    assert [run.name for run in subject.runs if run.status == "running"] == ["going"]
    assert "1 of them still goes on: more is to come." in markdown(page_of(subject))


def test_a_run_goes_before_a_project_of_its_name():
    with Ledger.open() as opened:
        opened.put(replace(samples.cpu_run(), name="same", project="same"))
    assert not subject_named("same").is_project
    with Ledger.open() as opened:
        opened.put(replace(samples.cpu_run(), id="second", name="same", project="same"))
    assert subject_named("same").is_project


def test_a_document_of_a_run_or_a_project_is_read_back(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document(of_run(samples.cpu_run()))), encoding="utf-8")
    assert plain(subject_named(str(path)).run) == plain(samples.cpu_run())


def test_the_document_of_a_forecast_is_read_back(plan, tmp_path):
    done = CliRunner().invoke(app, ["forecast", str(plan), "--json"])
    path = tmp_path / "forecast.json"
    path.write_text(done.stdout, encoding="utf-8")
    subject = subject_named(str(path))
    assert subject.is_forecast
    assert subject.account.energy.facility_kwh.value == pytest.approx(600.0)


@pytest.mark.slow
def test_charts_are_written_beside_the_page(tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document(of_run(replace(samples.cpu_run(), stages=())))), encoding="utf-8")
    output, charts = tmp_path / "run.html", tmp_path / "charts"
    report(str(path), Asked(output=str(output), charts=str(charts)))
    assert output.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in charts.iterdir()) == [
        f"{key}.{suffix}" for key in ("energy-by-part", "loss-over-energy", "power-over-time", "uncertainty-budget")
        for suffix in ("png", "svg")
    ]  # fmt: skip
    assert "8 files of charts" in capsys.readouterr().err


def test_what_is_nothing_says_what_it_could_be(ledger):
    with pytest.raises(LedgerError, match=r"no run 'nosuch' is known.*Nor is there such a project, or a plan file"):
        subject_named("nosuch")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON document"),
        ("[1]", "holds no document of a run"),
        ('{"schema_version": "1"}', "neither a run nor runs"),
        ('{"schema_version": "1", "run": {"id": "a"}}', "a run that cannot be read"),
        ('{"schema_version": "1", "runs": 3}', "a run that cannot be read"),
    ],
)
def test_a_file_that_is_no_document_says_so(tmp_path, text, message):
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DescriptionError, match=message):
        subject_named(str(path))


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(DescriptionError, match="cannot be read: No such file"):
        subject_named(str(tmp_path / "none.json"))


def test_pdf_needs_a_file_and_a_browser_before_anything_is_made(monkeypatch):
    with pytest.raises(DescriptionError, match=r"--format pdf writes a file: name it with --output report.pdf"):
        report("whatever", Asked(format="pdf"))
    monkeypatch.setenv("TONNE_BROWSER", "no-such-browser-here")
    with pytest.raises(BrowserError, match="no-such-browser-here"):
        report("whatever", Asked(output="report.pdf"))


def test_an_output_that_cannot_be_written_says_so(plan, tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        report(str(plan), Asked(format="csv", output=str(plan / "below.csv")))


def test_a_folder_that_cannot_hold_charts_says_so(plan, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"taken cannot hold charts: File exists. Give another --charts"):
        report(str(plan), Asked(output=str(tmp_path / "plan.md"), charts=str(taken)))


def test_a_forecast_that_cannot_be_read_says_so(tmp_path):
    path = tmp_path / "forecast.json"
    path.write_text('{"schema_version": "1", "plan": 1, "account": 2}', encoding="utf-8")
    with pytest.raises(DescriptionError, match=r"holds a forecast that cannot be read .* Make it again with `tonne fo"):
        subject_named(str(path))


def test_errors_are_one_line_and_exit_code_two(plan):
    done = CliRunner().invoke(app, ["report", str(plan), "--format", "docx"])
    assert done.exit_code == 2
    assert done.stderr == "Error: --format 'docx' is none. Use one of html, md, json, csv, pdf.\n"


@pytest.fixture
def exported(ledger, tmp_path):
    def written(name):
        path = tmp_path / "exported.json"
        told = CliRunner().invoke(app, ["export", name, "--as", "json"])
        path.write_text(told.stdout, encoding="utf-8")
        return str(path)

    return written


def test_an_exported_run_is_reported_as_the_ledger_is(exported):
    name = samples.cpu_run().id
    assert document(subject_named(exported(name))) == document(subject_named(name))


def test_an_exported_project_is_reported_as_its_runs(exported):
    here, there = subject_named("base-models"), subject_named(exported("base-models"))
    assert (there.name, there.is_project) == ("base-models", True)
    assert (there.account, there.known) == (here.account, here.known)
    assert [run.id for run in there.runs] == [run.id for run in here.runs]


def test_a_project_of_one_run_stays_a_project(tmp_path):
    with Ledger.open() as opened:
        opened.put(replace(samples.cpu_run(), project="small"))
    path = tmp_path / "one.json"
    path.write_text(CliRunner().invoke(app, ["export", "small", "--as", "json"]).stdout, encoding="utf-8")
    found = subject_named(str(path))
    assert (found.name, found.is_project) == ("small", True)


def test_a_project_comes_back_from_its_own_document(ledger, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    report("base-models", Asked(output=str(first)))
    report(str(first), Asked(output=str(second)))
    assert first.read_bytes() == second.read_bytes()
