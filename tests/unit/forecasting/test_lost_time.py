"""Goodput of a plan by its size, and what published runs recovered."""

from __future__ import annotations

import pytest

from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError
from tonne.forecasting import forecast
from tonne.forecasting.lost_time import recovery_share
from tonne.forecasting.many import forecast_many
from tonne.reference.table import table


def plan(accelerators, tokens, schedule=None, **sections):
    return TrainingPlan.from_fields(
        {
            "architecture": {"preset": "gpt-neo-1.3b"},
            "data": {"tokens": tokens, "sequence_length": 1024},
            "training": {"global_batch_sequences": 512},
            "cluster": {"accelerator": "A100-80GB", "accelerators": accelerators},
            "schedule": schedule or {},
            **sections,
        }
    )


def goodput(*args, **fields):
    return forecast(plan(*args, **fields)).account.throughput.goodput


def test_few_accelerators_lose_the_routine_and_hardly_more():
    found = goodput(8, 1e9)
    assert 0.93 < found.value < 0.97
    assert found.low > 0.85


def test_many_lose_more():
    found = [goodput(n, 1e12).value for n in (1, 8, 64, 512, 4096)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.9


def test_time_between_failures_of_the_users_own():
    # a failure of one in 1,000 h, 512 of them: 1.4222e-4 a second; checkpoints of 10 s every 375 s; 60 s to restart:
    # 1 / (1 + 1.4222e-4 (60 + 187.5) + 10 / 375) = 0.94173; both surely meet a failure
    found = goodput(512, 1e13, {"accelerator_mtbf_h": 1000, "restart_s": 60, "checkpoint_s": 10})
    # the usual: 3.1189e-6 a second, checkpoints of 40 s every 5,064.5 s, 216 s to restart:
    # 1 / (1 + 3.1189e-6 (216 + 2532.2) + 40 / 5064.5) = 0.98373
    assert found.value / goodput(512, 1e13).value == pytest.approx(0.94173 / 0.98373, rel=1e-3)


def test_goodput_that_is_given_stands():
    assert goodput(512, 1e13, {"goodput": 0.8}).value == 0.8


def test_no_time_between_failures_is_told():
    with pytest.raises(DescriptionError, match="accelerator_mtbf_h"):
        plan(8, 1e9, {"accelerator_mtbf_h": 0})


def test_pace_is_that_of_runs_whose_layout_is_not_known():
    layout = {"parallelism": {"data": 8}}
    given, measured = plan(8, 1e9, **layout), plan(8, 1e9, {"measured_step_s": 5.0})
    free = forecast(plan(8, 1e9))
    lost = free.account.throughput.goodput.value * free.inputs["pace"].value
    useful_s = free.account.throughput.step_time_s.value * 1e9 / (512 * 1024)
    assert free.account.duration_s.value == pytest.approx(useful_s / lost)
    assert "pace" not in forecast(given).inputs
    assert "pace" not in forecast(measured).inputs


def test_a_measured_step_is_the_step():
    found = forecast(plan(8, 1e9, {"measured_step_s": 5.0})).account.throughput
    assert found.step_time_s.value == pytest.approx(5.0)


def test_many_fields_of_failures_are_those_of_one_by_one():
    many = forecast_many(plan(512, 1e12), {"schedule.accelerator_mtbf_h": [1e3, 1e4, 1e5]})
    each = [goodput(512, 1e12, {"accelerator_mtbf_h": m}).value for m in (1e3, 1e4, 1e5)]
    assert many.account.throughput.goodput.value.tolist() == pytest.approx(each, rel=1e-12)


def test_recovery_by_hand():
    # 16,384 surely meet failures: best 1 / 1.110914; shares 0.6, 0.7 and 0.8 of it after the routine's 0.97
    best = 0.97 / 1.110914
    rows = [{"accelerators": "16384", "useful_share": str(k * best)} for k in (0.6, 0.7, 0.8)]
    found = recovery_share(rows)
    assert found.value == pytest.approx(0.7, rel=1e-4)
    # one below and one above: the spread to either side is that of the one
    assert found.low == pytest.approx(0.7 * (0.6 / 0.7) ** 1.6449, rel=1e-3)
    assert found.high == pytest.approx(0.7 * (0.8 / 0.7) ** 1.6449, rel=1e-3)


def test_few_that_lost_say_more_of_recovery_than_many():
    # p = 1/2 at ln 2 x 45,600 / 720 = 43.9 accelerators: what they kept beside is the root of what recovery keeps;
    # best: 2.6742e-7 a second, every 17,295 s: 1 / (1 + 2.6742e-7 (216 + 8647.6) + 40 / 17295) = 0.99533
    row = {"accelerators": "43.9", "useful_share": str(0.97 * 0.99533 * 0.9)}
    assert recovery_share([row]).value == pytest.approx(0.81, rel=1e-3)


def test_nobody_recovers_more_than_there_is():
    row = {"accelerators": "8", "useful_share": "1"}
    assert recovery_share([row]).value == 1.0


def test_evidence_can_be_traced():
    sources = {row["key"] for row in table("sources")}
    assert {row["source"] for row in table("recovery_evidence")} <= sources
    for row in table("recovery_evidence"):
        assert 0 < float(row["useful_share"]) <= 1
        assert row["locator"]
        assert row["basis"] in {"published", "modelled"}
