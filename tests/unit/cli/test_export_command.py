"""`tonne export`, `tonne lens` and `tonne check eu`: what they print, write and return."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tonne import track
from tonne.cli.main import app
from tonne.ledger.book import Ledger
from tonne.ledger.records import Link, Work

MADE = Path(__file__).resolve().parents[1] / "made_runs.py"
ALL_BUT_CARDS = ["eu-form", "latex", "neurips", "climate-card", "sci", "ghg", "codecarbon", "boamps", "csv", "json"]
PLAN = """
name = "small"
[architecture]
preset = "gpt-3-175b"
[data]
tokens = {tokens}
sequence_length = 2048
[cluster]
accelerator = "H100-SXM5-80GB"
accelerators = 1024
[site]
grid = "FR"
"""


def tonne(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def kept():
    """A ledger with a final run of 8.1e22 FLOP, a sweep and a run that nobody tagged, all of one project."""
    spec = importlib.util.spec_from_file_location("tonne_tests_made_runs", MADE)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    work = Work(parameters=7_000_000_000, tokens=2 * 10**12, training_flop=8.1e22)
    with Ledger.open() as ledger:
        ledger.put(made.run("aaa1", name="main-run", project="seven", work=work))
        ledger.put(made.run("bbb1", name="try-1", purpose="sweep", project="seven"))
        ledger.put(made.run("ccc1", name="odd", purpose=None, project="seven"))


@pytest.fixture
def plan(tmp_path):
    def write(tokens):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN.format(tokens=tokens), encoding="utf-8")
        return path

    return write


@pytest.mark.usefixtures("kept")
def test_a_run_is_printed_and_nothing_else_goes_to_stdout():
    done = tonne("export", "main-run", "--as", "hugging-face")
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout.strip().strip("-"))["co2_eq_emissions"]["emissions"] == 12_000


@pytest.mark.usefixtures("kept")
def test_a_project_is_found_by_its_name_or_by_the_option(tmp_path):
    done = tonne("export", "seven", "--as", "model-card")
    assert "**Whole project, failed runs and sweeps too**: 3 runs" in done.stdout
    output = tmp_path / "card.md"
    again = tonne("export", "--project", "seven", "--as", "model-card", "--output", output)
    assert output.read_text(encoding="utf-8") == done.stdout
    assert again.stdout == ""
    assert "missing: Carbon emitted, market-based" in again.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("format_name", ALL_BUT_CARDS)
def test_every_format_of_a_project_is_written(format_name):
    done = tonne("export", "seven", "--as", format_name, "--control", "owned")
    assert done.exit_code == 0
    assert len(done.stdout) > 200


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["export", "main-run"], "--as is missing. Say which form, one of eu-form, model-card"),
        (["export", "nope", "--as", "csv"], "no run 'nope' is known"),
        (["export", "--project", "nope", "--as", "csv"], "no run belongs to the project 'nope'"),
        (["export", "main-run", "--project", "seven", "--as", "csv"], "Give one of them"),
        (["export", "main-run", "--as", "csv", "--output", "/nowhere/at/all.csv"], "cannot be written"),
        (["export", "main-run", "--as", "ghg", "--control", "mine"], "control='mine' is none"),
        (["lens", "eu", "main-run"], "no lens 'eu'"),
        (["check", "eu", "main-run", "--threshold", "big"], "--threshold 'big' is none"),
        (["check", "eu", "gone.toml"], "does not exist"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(words, text):
    done = tonne(*words)
    assert done.exit_code == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_ledger_says_how_to_fill_it():
    done = tonne("export", "--as", "csv")
    assert done.exit_code == 2
    assert "the ledger has no run yet. Measure one: tonne run" in done.stderr


@pytest.mark.usefixtures("kept")
def test_a_lens_prints_totals_and_reasons():
    text = tonne("lens", "eu-energy", "seven").stdout
    assert "facility      36 kWh  [32 - 40 kWh] modelled" in text
    assert "try-1 [sweep]: accelerators 20 kWh; the form does not say whether it counts" in text
    read = json.loads(tonne("lens", "project", "seven", "--json").stdout)
    assert read["lens"]["totals"]["facility_kwh"]["value"]["value"] == 108.0


def test_lenses_are_listed():
    assert "eu-flop    Training compute, EU AI Act; 2025-07-18, ec2025gpai" in tonne("lens").stdout
    assert set(json.loads(tonne("lens", "--json").stdout)["lenses"]) >= {"sci-ai", "ghg", "neurips"}


@pytest.mark.usefixtures("kept")
def test_a_straddled_threshold_exits_3_only_where_it_is_asked_for():
    assert tonne("check", "eu", "seven").exit_code == 0
    done = tonne("check", "eu", "seven", "--fail-over")
    assert done.exit_code == 3
    assert "general-purpose, 1.00e23 FLOP: STRADDLED" in done.stdout
    assert "5.67e22 to 1.05e23" in done.stdout
    assert tonne("check", "eu", "seven", "--fail-over", "--threshold", "systemic-risk").exit_code == 0


@pytest.mark.usefixtures("kept")
def test_a_stated_utilisation_is_compared_with_the_count():
    read = json.loads(tonne("check", "eu", "main-run", "--utilisation", "0.4", "--json").stdout)
    (check,) = read["checks"]
    (one,) = check["computes"]
    # 48 h x 3600 x 989.4e12 x 0.4 = 6.84e19 of the 8.1e22 that were counted
    assert one["ratio"] == pytest.approx(6.84e19 / 8.1e22, rel=1e-3)
    assert check["agree"] == {"aaa1": False}
    assert read["exceeded"] == ["general-purpose"]


@pytest.mark.parametrize(("tokens", "code"), [("1e9", 0), ("300e9", 3)])
def test_a_plan_is_checked_before_it_is_run(plan, tokens, code):
    # 6 x 175e9 x 300e9 is 3.2e23; x 1e9 is 1.05e21
    assert tonne("check", "eu", plan(tokens), "--fail-over").exit_code == code


def test_a_published_model_is_checked_by_its_name():
    # 6 x 405e9 x 15.6e12 is 3.8e25; attention comes besides
    done = tonne("check", "eu", "llama-3.1-405b", "--fail-over", "--json")
    assert done.exit_code == 3
    read = json.loads(done.stdout)
    assert read["checks"][0]["flop"]["value"] == pytest.approx(3.94e25, rel=0.02)
    assert read["exceeded"] == ["general-purpose", "systemic-risk"]
    assert "Give a plan file that says how it is trained" in tonne("export", "llama-3.1-405b", "--as", "csv").stderr


def test_a_plan_is_exported_as_an_estimate(plan):
    text = tonne("export", plan("300e9"), "--as", "eu-form").stdout
    assert "Estimated: a forecast, not a measurement." in text
    assert "- **Total model size** (AIO): 1.75e11 parameters" in text
    assert "used for training** (AIO): 3.19e23 FLOP" in text  # 6 P D is 3.15e23; attention comes besides
    assert "Transformer, decoder-only, 96 layers of width 12288, 96 attention heads" in text


@pytest.mark.usefixtures("kept")
def test_projects_of_a_ledger_are_checked_apart():
    with Ledger.open() as ledger:
        other = ledger.run("aaa1")
        ledger.put(replace(other, id="ddd1", name="other", project="eight"))
    read = json.loads(tonne("check", "eu", "--json").stdout)
    assert {check["name"]: check["flop"]["value"] for check in read["checks"]} == {"seven": 8.1e22, "eight": 8.1e22}


@pytest.mark.usefixtures("kept")
def test_a_form_of_one_model_is_not_filled_from_several_projects():
    with Ledger.open() as ledger:
        ledger.put(replace(ledger.run("aaa1"), id="ddd1", name="other", project="eight"))
    done = tonne("export", "--as", "eu-form")
    assert done.exit_code == 2
    assert "eu-form is of one model, and the ledger holds runs of 2 projects" in done.stderr
    assert tonne("export", "--as", "ghg").exit_code == 0


@pytest.mark.usefixtures("kept")
def test_an_inventory_is_of_a_year():
    # the runs began in February 2026
    assert "Electricity**: 0.11 MWh" in tonne("export", "seven", "--as", "ghg", "--since", "2026-01-01").stdout
    assert tonne("export", "seven", "--as", "ghg", "--until", "2026-01-01").exit_code == 2
    assert "'soon' is no date" in tonne("export", "--as", "ghg", "--since", "soon").stderr


@pytest.mark.usefixtures("kept")
def test_an_export_as_a_document_has_its_fields_apart():
    read = json.loads(tonne("export", "seven", "--as", "eu-form", "--json").stdout)
    assert read["fields"]["energy"]["estimate"]["value"] == pytest.approx(0.036)
    assert read["fields"]["energy"]["unit"] == "MWh"
    assert read["fields"]["released"]["missing"] == "give --released"
    assert "Release date: give --released" in read["missing"]
    assert read["text"].startswith("# Model Documentation Form")


def test_a_run_alone_is_checked_with_the_training_of_its_weights(kept):
    # 8.1e22 of the run that it starts from, and 2e22 of its own
    with Ledger.open() as ledger:
        run = ledger.run("aaa1")
        links = (Link(kind="initialised-from", to="aaa1"),)
        ledger.put(replace(run, id="ddd1", name="tuned", work=Work(training_flop=2e22), links=links))
    found = tonne("check", "eu", "tuned", "--fail-over")
    assert "Cumulative compute  1.01e23 FLOP" in found.stdout
    assert "modification" not in found.stdout
    assert found.exit_code == 3
    form = tonne("export", "tuned", "--as", "eu-form").stdout
    assert "**Amount of computation used for training** (AIO): 1.01e23 FLOP" in form
    assert "- memo: main-run, its earlier training [accelerators 20 kWh;" in form


def test_a_threshold_that_cannot_decide_says_so(kept):
    with Ledger.open() as ledger:
        ledger.put(replace(ledger.run("aaa1"), id="eee1", name="dark", work=Work()))
    found = tonne("check", "eu", "dark", "--fail-over")
    assert found.exit_code == 0
    assert "dark: not all of its compute is known, so that no threshold could decide." in found.stderr
    assert tonne("check", "eu", "dark").stderr == ""


def test_a_run_that_goes_on_is_in_the_sums_of_its_project_and_told(kept):
    with track("going", project="seven", purpose="final"):
        text = tonne("lens", "project", "seven").stdout
        assert "\n  going [final]: " in text
        assert "note: still running, so that more is to come: going." in text
        assert "main-run [final]" in text


def test_a_run_of_another_ledger_that_goes_on_is_in_no_list_and_no_sum(kept, tmp_path, monkeypatch):
    with track("here", project="eight", folder=str(tmp_path / "journal-of-this-ledger")):
        own = os.environ["TONNE_HOME"]
        monkeypatch.setenv("TONNE_HOME", str(tmp_path / "of-another-ledger"))
        with track("elsewhere", project="eight"):
            monkeypatch.setenv("TONNE_HOME", own)
            for words in (("lens", "ghg"), ("lens", "ghg", "eight"), ("runs",)):
                told = tonne(*words).stdout
                assert "here" in told
                assert "elsewhere" not in told


def test_a_time_without_runs_is_not_taken_for_a_project_without_runs(kept):
    found = tonne("export", "seven", "--as", "csv", "--since", "2099-01-01")
    assert found.exit_code == 2
    assert "no run of the project 'seven' began in the time of --since 2099-01-01." in found.stderr
