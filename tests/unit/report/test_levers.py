"""Levers are forecasts of the changed plan."""

from __future__ import annotations

import pytest

from tonne.describe.plan import TrainingPlan
from tonne.forecasting import forecast
from tonne.report.levers import levers

PLAN = {
    "schedule": {"accelerator_hours": 1000.0},
    "cluster": {
        "accelerator": "A100-SXM4-80GB",
        "accelerator_power_w": 300,
        "host_power_w": 150,
        "network_power_w": 50,
    },
    "site": {"grid_gco2e_per_kwh": 400, "pue": 1.3},
}


def test_move_changes_carbon_as_the_grids_do_and_nothing_else():
    there = forecast(TrainingPlan.from_fields({**PLAN, "site": {"grid": "FR", "pue": 1.3}}))
    france = there.inputs["grid_gco2e_per_kwh"].value
    lever = next(lever for lever in levers(forecast(TrainingPlan.from_fields(PLAN))) if lever.name == "--grid FR")
    assert lever.carbon_change == pytest.approx(france / 400 - 1)
    assert lever.energy_change == pytest.approx(0)
    assert lever.saved_kgco2e == pytest.approx(1000 * 0.5 * 1.3 * (400 - france) / 1000)  # 500 W an accelerator


def test_cleanest_place_has_no_place_to_move_to():
    found = levers(forecast(TrainingPlan.from_fields({**PLAN, "site": {"grid_gco2e_per_kwh": 1, "pue": 1.3}})))
    assert not [lever for lever in found if lever.name.startswith("--grid")]


def test_no_place_no_move():
    found = levers(forecast(TrainingPlan.from_fields({**PLAN, "site": {}})))
    assert not [lever for lever in found if lever.name.startswith("--grid")]
