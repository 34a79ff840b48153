"""Pairs of models of one stack, by hand from a few rows; and the table that the package ships."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from tonne.calibrate import own_spreads
from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.own_spreads import model_pairs, model_spreads, pace_spread
from tonne.reference.own_runs import model_log_half_width, scale_log_half_width
from tonne.reference.own_runs import model_spreads as shipped_spreads
from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import table

FOUNDRY = ("T0001", "T0002", "T0003")  # MPT-70B on 512, 256 and 128 H100


@pytest.fixture(scope="module")
def steps():
    return measured_steps(table("throughput"))


def test_pairs_are_of_two_models_of_one_stack(steps):
    pairs = list(model_pairs(steps))
    assert pairs
    for one, other in pairs:
        assert one.model != other.model
        assert (one.source, one.kind, one.recipe) == (other.source, other.kind, other.recipe)
        assert one.plan.cluster.record.id == other.plan.cluster.record.id
    of_one_model = [step for step in steps if step.id in FOUNDRY]
    assert list(model_pairs(of_one_model)) == []


def test_spread_is_that_of_the_differences(monkeypatch):
    monkeypatch.setattr(own_spreads, "LEAST_PAIRS", 1)
    plan = SimpleNamespace(
        software=SimpleNamespace(framework="f", released=None),
        cluster=SimpleNamespace(record=SimpleNamespace(id="chip")),
        training=SimpleNamespace(precision="bf16"),
    )
    rows = [
        SimpleNamespace(id=name, source="s", kind="dense", recipe="bf16", model=name, plan=plan)
        for name in ("a", "b", "c")
    ]
    errors = {"a": 0.10, "b": 0.13, "c": 0.20}  # differences 0.03, 0.07 and 0.10
    residuals = [SimpleNamespace(id=name, log_error=lambda _, error=error: error) for name, error in errors.items()]
    (found,) = model_spreads(rows, residuals)
    assert (found.kind, found.precision, found.pairs) == ("dense", "16-bit", 3)
    assert (found.median, found.log_half_width) == pytest.approx((0.07, 0.10))  # the ceil(0.9 x 4) = 4th is the last


def test_spread_of_pace_is_that_of_runs_of_one_organisation(monkeypatch):
    ratios = {"a": 0.8, "b": 0.88, "c": 0.5}
    monkeypatch.setattr(own_spreads, "pace_evidence", lambda rows, _: [SimpleNamespace(ratio=ratios[rows[0]["id"]])])
    rows = [{"id": name, "org": "x" if name != "c" else "y", "chip": "chip", "kind": "decoder"} for name in ratios]
    found = pace_spread(rows, None)
    assert (found.kind, found.pairs, found.median) == ("pace", 1, pytest.approx(math.log(1.1)))


def test_the_shipped_spreads_are_those_of_the_shipped_residuals(steps):
    shipped = {(s.kind, s.precision): s for s in shipped_spreads()}
    for found in model_spreads(steps, step_residuals()):
        same = shipped.pop((found.kind, found.precision))
        assert (same.pairs, same.log_half_width) == (found.pairs, pytest.approx(found.log_half_width, rel=1e-3))
    assert set(shipped) == {("pace", "*")}


def test_half_widths_by_kind_precision_and_scale():
    assert model_log_half_width("dense", "bf16") == 0.1392
    assert model_log_half_width("dense", "bf16", laid_out=False) == 0.3922
    assert model_log_half_width("moe", "fp8", laid_out=False) == 0.50582  # mixtures in 8 bits differ by more than pace
    assert scale_log_half_width("dense", "bf16", 1.0) == 0.078204
    assert scale_log_half_width("dense", "fp8", 4.0) == 0.28486
    assert scale_log_half_width("dense", "fp8", 500.0) == 0.28486  # farther than any pair: no surer than those
    assert scale_log_half_width("moe", "bf16", 2.0) == 0.3025  # no pairs of scales: as unsure as a forecast
