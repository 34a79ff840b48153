"""Coefficients of serving: the fit finds what made the data, and the table is what the fit gives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tonne.calibrate.inference import (
    NEUTRAL,
    PRIORS,
    fitted_power,
    fitted_times,
    gate_runs,
    quantiles,
    table_rows,
    widening,
)
from tonne.forecasting.served_runs import forecast_s, forecast_w, measured_w
from tonne.reference.inference_coefficients import QUANTITIES, inference_coefficients
from tonne.reference.table import table

pytestmark = pytest.mark.slow  # hundreds of rows are fitted

MADE_WITH = {
    "prefill_peak_fraction": 0.6,
    "bandwidth_fraction": 0.8,
    "experts_fraction": 0.5,
    "link_fraction": 0.5,
    "layer_s": 60e-6,
    "latency_s": 30e-6,
}


def test_fit_finds_the_coefficients_that_made_the_times():
    rows = [replace(row, measured_s=forecast_s(row, NEUTRAL | MADE_WITH)) for row in gate_runs()]
    found = fitted_times(rows)
    for name in ("prefill_peak_fraction", "bandwidth_fraction", "layer_s"):
        assert found[name] == pytest.approx(MADE_WITH[name], rel=0.12), name


def test_fit_finds_the_activities_that_made_the_watts():
    times = {name: prior.value for name, prior in PRIORS.items()}
    made = NEUTRAL | times | {"memory_activity": 0.7, "resting_activity": 0.3}
    rows = []
    for row in gate_runs():
        if measured_w(row) is not None:
            watts = forecast_w(row, made) * row.run.accelerators
            rows.append(replace(row, run=replace(row.run, energy_j_per_output_token=watts / row.run.tokens_per_s)))
    found = fitted_power(rows, times)
    assert found["memory_activity"] == pytest.approx(0.7, rel=0.1)  # its prior of 0.6 pulls a little


def test_coefficients_stay_within_what_is_possible():
    for name, prior in PRIORS.items():
        assert prior.least <= inference_coefficients()[name].value <= prior.most


def test_every_fit_has_every_coefficient():
    keys = {row["left_out"] for row in table("inference_coefficients")}
    assert keys >= {"", "gptfast2023", "mlenergy2026leaderboard"}
    for key in keys:
        assert set(inference_coefficients(key)) == set(QUANTITIES)


def test_without_the_only_metered_source_the_activities_are_assumed():
    assert inference_coefficients("mlenergy2026leaderboard")["memory_activity"].basis == "assumed"
    assert inference_coefficients()["memory_activity"].basis == "modelled"


def test_quantiles_count_weights():
    assert quantiles([(3.0, 1.0), (1.0, 1.0), (2.0, 8.0)]) == (2.0, 1.0, 3.0)


def test_few_sources_widen_the_interval():
    # Student's t at 6 degrees of freedom is 1.943; over 1.645, times sqrt(8 / 7)
    assert widening(7) == pytest.approx(1.943 / 1.645 * math.sqrt(8 / 7), rel=0.002)
    assert widening(2) > widening(3) > widening(7)


def test_the_shipped_table_is_what_the_fit_gives():
    shipped = list(table("inference_coefficients"))
    fitted = table_rows()
    assert [(row["quantity"], row["left_out"]) for row in shipped] == [(r["quantity"], r["left_out"]) for r in fitted]
    for row, again in zip(shipped, fitted, strict=True):
        assert float(row["value"]) == pytest.approx(float(again["value"]), rel=0.02), row
