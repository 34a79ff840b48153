"""Own measured runs in a forecast: moved and narrowed by what runs have in common, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import tonne
from tonne.estimate import Basis, Estimate
from tonne.forecasting import own
from tonne.forecasting.own import Marks, combined, marks_of, solved
from tonne.reference import DATA_VERSION
from tonne.reference.calibration import shipped
from tonne.reference.grids import grid
from tonne.reference.own_runs import ACCELERATOR_W, SPEED, OwnRun
from tonne.report.levers import levers
from tonne.report.text import lines

STACK = ("nvidia-h100-sxm5-80gb", "in-house", "bf16", "dense-decoder")
MARKS = Marks(stack=STACK, model="m1", configuration="c1", accelerators=64)
R, S, M, PACED = 0.028589, 0.078204, 0.1392, 0.3922  # time_model_scales.csv and model_spreads.csv
HALF = math.log(1.5)
MODEL = Estimate(value=0.4, low=0.4 / 1.5, high=0.4 * 1.5, basis=Basis.MODELLED)
Z2 = 1.6448536269514722**2


def row(measured, **changes):
    fields = {
        "run": "r1", "made": "2026-11-27", "quantity": SPEED, "accelerator": STACK[0], "accelerators": 64,
        "framework": STACK[1], "precision": STACK[2], "kind": STACK[3], "model": "m1", "configuration": "c1",
        "measured": measured, "low": measured, "high": measured, "modelled": 0.5, "data_version": DATA_VERSION,
        "basis": "measured", "source": "run r1",
    }  # fmt: skip
    return OwnRun(**{**fields, **changes})


def test_the_same_run_again_differs_by_what_no_run_repeats():
    found = combined(MODEL, [row(0.45)], MARKS)
    y, v = math.log(0.45 / 0.5), HALF**2
    shared = v - R**2  # stack, model and configuration
    assert found.value == pytest.approx(0.4 * math.exp(y * shared / v))
    assert math.log(found.high / found.value) == pytest.approx(math.sqrt(v - shared**2 / v))  # 0.040: 2 r^2
    assert found.sources[-1] == "own calibration: r1"
    assert found.basis is Basis.MODELLED


def test_another_model_of_the_stack_shares_less():
    found = combined(MODEL, [row(0.45, model="m2", configuration="c2")], MARKS)
    y, v = math.log(0.45 / 0.5), HALF**2
    shared = v - M**2 / 2  # a run's, the configuration's and the model's part: half of what two runs differ by
    assert found.value == pytest.approx(0.4 * math.exp(y * shared / v))
    assert math.log(found.value / found.low) == pytest.approx(math.sqrt(v - shared**2 / v))  # 0.14


def test_a_stack_that_the_time_model_was_fitted_on_says_nothing_of_another_model():
    fitted = replace(MARKS, stack=(STACK[0], "nemo", *STACK[2:]))
    rows = [row(0.45, model="m2", configuration="c2", framework="nemo")]
    assert combined(MODEL, rows, fitted) is MODEL
    assert combined(MODEL, rows, fitted, laid_out=False).value < MODEL.value  # its pace is its own


def test_another_scale_of_the_model_shares_all_but_the_configuration():
    found = combined(MODEL, [row(0.45, configuration="c2", accelerators=16)], MARKS)
    v = HALF**2
    shared = v - S**2 / 2
    assert math.log(found.high / found.value) == pytest.approx(math.sqrt(v - shared**2 / v))


def test_without_layouts_another_model_says_less_still():
    found = combined(MODEL, [row(0.45, model="m2", configuration="c2")], MARKS, laid_out=False)
    v = HALF**2
    shared = v - PACED**2 / 2
    assert math.log(found.high / found.value) == pytest.approx(math.sqrt(v - shared**2 / v))


def test_two_models_of_the_stack_say_more_than_one():
    rows = [row(0.45, model="m2", configuration="c2"), row(0.45, run="r2", model="m3", configuration="c3")]
    y, v = math.log(0.45 / 0.5), HALF**2
    shared = v - M**2 / 2
    # K = [[v, a], [a, v]], k = [a, a]: k' K^-1 y = 2 a y / (v + a)
    found = combined(MODEL, rows, MARKS)
    assert found.value == pytest.approx(0.4 * math.exp(2 * shared * y / (v + shared)))
    assert math.log(found.high / found.value) == pytest.approx(math.sqrt(v - 2 * shared**2 / (v + shared)))


def test_runs_that_differ_by_more_than_is_known_widen():
    close = [row(0.45), row(0.46, run="r2")]
    apart = [row(0.35), row(0.60, run="r2")]
    width = {name: math.log(combined(MODEL, rows, MARKS).high / combined(MODEL, rows, MARKS).value)
             for name, rows in (("close", close), ("apart", apart))}  # fmt: skip
    v, a = HALF**2, HALF**2 - R**2
    left = v - 2 * a**2 / (v + a)
    assert width["close"] == pytest.approx(math.sqrt(left))
    y1, y2 = math.log(0.35 / 0.5), math.log(0.60 / 0.5)
    seen = Z2 * (v * y1**2 - 2 * a * y1 * y2 + v * y2**2) / (v**2 - a**2)  # y' K^-1 y of two rows
    assert width["apart"] == pytest.approx(math.sqrt(left * (4 + seen) / 6))


def test_a_vague_measurement_counts_for_less():
    sharp, vague = (combined(MODEL, [row(0.45, low=0.45 / x, high=0.45 * x)], MARKS) for x in (1.0, 1.5))
    # the measurement's own half-width is ln 1.5, as the model's: half of the way
    y, v = math.log(0.45 / 0.5), HALF**2
    assert vague.value == pytest.approx(0.4 * math.exp(y * (v - R**2) / (2 * v)))
    assert vague.high / vague.value > sharp.high / sharp.value


def test_an_exact_number_stays():
    exact = Estimate.exact(0.4)
    assert combined(exact, [row(0.45)], MARKS) is exact


def test_linear_equations_are_solved():
    assert solved([[2.0, 1.0], [1.0, 3.0]], [5.0, 10.0]) == pytest.approx([1.0, 3.0])


FIELDS = {
    "architecture": {"preset": "llama-2-7b"},
    "data": {"tokens": 2e9, "sequence_length": 4096},
    "training": {"global_batch_sequences": 256, "precision": "bf16"},
    "software": {"framework": "in-house", "released": "2025-06"},
    "cluster": {"accelerator": "H100-SXM5-80GB", "accelerators": 64},
    "schedule": {"goodput": 0.95},
    "site": {"grid": "DE", "pue": 1.2},
}


def plan(**sections):
    return tonne.TrainingPlan.from_fields({**FIELDS, **sections})


def own_row(of_plan, ratio, quantity=SPEED, **changes):
    """A run of a plan that was so much faster, or drew so much more, than the shipped model says."""
    made, marks = tonne.forecast(of_plan), marks_of(of_plan)
    pace = made.inputs.get("pace")
    modelled = made.inputs[quantity].value * (pace.value if pace is not None and quantity == SPEED else 1.0)
    chip, framework, precision, kind = marks.stack
    return row(
        ratio * modelled, quantity=quantity, accelerator=chip, framework=framework, precision=precision, kind=kind,
        model=marks.model, configuration=marks.configuration, accelerators=marks.accelerators,
        low=ratio * modelled, high=ratio * modelled, modelled=modelled, **changes,
    )  # fmt: skip


def width(estimate):
    return math.log(estimate.high / estimate.low)


@pytest.mark.parametrize("ratio", [0.75, 1.2])
def test_after_a_run_the_next_forecast_of_its_stack_is_closer_and_surer(ratio):
    """The truth: this stack runs at 0.75, or 1.2, of the modelled speed, whatever the model."""
    run, later = (
        plan(),
        plan(architecture={"preset": "llama-2-13b"}, cluster={**FIELDS["cluster"], "accelerators": 128}),
    )
    before = tonne.forecast(later).account.duration_s
    truth = before.value / ratio
    after = tonne.forecast(later, shipped().with_own([own_row(run, ratio)])).account.duration_s
    assert abs(math.log(after.value / truth)) < 0.5 * abs(math.log(before.value / truth))
    assert width(after) < 0.8 * width(before)
    again = tonne.forecast(run, shipped().with_own([own_row(run, ratio)])).account.duration_s
    assert again.value == pytest.approx(tonne.forecast(run).account.duration_s.value / ratio, rel=0.01)
    assert width(again) < width(after)


def test_pace_goes_into_the_own_speed_and_is_said_no_more():
    made = tonne.forecast(plan(), shipped().with_own([own_row(plan(), 1.1)]))
    assert "pace" in tonne.forecast(plan()).inputs
    assert "pace" not in made.inputs
    assert not any(note.startswith("pace:") for note in made.notes)
    assert any("own calibration: speed by 1 measured run (r1) of dense-decoder" in note for note in made.notes)


def test_levers_of_a_forecast_rest_on_the_same_runs():
    own = shipped().with_own([own_row(plan(), 0.5)])  # half as fast, and so twice the energy
    planned = plan(site={"grid": "PL", "pue": 1.2})
    made = tonne.forecast(planned, own)
    assert made.account.duration_s.value > 1.5 * tonne.forecast(planned).account.duration_s.value
    moved = next(one for one in levers(made, own) if one.name == "--grid FR")
    assert (moved.energy_change, moved.duration_change) == (pytest.approx(0.0), pytest.approx(0.0))
    france, poland = (grid(zone).record.gco2e_per_kwh for zone in ("FR", "PL"))
    assert moved.carbon_change == pytest.approx(france / poland - 1)
    assert f"--grid FR {france / poland - 1:+.0%} CO2e" in " ".join(" ".join(lines(made, own)).split())


def test_watts_are_moved_too():
    made = tonne.forecast(plan(), shipped().with_own([own_row(plan(), 1.05, ACCELERATOR_W)]))
    plain = tonne.forecast(plan())
    assert made.inputs[ACCELERATOR_W].value / plain.inputs[ACCELERATOR_W].value == pytest.approx(1.05, rel=0.01)
    assert width(made.inputs[ACCELERATOR_W]) < 0.6 * width(plain.inputs[ACCELERATOR_W])
    assert made.inputs[SPEED] == plain.inputs[SPEED]


def test_a_cap_limits_the_watts_that_own_runs_drew():
    """Boards that draw 501 W, where the model says 616, never meet a cap of 560 W: nothing changes."""
    own = shipped().with_own([own_row(plan(), 0.8, ACCELERATOR_W)])
    capped = tonne.forecast(plan(cluster={**FIELDS["cluster"], "power_cap_w": 560.0}), own)
    free = tonne.forecast(plan(), own)
    assert free.inputs[ACCELERATOR_W].high < 560
    assert capped.inputs[ACCELERATOR_W] == free.inputs[ACCELERATOR_W]
    for figure in ("duration_s", "cost_usd"):
        assert getattr(capped.account, figure).value == pytest.approx(getattr(free.account, figure).value)
    assert capped.account.energy.it_kwh.value == pytest.approx(free.account.energy.it_kwh.value)
    assert any("own calibration: accelerator power" in note for note in capped.notes)


@pytest.mark.parametrize(
    "sections",
    [
        {"software": {"framework": "torchtitan"}},
        {"training": {"global_batch_sequences": 256, "precision": "fp8"}},
        {"cluster": {"accelerator": "H200", "accelerators": 64}},
        {"training": {"global_batch_sequences": 256, "precision": "bf16", "lora": {"rank": 8}}},
        {"schedule": {"step_utilisation": 0.4, "goodput": 0.95}},
        {"schedule": {"measured_step_s": 1.5, "goodput": 0.95}},
    ],
    ids=["framework", "precision", "chip", "adapters", "utilisation given", "step given"],
)
def test_another_stack_or_a_given_speed_is_left_alone(sections):
    other = plan(**sections)
    rows = [own_row(plan(), 1.2)]
    assert tonne.forecast(other, shipped().with_own(rows)).inputs == tonne.forecast(other).inputs


def test_rows_of_other_tables_are_not_used_and_said():
    old = replace(own_row(plan(), 1.2), data_version="2020.01")
    made = tonne.forecast(plan(), shipped().with_own([old]))
    assert made.inputs == tonne.forecast(plan()).inputs
    assert any("r1 stood beside other tables than these, and is not used" in note for note in made.notes)


def test_many_plans_are_moved_as_one():
    calibration = shipped().with_own([own_row(plan(), 1.2)])
    sizes = np.array([128.0, 192.0])
    many = tonne.forecast_many(plan(parallelism=LAYOUT), {"cluster.power_cap_w": [500.0, 600.0]}, calibration)
    alone = [
        tonne.forecast(plan(parallelism=LAYOUT, cluster={**FIELDS["cluster"], "power_cap_w": cap}), calibration)
        for cap in (500.0, 600.0)
    ]
    assert many.account.duration_s.high == pytest.approx([one.account.duration_s.high for one in alone])
    scaled = tonne.forecast_many(plan(), {"cluster.accelerators": sizes}, calibration).account.duration_s
    one = tonne.forecast(plan(cluster={**FIELDS["cluster"], "accelerators": 128}), calibration).account.duration_s
    assert scaled.value[0] == pytest.approx(one.value, rel=0.02)
    assert (scaled.low < scaled.value).all()


LAYOUT = {"data": 64, "sharding": "zero-3"}


def test_marks_tell_models_and_configurations_apart():
    one, same = marks_of(plan()), marks_of(plan(name="another name"))
    assert one == same
    longer = marks_of(plan(data={"tokens": 9e9, "sequence_length": 4096}))
    assert longer == one  # more of the same steps
    other_batch = marks_of(plan(training={"global_batch_sequences": 512, "precision": "bf16"}))
    assert (other_batch.model, other_batch.configuration == one.configuration) == (one.model, False)
    assert marks_of(plan(architecture={"preset": "llama-2-13b"})).model != one.model
    assert len(one.model) == own.MARK
