"""A plan run from forecast to ledger: what is told, kept and compared, and what happens when it is cut."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tonne.describe.site import Site
from tonne.errors import DescriptionError, TrainingError
from tonne.ledger.book import Ledger
from tonne.measure.limits import Limits
from tonne.workflow import Asked, train
from tonne.workflow.kept import kept_in
from tonne.workflow.paces import paces_in

STEPS, TOKENS_A_STEP = 20, 64


def run(plan, output, **asked):
    from tonne.train.fitting import Session

    options = {name: asked.pop(name) for name in ("max_steps", "resume") if name in asked}
    session = Session(device="cpu", stream=None)
    return train(plan, output, asked=Asked(interval_s=0.05, **asked), session=session, **options)


def home():
    return Path(os.environ["TONNE_HOME"])


def test_a_run_is_forecast_measured_and_kept(plan, tmp_path, left_for_ledger):
    told = []

    def lines(foretold):
        told.append(foretold)
        return ["the forecast"]

    found = run(
        plan, tmp_path / "run", site="FR", project="p", tags=("t",), commands=("tonne train",), foretold_lines=lines
    )
    assert found.fitted.steps == STEPS
    assert told == [found.foretold]
    assert found.account.duration_s.value > 0
    assert found.account.carbon.operational_location_kgco2e is not None
    assert found.forecast.duration_s.value == pytest.approx(found.foretold.account.duration_s.value)
    [line] = left_for_ledger("work")
    assert line["run"] == found.run.id == kept_in(tmp_path / "run").run
    assert (line["status"], line["purpose"], line["project"], line["tags"]) == ("finished", "final", "p", ["t"])
    work = line["work"]
    assert work["steps"] == STEPS
    assert work["tokens"] == found.fitted.tokens
    assert work["training_flop"] == pytest.approx(work["tokens"] * found.foretold.ahead.flop_per_token)
    assert work["held_out_loss"] == pytest.approx(found.fitted.validation.loss)
    stages = {stage["name"]: stage["duration_s"] for stage in line["stages"]}
    assert set(stages) == {"stepping", "evaluation", "checkpoints", "finishing"}
    assert sum(stages.values()) == pytest.approx(found.account.duration_s.value, abs=0.2)
    assert line["evidence"]["plan_sha256"] is not None
    assert line["evidence"]["weights_sha256"] is not None
    assert line["evidence"]["commands"] == ["tonne train"]
    assert len(line["series"]["steps"]) == len(line["series"]["step_loss"]) == STEPS


@pytest.mark.slow
def test_the_ledger_takes_in_what_a_run_left(plan, tmp_path):
    found = run(plan, tmp_path / "run", site="FR")
    with Ledger.open() as ledger:
        kept = ledger.run(found.run.id)
    assert kept.forecast.duration_s.value == pytest.approx(found.run.forecast.duration_s.value)
    assert kept.account.duration_s.value == pytest.approx(found.account.duration_s.value, rel=0.05)
    assert kept.work == found.run.work
    assert kept.purpose == "final"
    assert kept.forecast_inputs["step_time_s"].value > 0


@pytest.mark.slow
def test_the_next_forecast_knows_how_fast_this_run_was(plan, tmp_path):
    first = run(plan, tmp_path / "one")
    [pace] = paces_in(home())
    assert pace.steps == STEPS
    assert set(pace.measured) == {"step", "start", "evaluation", "checkpoints", "finishing"}
    assert pace.watts["accelerators"] == (0.0, 0.0, 0.0)
    second = run(plan, tmp_path / "two")
    assert first.foretold.inputs["step_time_s"].basis == "modelled"
    assert second.foretold.inputs["step_time_s"].basis == "measured"
    assert "1 earlier run" in second.foretold.inputs["step_time_s"].sources[0]
    assert second.foretold.inputs["cpu_w"].value == pytest.approx(pace.watts["cpu"][0])


@pytest.mark.slow
def test_watching_a_run_changes_none_of_its_numbers(plan, tmp_path):
    from tonne.describe.recipe import Recipe
    from tonne.train.fitting import Session, fit
    from tonne.train.job import job_of, store_folder

    run(plan, tmp_path / "watched")
    recipe = Recipe.from_toml(plan)
    job = job_of(recipe, store_folder(recipe, home() / "data"))
    fit(job, tmp_path / "alone", session=Session(device="cpu", stream=None, home=home()))
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("watched", "alone")]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("_patient_looks")
def test_a_limit_stops_the_run_saved(plan, tmp_path, left_for_ledger):
    said = []
    limits = Limits(kwh=1e-12)
    found = run(plan, tmp_path / "run", limits=limits, enforce=True, say=said.append)
    assert found.over
    assert found.fitted.stopped_by == "observer"
    assert found.fitted.steps < STEPS
    assert (tmp_path / "run" / "model").is_dir()
    assert any("is forecast to take" in text for text in said) or any("over the limit" in text for text in said)
    [line] = left_for_ledger("work")
    assert line["status"] == "stopped"
    # The forecast beside it is that of the steps that were made.
    step_s = found.foretold.inputs["step_time_s"].value
    assert found.forecast.duration_s.value < found.foretold.account.duration_s.value
    assert found.forecast.throughput.step_time_s.value == pytest.approx(step_s)


@pytest.mark.slow
@pytest.mark.usefixtures("_patient_looks")
def test_a_limit_that_is_not_enforced_warns_and_goes_on(plan, tmp_path):
    said = []
    found = run(plan, tmp_path / "run", limits=Limits(kwh=1e-12), say=said.append)
    assert not found.over
    assert found.fitted.steps == STEPS
    assert any("more than its limit" in text for text in said)


@pytest.mark.slow
@pytest.mark.usefixtures("_patient_looks")
def test_a_stopped_run_goes_on_under_its_own_id(plan, tmp_path, left_for_ledger):
    first = run(plan, tmp_path / "run", limits=Limits(kwh=1e-12), enforce=True)
    found = run(plan, tmp_path / "run", resume=True)
    assert found.run.id == first.run.id
    assert found.run.links == ()
    assert found.run.work.steps == STEPS
    assert found.run.series.steps[-1] == STEPS
    assert found.account.duration_s.value > first.account.duration_s.value  # both parts
    assert found.run.forecast == first.run.forecast  # that from before the first step
    assert [line["work"]["steps"] for line in left_for_ledger("work")][-1] == STEPS
    with Ledger.open() as ledger:
        kept = ledger.run(found.run.id)
    assert (kept.status, kept.work.steps) == ("finished", STEPS)


@pytest.mark.slow
def test_a_finished_run_that_goes_on_is_a_new_one_that_continues_it(plan, tmp_path):
    first = run(plan, tmp_path / "run", max_steps=8)
    found = run(plan, tmp_path / "run", resume=True)
    assert found.run.id != first.run.id
    assert [(link.kind, link.to) for link in found.run.links] == [("continues", first.run.id)]
    assert found.run.work.steps == STEPS - 8


def test_a_run_that_fails_is_kept_as_failed(plan, tmp_path, left_for_ledger):
    text = plan.read_text(encoding="utf-8").replace(
        'precision = "fp32"', 'precision = "fp32"\nlearning_rate = 1e30\nwarmup_steps = 3'
    )
    plan.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"is nan|is inf"):
        run(plan, tmp_path / "run")
    [line] = left_for_ledger("work")
    assert line["status"] == "failed"
    assert 0 <= line["work"]["steps"] < STEPS
    with Ledger.open() as ledger:
        assert ledger.run(line["run"]).status == "failed"


@pytest.mark.slow
def test_without_a_meter_nothing_is_measured_or_kept_but_the_forecast_stands(plan, tmp_path, left_for_ledger):
    found = run(plan, tmp_path / "run", measured=False)
    assert (found.account, found.run) == (None, None)
    assert found.foretold.account.duration_s.value > 0
    assert left_for_ledger("work") == []
    assert not (home() / "runs").exists()


@pytest.mark.slow
def test_a_home_that_cannot_be_written_does_not_stop_training(plan, tmp_path, monkeypatch):
    broken = tmp_path / "no-folder"
    broken.write_text("", encoding="utf-8")
    monkeypatch.setenv("TONNE_HOME", str(broken))
    said = []
    found = run(plan, tmp_path / "run", say=said.append)
    assert found.fitted.steps == STEPS
    assert found.account.energy.facility_kwh.value > 0
    assert any("move what is in it to the inbox" in text for text in said)
    [left] = (tmp_path / "run" / "inbox").glob("*.json")
    assert json.loads(left.read_text(encoding="utf-8"))["run"] == found.run.id
    assert (tmp_path / "run" / "journal" / "journal.jsonl").exists()


@pytest.mark.slow
def test_a_ledger_that_is_off_is_no_fault(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("TONNE_LEDGER", "off")
    said = []
    run(plan, tmp_path / "run", say=said.append)
    assert said == []
    assert not (tmp_path / "run" / "inbox").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_under_its_own_id(plan, tmp_path):
    code = f"""
import os, signal
from tonne.train.fitting import Session
from tonne.workflow import Asked, train
from tonne.workflow import metering
metering.FIRST_LOOK_S = metering.PAUSE_S = 0.0
metering.SHARE_OF_TIME = 1e9
def dies(self, step, tokens, loss, told=metering.Metering.on_step):
    if step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return told(self, step, tokens, loss)
metering.Metering.on_step = dies
train({str(plan)!r}, {str(tmp_path / "run")!r}, asked=Asked(), session=Session(device="cpu", stream=None))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=300)
    assert done.returncode == -9
    before = kept_in(tmp_path / "run")
    with Ledger.open() as ledger:  # the line of its begin: it could tell nothing later
        cut = ledger.run(before.run)
    assert (cut.status, cut.purpose) == ("interrupted", "final")
    assert cut.plan["data"]["tokens"] == STEPS * TOKENS_A_STEP
    assert cut.forecast == before.forecast
    found = run(plan, tmp_path / "run", resume=True)
    assert found.run.id == before.run
    # Killed in its 12th step and gone on with from the checkpoint after the 10th: 11 steps were told, and 10 more made,
    # the 11th a second time.
    assert found.run.work.steps == 11 + 10
    assert found.run.work.tokens == found.fitted.tokens + TOKENS_A_STEP
    assert found.forecast.duration_s.value == pytest.approx(found.run.forecast.duration_s.value * 21 / 20, rel=0.3)
    assert found.fitted.steps == STEPS
    assert found.run.forecast == before.forecast


@pytest.mark.slow
def test_ranks_are_one_run_that_is_measured_once(plan, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tonne.cli.main", "train", str(plan), "--output", str(tmp_path / "run"), "--json"]
    done = subprocess.run(command, check=False, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout[done.stdout.index("{") :])
    [folder] = (home() / "runs").iterdir()
    assert folder.name == document["run"]["id"]
    assert len(list(folder.glob("journal*.jsonl"))) == 2
    readers = [path for path in folder.iterdir() if '"kind":"sensors"' in path.read_text(encoding="utf-8")]
    assert len(readers) == 1


def test_a_place_is_as_asked_else_as_the_plan_says():
    planned = Site(grid="DE")
    assert Asked(site="FR").place(planned).grid == "FR"
    assert Asked().place(planned) is planned
    assert Asked().place(Site()) is None
    priced = Asked(usd_per_kwh=0.3).place(planned)
    assert (priced.grid, priced.usd_per_kwh.value) == ("DE", 0.3)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"purpose": "fun"}, "purpose='fun' is none"),
        ({"enforce": True}, "no limit to enforce"),
        ({"measured": False, "limits": Limits(kwh=1.0)}, "where nothing is measured"),
    ],
)
def test_what_makes_no_sense_is_an_error_before_anything_is_trained(plan, tmp_path, asked, text):
    with pytest.raises(DescriptionError, match=text):
        run(plan, tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_emissions_without_a_place_cannot_be_limited(plan, tmp_path):
    with pytest.raises(DescriptionError, match="no place is given"):
        run(plan, tmp_path / "run", limits=Limits(kgco2e=1.0))


@pytest.mark.slow
@pytest.mark.usefixtures("_patient_looks")
def test_the_live_line_shows_energy_beside_the_loss(plan, tmp_path, monkeypatch):
    from tonne.train.fitting import Session

    monkeypatch.setattr("tonne.workflow.metering.FIRST_LOOK_S", 0.0)
    stream = io.StringIO()
    train(plan, tmp_path / "run", asked=Asked(site="FR", interval_s=0.02), session=Session(device="cpu", stream=stream))
    assert "g CO2e" in stream.getvalue()
    columns = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any("facility_kwh" in line and "operational_location_kgco2e" in line for line in columns)
