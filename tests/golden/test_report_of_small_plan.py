"""The whole report of a small plan. After a change that is meant, write it anew and review it like code:

tonne forecast tests/golden/plan.toml > tests/golden/forecast.txt
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.describe.plan import TrainingPlan
from tonne.forecasting import forecast

HERE = Path(__file__).resolve().parent


def test_report_of_small_plan():
    result = CliRunner().invoke(app, ["forecast", str(HERE / "plan.toml")])
    assert result.exit_code == 0
    assert result.stdout == (HERE / "forecast.txt").read_text(encoding="utf-8")


def test_numbers_of_small_plan_by_hand():
    # FLOP per token: 6 x (12 layers x 12 x 768^2 matrices + 50257 x 768 logits) + 6 x 12 x 768 x 1025 causal attention
    per_token = 6 * (12 * 12 * 768**2 + 50257 * 768) + 6 * 12 * 768 * 1025
    stepping_s = 10e9 * per_token / (8 * 312e12 * 0.4)
    hours = 8 * stepping_s / 0.9 / 3600
    account = forecast(TrainingPlan.from_toml(HERE / "plan.toml")).account
    assert account.duration_s.value == pytest.approx(stepping_s / 0.9, rel=1e-12)
    assert account.accelerator_hours.value == pytest.approx(hours, rel=1e-12)
    at_full_power_kwh = hours * (300 + 150 + 50) / 1000
    assert account.energy.it_kwh.value <= at_full_power_kwh  # accelerators draw less in the tenth that is lost
    assert account.energy.it_kwh.value >= hours * (0.9 * 300 + 150 + 50) / 1000
    facility = 1.25 * account.energy.it_kwh.value
    assert account.energy.facility_kwh.value == pytest.approx(facility, rel=1e-12)
    assert account.carbon.operational_location_kgco2e.value == pytest.approx(0.4 * facility, rel=1e-12)
    assert account.carbon.operational_market_kgco2e.value == 0
    assert account.water_l.value == pytest.approx(1.8 * account.energy.it_kwh.value + 3 * facility, rel=1e-12)
    assert account.cost_usd.value == pytest.approx(0.1 * facility, rel=1e-12)
