"""`tonne reconcile` and `tonne calibration`: a forecast and a run of the ledger, from option to exit code."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tonne
from tonne.calibrate.own_rows import keep, rows_of
from tonne.cli.main import app
from tonne.cli.reports import subject_named
from tonne.documents import plain
from tonne.estimate import Basis, Estimate
from tonne.ledger.book import Ledger
from tonne.ledger.records import FORETOLD_BY, Run, Stage, Work
from tonne.reference.grids import grid
from tonne.report.page.language import words_of
from tonne.report.page.what_if import changes

BEGAN = 1.8e9
LASTED_S = 4000.0
HOURS = 64 * LASTED_S / 3600
PLAN = """
name = "small"
[architecture]
preset = "llama-2-7b"
[data]
tokens = 2e9
sequence_length = 4096
[training]
global_batch_sequences = 256
precision = "bf16"
[cluster]
accelerator = "H100-SXM5-80GB"
accelerators = 64
[schedule]
goodput = 0.95
[site]
grid = "DE"
pue = 1.2
"""


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def made(plan_file):
    return tonne.forecast(tonne.TrainingPlan.from_toml(plan_file))


def called(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments):
    result = called(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def measured(made, *, carried=True, **changes):
    """64 H100 for 4,000 s, 3,800 of them stepping; 600 W a board by sensors, 780 W of servers."""
    read = Estimate(value=0.6 * HOURS, low=0.59 * HOURS, high=0.61 * HOURS, basis=Basis.MEASURED)
    servers = Estimate(value=0.78 * HOURS, low=0.7 * HOURS, high=0.9 * HOURS, basis=Basis.MODELLED)
    energy = replace(
        made.account.energy, accelerators_kwh=read, hosts_kwh=None, servers_kwh=servers, it_kwh=servers,
        network_kwh=None, facility_kwh=servers, left_out=("network", "storage"),
    )  # fmt: skip
    account = replace(
        made.account, duration_s=Estimate.exact(LASTED_S), accelerator_hours=Estimate.exact(HOURS), energy=energy,
        throughput=replace(made.account.throughput, goodput=None, step_time_s=None, achieved_peak_fraction=None),
        cost_usd=None,
    )  # fmt: skip
    known = {"plan": plain(made.plan), "forecast": made.account, "forecast_inputs": made.inputs} if carried else {}
    run = {
        "id": "run-1", "name": "small", "kind": "measured", "status": "finished", "begun_unix_s": BEGAN,
        "ended_unix_s": BEGAN + LASTED_S, "account": account, "hardware": {"NVIDIA H100 80GB HBM3": 64},
        "work": Work(tokens=2 * 10**9, steps=1907), "stages": (Stage(name="stepping", duration_s=3800.0),), **known,
    }  # fmt: skip
    return Run(**{**run, **changes})


def kept(*runs):
    with Ledger.open() as ledger:
        for run in runs:
            ledger.put(run)


def forecast_run(made, begun_unix_s, **changes):
    fields = {
        "id": "forecast-1", "name": "small", "kind": "forecast", "status": "forecast", "begun_unix_s": begun_unix_s,
        "account": made.account, "plan": plain(made.plan), "forecast_inputs": made.inputs,
    }  # fmt: skip
    return Run(**{**fields, **changes})


def calibration_file():
    return Path(os.environ["TONNE_HOME"]) / "calibration.csv"


def test_a_run_beside_the_forecast_that_it_carries(made):
    kept(measured(made))
    found = printed("reconcile", "run-1")
    duration = next(c for c in found["reconciliation"]["comparisons"] if c["quantity"] == "duration_s")
    assert duration["measured"]["value"] == LASTED_S
    assert duration["ratio"]["value"] == pytest.approx(LASTED_S / made.account.duration_s.value)
    assert [factor["names"] for factor in duration["factors"]] == [
        ["tokens"], ["flop_per_token", "flop_per_s"], ["goodput"], ["accelerators"],
    ]  # fmt: skip
    assert found["schema_version"] == "1"
    assert found["run"] == {"id": "run-1", "name": "small", "status": "finished", "forecast": None}
    assert found["coverage"][0] == {
        "quantity": "duration_s", "runs": 1, "inside": 1, "above": 0, "below": 0, "share": 1.0,
        "low": pytest.approx(0.05), "high": 1.0,
    }  # fmt: skip


def test_the_text_says_verdict_factors_and_what_was_kept(made):
    kept(measured(made))
    text = called("reconcile", "small").stdout
    assert "Reconciliation  small · finished · run-1" in text
    assert "Verdict: " in text
    assert "power of servers" in text
    assert "tonne calibration delete run-1" in " ".join(text.split())  # wherever a long path makes the line break
    assert "Cannot be said   Cost: the measurement has none: no price was given" in text


def test_the_next_forecast_of_the_stack_is_closer_and_surer(made, plan_file):
    kept(measured(made))
    before = printed("forecast", plan_file)["account"]["duration_s"]
    printed("reconcile", "run-1")
    after = printed("forecast", plan_file)["account"]["duration_s"]
    assert abs(after["value"] / LASTED_S - 1) < 0.01 < abs(before["value"] / LASTED_S - 1)
    assert after["high"] / after["low"] < (before["high"] / before["low"]) ** 0.5
    assert printed("forecast", plan_file, "--no-own-calibration")["account"]["duration_s"] == before
    assert called("calibration", "delete", "run-1").exit_code == 0
    assert printed("forecast", plan_file)["account"]["duration_s"] == before


def spread(estimate):
    return {key: pytest.approx(estimate[key], rel=1e-9) for key in ("value", "low", "high")}


def of_account(account):
    return [spread(account["duration_s"]), spread(account["energy"]["facility_kwh"])]


def of_side(side):
    return [spread(side["quantities"][path]) for path in ("duration_s", "energy.facility_kwh")]


@pytest.mark.parametrize("options", [[], ["--no-own-calibration"]], ids=["with own runs", "without"])
def test_every_command_forecasts_a_plan_alike(made, plan_file, options):
    kept(measured(made))
    printed("reconcile", "run-1")
    expected = printed("forecast", plan_file, "--no-ledger", *options)
    assert any("own calibration: speed" in note for note in expected["notes"]) is (not options)

    account = expected["account"]
    page = json.loads(called("report", plan_file, "--format", "json", *options).stdout)["run"]
    exported = json.loads(called("export", plan_file, "--as", "json", *options).stdout)["runs"][0]
    for run in (page, exported):
        assert of_account(run["account"]) == of_account(account)
        assert run["account"]["notes"] == account["notes"]
    for_all = ["--with", *options] if options else []
    sides = printed("compare", plan_file, f"{plan_file} --goodput 0.95", *for_all)["scenarios"]
    assert [of_side(side) for side in sides] == 2 * [of_account(account)]
    totals = printed("lens", "final-run", plan_file, *options)["lens"]["totals"]
    hours = account["accelerator_hours"]
    assert totals["accelerator_hours"]["value"] == {**hours, **spread(hours)}
    assert totals["facility_kwh"]["value"]["value"] == pytest.approx(account["energy"]["facility_kwh"]["value"])
    checked = printed("check", "eu", plan_file, *options)["checks"][0]["computes"][0]["hardware"]["how"]
    assert f" {hours['value']:.4g} accelerator-hours" in checked


def test_changes_in_a_report_rest_on_the_same_runs(made, plan_file, tmp_path):
    """By a run at half the modelled speed: without it, a change of grid would halve the time too."""
    row = replace(rows_of(measured(made)).rows[0], quantity="achieved_peak_fraction", modelled=0.8)
    keep(calibration_file(), [replace(row, measured=0.4, low=0.4, high=0.4)])
    path = tmp_path / "forecast.json"
    path.write_text(called("forecast", plan_file, "--json").stdout, encoding="utf-8")
    france, germany = (grid(zone).record.gco2e_per_kwh for zone in ("FR", "DE"))
    for name in (plan_file, path):
        found = changes(subject_named(str(name)), words_of("en"))
        moved = next(one for one in found if "France" in one.name)
        assert moved.duration.value == pytest.approx(0.0, abs=1e-9)
        assert moved.carbon.value == pytest.approx(france / germany - 1)


def test_a_comparison_with_and_without_own_runs(made, plan_file):
    kept(measured(made))
    printed("reconcile", "run-1")
    found = printed("compare", plan_file, f"{plan_file} --no-own-calibration")["scenarios"]
    assert of_side(found[1]) == of_account(plain(made.account))
    assert found[0]["quantities"]["duration_s"]["value"] == pytest.approx(LASTED_S, rel=0.01)


def test_calibration_can_be_declined_and_switched_off(made, monkeypatch):
    kept(measured(made))
    declined = printed("reconcile", "run-1", "--no-calibrate")
    assert declined["calibration"] == {"path": None, "rows": [], "reasons": []}
    monkeypatch.setenv("TONNE_CALIBRATION", "off")
    off = printed("reconcile", "run-1")["calibration"]
    assert off["reasons"] == ["own calibration is off (TONNE_CALIBRATION=off)"]
    assert not calibration_file().exists()
    assert called("calibration", "delete", "run-1").exit_code == 2


def test_calibration_lists_its_runs(made, monkeypatch, tmp_path):
    monkeypatch.setenv("TONNE_CALIBRATION", str(tmp_path / "team.csv"))
    kept(measured(made))
    printed("reconcile", "run-1")
    assert (
        "run-1  2027-01-15  64 x nvidia-h100-sxm5-80gb · unknown · bf16 · dense-decoder" in called("calibration").stdout
    )
    rows = printed("calibration")["calibration"]
    assert rows["path"] == str(tmp_path / "team.csv")
    assert [row["quantity"] for row in rows["rows"]] == ["achieved_peak_fraction", "accelerator_power_w"]


def test_nothing_kept_says_so():
    found = called("calibration")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "holds no run" in found.stderr


def test_a_plan_file_is_forecast_now_and_said_to_be_late(made, plan_file):
    kept(measured(made, carried=False))
    found = printed("reconcile", "run-1", "--forecast", plan_file)
    assert found["reconciliation"]["after_the_fact"]
    assert found["run"]["forecast"] == str(plan_file)
    assert found["coverage"] == []
    again = printed("reconcile", "run-1", "--forecast", plan_file)  # the run does not foretell itself
    assert again["reconciliation"]["comparisons"] == found["reconciliation"]["comparisons"]


def test_a_forecast_of_the_ledger_made_before_counts_from_then_on(made):
    kept(measured(made, carried=False), forecast_run(made, BEGAN - 60))
    found = printed("reconcile", "run-1", "--forecast", "forecast-1")
    assert not found["reconciliation"]["after_the_fact"]
    assert found["coverage"][0]["runs"] == 1
    assert printed("reconcile", "run-1")["run"]["forecast"] == "forecast-1"


def test_a_forecast_of_the_ledger_made_afterwards_does_not_count(made):
    kept(measured(made, carried=False), forecast_run(made, BEGAN + 60))
    found = printed("reconcile", "run-1", "--forecast", "forecast-1")
    assert found["reconciliation"]["after_the_fact"]
    assert found["coverage"] == []


def test_a_link_to_a_forecast_is_followed(made):
    kept(measured(made, carried=False), forecast_run(made, BEGAN - 60))
    with Ledger.open() as ledger:
        ledger.link("run-1", FORETOLD_BY, "forecast-1")
    assert printed("reconcile", "run-1")["run"]["forecast"] == "forecast-1"


def test_a_forecast_without_its_plan_is_compared_and_keeps_nothing(made):
    kept(measured(made, carried=False), forecast_run(made, BEGAN - 60, plan=None, forecast_inputs={}))
    found = printed("reconcile", "run-1", "--forecast", "forecast-1")
    duration = next(c for c in found["reconciliation"]["comparisons"] if c["quantity"] == "duration_s")
    assert duration["factors"][0]["names"] == ["tokens", "flop_per_token", "flop_per_s"]
    assert duration["factors"][0]["joined_because"].startswith("the forecast does not say tokens")
    assert found["calibration"]["reasons"] == ["its plan is not known"]


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"carried": False}, [], "tonne reconcile run-1 --forecast plan.toml"),
        ({"ended_unix_s": None, "status": "running"}, [], "is running and has no end"),
        ({}, ["--forecast", "run-1"], "run-1 is no forecast"),
        ({}, ["--forecast", "nowhere.toml"], "nowhere.toml"),
    ],
    ids=["no forecast", "no end", "a run as forecast", "no file"],
)
def test_what_cannot_be_compared_exits_2_and_says_what_to_do(made, changes, options, words):
    kept(measured(made, **changes))
    result = called("reconcile", "run-1", *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_forecast_is_no_run(made):
    kept(forecast_run(made, time.time()))
    result = called("reconcile", "forecast-1")
    assert result.exit_code == 2
    assert "is a forecast, not a run" in result.stderr


def test_coverage_alone(made):
    nothing = called("reconcile")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    kept(measured(made), measured(made, id="run-2", status="failed"))
    assert "Duration         1 of 1 inside their 90 % band: 100% [5% - 100%]" in called("reconcile").stdout
    assert printed("reconcile")["coverage"][0]["runs"] == 1
