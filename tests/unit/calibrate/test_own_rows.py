"""A measured run as rows of a calibration file, and the file itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tonne
from tonne.calibrate.own_rows import keep, rows_of, taken_out
from tonne.documents import plain
from tonne.errors import CalibrationError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Run, Stage, Work
from tonne.reference.calibration import shipped
from tonne.reference.own_runs import ACCELERATOR_W, COLUMNS, HOST_W, SPEED, own_runs

PLAN = tonne.TrainingPlan.from_fields(
    {
        "name": "small",
        "architecture": {"preset": "llama-2-7b"},
        "data": {"tokens": 2e9, "sequence_length": 4096},
        "training": {"global_batch_sequences": 256, "precision": "bf16"},
        "software": {"framework": "TorchTitan"},
        "cluster": {"accelerator": "H100-SXM5-80GB", "accelerators": 64},
        "schedule": {"goodput": 0.95, "step_utilisation": 0.5},
        "site": {"grid": "DE", "pue": 1.2},
    }
)
PEAK = 989.4e12  # bf16, dense: NVIDIA's data sheet, and the table
LASTED_S, HOURS = 4000.0, 64 * 4000 / 3600


def about(value, share, basis):
    return Estimate(value=value, low=value / (1 + share), high=value * (1 + share), basis=basis)


def run(**changes):
    """64 H100, 4,000 s of which 3,800 stepping; boards read at 600 W, hosts modelled at 150 W an accelerator."""
    forecast = tonne.forecast(PLAN).account
    energy = replace(
        forecast.energy,
        accelerators_kwh=about(0.6 * HOURS, 0.02, Basis.MEASURED),
        hosts_kwh=about(0.15 * HOURS, 0.3, Basis.MODELLED),
    )
    account = replace(
        forecast,
        duration_s=Estimate.exact(LASTED_S),
        accelerator_hours=Estimate.exact(HOURS),
        energy=energy,
        throughput=replace(forecast.throughput, goodput=None, step_time_s=None, tokens_per_s=None),
    )
    fields = {
        "id": "r1", "name": "small", "kind": "measured", "status": "finished", "begun_unix_s": 0.0,
        "ended_unix_s": 4000.0, "account": account, "plan": plain(PLAN), "hardware": {"NVIDIA H100 80GB HBM3": 64},
        "work": Work(tokens=10**9, steps=954), "stages": (Stage(name="stepping", duration_s=3800.0),),
    }  # fmt: skip
    return Run(**{**fields, **changes})


def test_rows_hold_what_was_measured_beside_what_the_shipped_model_says():
    found = rows_of(run())
    by_quantity = {row.quantity: row for row in found.rows}
    assert set(by_quantity) == {SPEED, ACCELERATOR_W}
    assert found.reasons == (f"no {HOST_W}: no sensor read it",)
    speed = by_quantity[SPEED]
    free = PLAN.model_copy(update={"schedule": PLAN.schedule.model_copy(update={"step_utilisation": None})})
    modelled = tonne.forecast(free)
    per_token = float(modelled.counts.training_flop) / 2e9
    assert speed.measured == pytest.approx(1e9 * per_token / (3800 * 64 * PEAK), rel=1e-3)
    assert speed.modelled == pytest.approx(
        modelled.inputs["achieved_peak_fraction"].value * modelled.inputs["pace"].value
    )
    assert speed.stack == ("nvidia-h100-sxm5-80gb", "torchtitan", "bf16", "dense-decoder")
    assert (speed.run, speed.made, speed.basis, speed.source) == ("r1", "1970-01-01", "measured", "run r1")
    watts = by_quantity[ACCELERATOR_W]
    assert (watts.measured, watts.low) == pytest.approx((600.0, 600 / 1.02))
    assert watts.modelled == pytest.approx(
        1e3 * modelled.account.energy.accelerators_kwh.value / modelled.account.accelerator_hours.value
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"plan": None}, "its plan is not known"),
        ({"hardware": {"NVIDIA A100-SXM4-80GB": 64}}, "it ran on NVIDIA A100-SXM4-80GB, its plan is for nvidia-h100"),
        ({"hardware": {}}, "it ran on hardware that nobody named"),
        ({"hardware": {"NVIDIA H100 80GB HBM3": 32}}, "it ran on 32 accelerators, its plan is for 64"),
        ({"account": None}, "nothing of it was measured"),
    ],
)
def test_a_run_that_says_nothing_of_its_stack_says_why(changes, reason):
    found = rows_of(run(**changes))
    assert found.rows == ()
    assert found.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"work": Work()}, "no speed: it did not tell its steps, tokens or FLOP"),
        ({"work": Work(tokens=10**7, steps=9)}, "no speed: 9 steps are mostly its start"),
        ({"work": Work(tokens=10**12, steps=954)}, "no speed: it would have reached"),
    ],
)
def test_a_speed_that_cannot_be_said_leaves_the_watts(changes, reason):
    found = rows_of(run(**changes))
    assert [row.quantity for row in found.rows] == [ACCELERATOR_W]
    assert found.reasons[0].startswith(reason)


def test_a_file_is_written_read_replaced_and_cut(tmp_path):
    path = tmp_path / "own" / "calibration.csv"
    assert own_runs(path) == ()
    first = rows_of(run()).rows
    second = tuple(replace(row, run="r2", source="run r2") for row in first)
    keep(path, first)
    keep(path, second)
    assert own_runs(path) == (*first, *second)
    faster = tuple(replace(row, measured=row.measured * 1.01, high=row.high * 1.01) for row in first)
    keep(path, faster)
    assert own_runs(path) == (*second, *faster)
    assert taken_out(path, "r2") == 2
    assert own_runs(path) == faster
    assert [one.name for one in path.parent.iterdir()] == ["calibration.csv"]


def test_a_run_that_the_file_does_not_hold_is_named(tmp_path):
    path = tmp_path / "calibration.csv"
    keep(path, rows_of(run()).rows)
    with pytest.raises(CalibrationError, match=r"holds no run 'r9'. It holds: r1\."):
        taken_out(path, "r9")


HEADER = ",".join(COLUMNS) + "\n"
BEGIN = "r1,x,achieved_peak_fraction,c,8,f,bf16,moe,m,c"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "does not begin with the columns run,made,quantity"),
        (f"{HEADER}{BEGIN},half,1,1,1,v,measured,s\n", "line 2: a number is none"),
        (f"{HEADER}{BEGIN},0.5,0.6,0.7,1,v,measured,s\n", "line 2: achieved_peak_fraction=0.5"),
        (f"{HEADER}{BEGIN.replace('achieved_peak_fraction', 'speed')},1,1,1,1,v,measured,s\n", "line 2: speed=1 "),
        (f"{HEADER}{BEGIN}\n", "line 2: a number is none"),
    ],
    ids=["columns", "no number", "order", "quantity", "cut line"],
)
def test_a_damaged_file_says_where(tmp_path, text, words):
    path = tmp_path / "calibration.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationError, match=words):
        own_runs(path)


def test_a_folder_that_refuses_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CalibrationError, match="TONNE_CALIBRATION"):
        keep(tmp_path / "file" / "calibration.csv", rows_of(run()).rows)


def test_the_speed_of_a_capped_run_stands_beside_that_of_a_capped_model():
    """A cap of 560 W on boards that draw 616 W, 0.88 of their 700 W, costs ((616 - 254.1) / (560 - 254.1))^(1/3.94)."""
    capped = PLAN.model_copy(update={"cluster": PLAN.cluster.model_copy(update={"power_cap_w": 560.0})})
    found = rows_of(run(plan=plain(capped)))
    assert found.reasons == (f"no {ACCELERATOR_W}: its power was capped",)
    [row], [free] = found.rows, [row for row in rows_of(run()).rows if row.quantity == SPEED]
    assert row.measured == free.measured
    assert free.modelled / row.modelled == pytest.approx((361.9 / 305.9) ** (1 / 3.94))


def test_the_next_forecast_of_the_plan_is_near_the_run():
    """The circle: a run is measured, its rows are kept, and the plan is forecast anew from the file."""
    rows = rows_of(run()).rows
    free = PLAN.model_copy(update={"schedule": PLAN.schedule.model_copy(update={"step_utilisation": None})})
    before, after = tonne.forecast(free).account, tonne.forecast(free, shipped().with_own(rows)).account
    stepping_s = 2 * 3800.0  # for 2e9 tokens
    truth = stepping_s / 0.95
    assert abs(after.duration_s.value / truth - 1) < 0.01
    assert abs(before.duration_s.value / truth - 1) > 0.1
    assert after.duration_s.high / after.duration_s.low < (before.duration_s.high / before.duration_s.low) ** 0.5
