"""Equations of time, energy and impact: numbers by hand, and dimensions by pint."""

from functools import cache

import pytest

from tonne.energy import power
from tonne.impact import equations as impact
from tonne.timing import collectives, operations, power_cap, steps


@cache
def units():
    import pint  # a second

    return pint.UnitRegistry()


def test_gpt3_by_hand():
    # Patterson 2021, table 4: 3,552,000 V100-hours x 330 W x 1.1 = 1,289 MWh; printed 1,287 (rounded days)
    it_kwh = power.part_kwh(3_552_000, 330)
    assert it_kwh == pytest.approx(1_172_160)
    assert power.facility_kwh(it_kwh, 1.1) == pytest.approx(1_289_376)
    assert impact.operational_kgco2e(1_287_000, 429) == pytest.approx(552_123)


def test_bloom_by_hand():
    # Luccioni 2022: 1,082,990 h x 400 W = 433,196 kWh; x 57 g/kWh = 24.69 t
    assert power.accelerators_kwh(1_082_990, 400, 1.0, 0.6) == 433_196.0
    assert impact.operational_kgco2e(433_196, 57) == pytest.approx(24_692.172)


def test_palm_by_hand():
    # (6144 x 1200 h + 3072 x 336 h) x 378.5 W x 1.08 x 0.079 kg/kWh = 271.43 t
    hours = 6144 * 1200 + 3072 * 336
    kwh = power.facility_kwh(power.part_kwh(hours, 378.5), 1.08)
    assert round(impact.operational_kgco2e(kwh, 79) / 1000, 2) == 271.43


def test_gpt3_water_by_hand():
    # 1,287 MWh x 0.55 = 0.708 ML on site; x PUE 1.17 x 3.142 = 4.731 ML off site; together 5.44 ML
    on_site = impact.water_on_site_l(1_287_000, 0.55)
    off_site = impact.water_off_site_l(1_287_000 * 1.17, 3.142)
    assert (round(on_site / 1e6, 3), round(off_site / 1e6, 3)) == (0.708, 4.731)
    assert round((on_site + off_site) / 1e6, 2) == 5.44


def test_time_by_hand():
    # 3.12e20 FLOP on 100 chips of 312 TFLOP/s at half their peak: 20,000 s; goodput 0.8: 25,000 s
    useful = steps.useful_time_s(3.12e20, 100, 312e12, 0.5)
    assert useful == pytest.approx(20_000)
    assert steps.duration_s(useful, 0.8) == pytest.approx(25_000)
    assert steps.accelerator_hours(25_000, 100) == pytest.approx(694.444, rel=1e-5)


def test_lost_time_burns_its_own_power():
    # 10 h x 100 W, 80 % useful, the rest at 60 %: 1 kWh x (0.8 + 0.2 x 0.6)
    assert power.accelerators_kwh(10, 100, 0.8, 0.6) == pytest.approx(0.92)


@pytest.mark.parametrize(("kept", "least", "most"), [(0.9, 0.95, 1.07), (0.8, 0.98, 1.14), (0.7, 1.03, 1.21)])
def test_cap_slows_as_measured_on_four_gpus(kept, least, most):
    # Zeus traces: range of the slow-down at 90, 80 and 70 % of the uncapped power (here 0.9 of a 300 W board)
    assert least <= power_cap.slow_down(270.0, kept * 270.0, 300.0) <= most


def test_embodied_by_hand():
    # 8766 h x 4 years x 0.5 in use = 17,532 h of life; half of it bears half of 200 kg
    assert impact.embodied_kgco2e(8_766, 200.0, 4.0, 0.5) == pytest.approx(100.0)


def test_dimensions_are_sound():
    hours, watt, kwh = units().hour, units().watt, units().kilowatt_hour
    flop = units().count
    useful = steps.useful_time_s(1e20 * flop, 8, 1e14 * flop / units().second, 0.5)
    assert steps.duration_s(useful, 0.9).check("[time]")
    assert power.part_kwh(2 * hours, 300 * watt).check("[energy]")
    assert power.facility_kwh(2 * kwh, 1.1).check("[energy]")
    assert impact.operational_kgco2e(2 * kwh, 50 * units().gram / kwh).check("[mass]")
    assert impact.water_off_site_l(2 * kwh, 3 * units().litre / kwh).check("[length]**3")
    assert impact.embodied_kgco2e(2 * hours, 200 * units().kilogram, 4 * hours, 0.5).check("[mass]")


def test_dimensions_of_a_step_are_sound():
    flop, byte, second = units().count, units().byte, units().second
    peak, memory = 1e15 * flop / second, 1e12 * byte / second
    assert operations.product_s(1e12 * flop, 1e9 * byte, peak, memory, (0.5, 1.0)).check("[time]")
    assert operations.attention_s(1e12 * flop, 2048, peak, (0.5, 300)).check("[time]")
    assert operations.moving_s(1e9, 2 * byte, memory, 1.0).check("[time]")
    assert collectives.routed_s(1e9 * byte, 2, 4, 8, (memory, memory)).check("[time]")
