"""The factor of some hours relative to that of the year."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from tonne.describe.site import Site
from tonne.grid.hours import by_hour, hour_factor
from tonne.impact.place import factors_of
from tonne.measure.hourly import GRID, use_hours
from tonne.reference.grid_hours import hour_profile
from tonne.reference.table import table

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()


def test_a_time_is_cut_at_the_hours():
    assert by_hour(3600.0 * 10 + 1800, 3600.0 * 12 + 900) == {10: 1800.0, 11: 3600.0, 12: 900.0}
    assert by_hour(5.0, 5.0) == {}


def test_an_hour_of_a_german_june_noon_is_that_of_the_table():
    factor = hour_factor(hour_profile("DE"), by_hour(NOON, NOON + 3600))
    assert factor.value == pytest.approx(0.7573)  # table: DE, month 6, hour 12
    assert factor.high == pytest.approx(0.7573 + 1.6449 * 0.2453, rel=1e-3)


def test_two_hours_are_weighted_and_two_days_halve_the_variance():
    profile = hour_profile("DE")
    hour = int(NOON // 3600)
    factor = hour_factor(profile, {hour: 3.0, hour + 1: 1.0})
    assert factor.value == pytest.approx(0.75 * 0.7573 + 0.25 * 0.7693)  # hour 13 of June: 0.7693
    days = hour_factor(profile, {hour: 1.0, hour + 24: 1.0})
    assert days.high - days.value == pytest.approx(1.6449 * 0.2453 / math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("zone", sorted({row["zone"] for row in table("grid_hours")}))
def test_every_profile_has_all_hours_and_a_mean_near_one(zone):
    rows = [row for row in table("grid_hours") if row["zone"] == zone]
    assert len(rows) == 12 * 24
    mean = sum(float(row["relative_intensity"]) for row in rows) / len(rows)
    assert mean == pytest.approx(1.0, abs=0.03)


def test_the_factor_of_a_site_becomes_that_of_the_hours():
    site = Site(grid="DE")
    found, year = factors_of(site), factors_of(site).factors[GRID]
    use_hours(site, by_hour(NOON, NOON + 3600), found)
    assert found.factors[GRID].value == pytest.approx(0.7573 * year.value)
    assert "0.76 times the year's factor" in found.notes[-1]


def test_a_grid_without_a_profile_keeps_its_year_and_says_so():
    site = Site(grid="PL")
    found, year = factors_of(site), factors_of(site).factors[GRID]
    use_hours(site, by_hour(NOON, NOON + 3600), found)
    assert found.factors[GRID] == year
    assert "no hourly profile of PL is known" in found.notes[-1]


def test_an_intensity_that_was_given_stays_as_it_is():
    site = Site(grid_gco2e_per_kwh=100.0)
    found = factors_of(site)
    use_hours(site, by_hour(NOON, NOON + 3600), found)
    assert found.factors[GRID].value == 100.0
    assert "was given" in found.notes[-1]
