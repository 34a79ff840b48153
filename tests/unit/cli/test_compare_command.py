"""`tonne compare`: what its arguments mean, what is printed, and what it says about bad input."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from tonne.account import Account, Carbon, Throughput
from tonne.cli.main import app
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.ledger.book import Ledger
from tonne.ledger.records import FORECAST, Run
from tonne.ledger.rows import Filter

PLAN = "gpt-3-6.7b --accelerators 64xA100-80GB --accelerator-hours 100k --grid FR"
ENERGY = "energy.facility_kwh"


def called(*arguments: str):
    return CliRunner().invoke(app, ["compare", *arguments])


def printed(*arguments: str) -> dict:
    result = called(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def run_of(run: str, kwh: float) -> Run:
    it = Estimate(value=kwh, low=kwh / 1.05, high=kwh * 1.05, basis=Basis.MEASURED, sources=("own",))
    account = Account(
        duration_s=Estimate.exact(60.0),
        accelerator_hours=None,
        throughput=Throughput(),
        energy=EnergyUse(it_kwh=it, facility_kwh=it),
        carbon=Carbon(),
        water_l=None,
        cost_usd=None,
        development=None,
        uncertainty={},
        data_version="2026.1",
    )
    return Run(id=run, name="small", kind="measured", status="finished", begun_unix_s=0.0, account=account)


def test_plans_are_given_as_options_of_the_forecast():
    found = printed(f"{PLAN} --pue 1.2", f"{PLAN} --pue 1.5")
    assert [side["letter"] for side in found["scenarios"]] == ["A", "B"]
    assert found["scenarios"][0]["name"] == f"{PLAN} --pue 1.2"
    assert found["pairs"][0]["of"] == "B"
    energy = found["pairs"][0]["differences"][ENERGY]
    assert [energy["ratio"][bound] for bound in ("low", "value", "high")] == pytest.approx([1.25] * 3)  # 1.5 / 1.2
    assert energy["verdict"] == "more"
    assert found["pairs"][0]["differences"]["duration_s"]["verdict"] == "the same"


def test_options_for_all_plans_are_given_once():
    found = printed(f"{PLAN} --pue 1.2", PLAN.replace("FR", "DE"), "--with", "--pue 1.5")
    assert found["pairs"][0]["differences"][ENERGY]["verdict"] == "the same"


def test_text_names_the_sides_and_says_what_cancels():
    lines = called(f"{PLAN} --pue 1.2", f"{PLAN} --pue 1.5", f"{PLAN} --pue 1.2").stdout.splitlines()
    assert lines[0] == f"Comparison  A  {PLAN} --pue 1.2  (forecast)"
    # IT energy is the same; the building's is 1.25 times as much
    third = [line.split() for line in lines if line.split()[:1] in (["A"], ["B"], ["C"])]
    assert any(words[0] == "B" and words[-1] == "1.25" for words in third)
    assert any(words[0] == "C" and words[-2:] == ["the", "same"] for words in third)
    assert any(line.startswith("  Cancels") and "accelerator power" in line for line in lines)
    assert max(map(len, lines)) <= 124


def test_a_plan_file_a_document_and_runs_of_the_ledger(tmp_path):
    plan, kept = tmp_path / "plan.toml", tmp_path / "forecast.json"
    plan.write_text('[cluster]\naccelerator = "A100-80GB"\naccelerators = 64\n[schedule]\naccelerator_hours = 1e5\n')
    made = CliRunner().invoke(app, ["forecast", str(plan), "--pue", "1.2", "--json"])
    kept.write_text(made.stdout)
    with Ledger.open() as ledger:
        ledger.put(run_of("r1-aaaa", 10.0))
        ledger.put(run_of("r2-bbbb", 10.2))
    found = printed(str(kept), f"{plan} --pue 1.2", "r1", "r2-bbbb")
    assert [side["kind"] for side in found["scenarios"]] == ["forecast", "forecast", "measured", "measured"]
    assert found["pairs"][0]["differences"][ENERGY]["verdict"] == "the same"
    assert printed("r1", "r2")["pairs"][0]["differences"][ENERGY]["verdict"] == "not distinguishable"


def test_a_forecast_that_the_ledger_kept_is_what_it_was():
    words = f"{PLAN} --pue 1.2 --project kept".split()
    assert CliRunner().invoke(app, ["forecast", *words]).exit_code == 0
    with Ledger.open() as ledger:
        run = ledger.rows(Filter(kinds=(FORECAST,)))[0].id
    found = printed(run, f"{PLAN} --pue 1.2")
    assert {d["verdict"] for d in found["pairs"][0]["differences"].values() if d} == {"the same"}
    assert found["scenarios"][0]["kind"] == "forecast"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([PLAN], "1 of them cannot be compared. Name two to 5"),
        ([PLAN] * 6, "6 of them cannot be compared"),
        ([PLAN, "nobody"], "no run 'nobody' is known.* A plan is meant by its file, or by a model with options"),
        ([PLAN, ""], "'' names nothing to compare"),
        ([PLAN, "a 'b"], "No closing quotation. Close the quotes"),
        ([PLAN, f"{PLAN} --json"], "--json has no meaning inside"),
        ([PLAN, f"{PLAN} --pu 1"], "No such option.* See tonne forecast --help"),
        ([PLAN, "none.json"], "none.json cannot be read: No such file"),
        ([PLAN, "gone.toml"], "gone.toml does not exist"),
        ([PLAN, "gpt-3-175b --tokens 1B"], "No accelerators were given"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = called(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert re.search(text, result.stderr), result.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"account": 1, "schema_version": "9"}'])
def test_a_file_that_holds_no_forecast_is_refused(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(content)
    result = called(PLAN, str(path))
    assert result.exit_code == 2
    assert "tonne forecast" in result.stderr
