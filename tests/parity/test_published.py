"""Published figures of energy and CO2e, from the constants that the papers print; nothing read from our tables."""

from __future__ import annotations

import pytest

from tonne.describe.plan import TrainingPlan
from tonne.forecasting import forecast

# Patterson et al. 2021 (arXiv:2104.10350), table 4: chip, chips, days, W, PUE, g/kWh, MWh, t CO2e (gross)
PATTERSON = {
    "Evolved Transformer NAS": ("TPU v2", 200, 6.8, 208, 1.10, 431, 7.5, 3.2),
    "T5": ("TPU v3", 512, 20, 310, 1.12, 545, 85.7, 46.7),
    "Meena": ("TPU v3", 1024, 30, 289, 1.09, 415, 232, 96.4),
    "GShard-600B": ("TPU v3", 1024, 3.1, 288, 1.09, 201, 24.1, 4.8),
    "Switch Transformer": ("TPU v3", 1024, 27, 245, 1.10, 403, 179, 72.2),
    "GPT-3": ("V100 SXM2 32GB", 10000, 14.8, 330, 1.10, 429, 1287, 552.1),
}


def account(chip, hours, watts, pue, grid):
    plan = {
        "cluster": {"accelerator": chip, "accelerator_power_w": watts, "host_power_w": 0, "network_power_w": 0},
        "site": {"pue": pue, "grid_gco2e_per_kwh": grid},
        "schedule": {"accelerator_hours": hours},
    }
    return forecast(TrainingPlan.model_validate(plan)).account


@pytest.mark.parametrize("name", PATTERSON)
def test_patterson_2021_table_4_within_its_print(name):
    chip, chips, days, watts, pue, grid, mwh, tonnes = PATTERSON[name]
    found = account(chip, chips * days * 24, watts, pue, grid)
    assert found.energy.facility_kwh.value / 1000 == pytest.approx(mwh, rel=0.008)
    assert found.carbon.operational_location_kgco2e.value / 1000 == pytest.approx(tonnes, rel=0.008)


def test_bloom_to_the_digit():
    # Luccioni et al. 2022 (arXiv:2211.02001): 1,082,990 GPU-hours x 400 W, 57 g/kWh, no PUE: 433,196 kWh, 24.69 t
    found = account("A100 SXM4 80GB", 1_082_990, 400, 1.0, 57)
    assert round(found.energy.accelerators_kwh.value) == 433_196
    assert round(found.carbon.operational_location_kgco2e.value / 1000, 2) == 24.69


def test_palm_to_the_digit():
    # Chowdhery et al. 2022, appendix B: 6144 chips x 1200 h + 3072 x 336 h, 378.5 W, PUE 1.08, 79 g/kWh: 271.43 t
    found = account("TPU v4", 6144 * 1200 + 3072 * 336, 378.5, 1.08, 79)
    assert round(found.carbon.operational_location_kgco2e.value / 1000, 2) == 271.43
