"""Numbers for people keep the digits that their interval allows."""

from __future__ import annotations

import pytest

from tonne.estimate import Basis, Estimate
from tonne.report.numbers import ENERGY_KWH, MASS_KG, count_text, rounded, short, value_and_interval


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.5, 3, "1,230"),
        (0.0312, 2, "0.031"),
        (57.96, 3, "58.0"),
        (3.14e23, 3, "3.14e23"),
        (0, 3, "0"),
        (-4.26, 2, "-4.3"),
        (999_600.0, 3, "1,000,000"),
        (0.009996, 2, "0.010"),
        (9.97, 2, "10"),
        (99.96, 3, "100"),
    ],
)
def test_rounded_keeps_significant_digits(value, digits, text):
    assert rounded(value, digits) == text


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, basis=Basis.MODELLED)


def test_wide_interval_leaves_two_digits_in_the_unit_of_the_value():
    assert value_and_interval(estimate(57_960.0, 48_900.0, 1_071_000.0), ENERGY_KWH) == ("58 MWh", "49 - 1,100 MWh")


def test_narrow_interval_leaves_three_digits():
    assert value_and_interval(estimate(57_960.0, 57_000.0, 59_000.0), ENERGY_KWH) == ("58.0 MWh", "57.0 - 59.0 MWh")


def test_number_without_spread_is_called_exact():
    assert value_and_interval(estimate(0.25, 0.25, 0.25), MASS_KG) == ("250 g", "exact")


def test_counts_read_as_people_write_them():
    assert [count_text(n) for n in (8192.0, 300e9, 1.4e12, 366e9)] == ["8,192", "300B", "1.4T", "366B"]
    assert short(174_604_259_328) == "175B"
