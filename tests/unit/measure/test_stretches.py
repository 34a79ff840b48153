"""Energy of a stretch of time, from readings that do not stand at its ends."""

from __future__ import annotations

from array import array

import pytest

from tonne.measure.sensors.protocol import Description
from tonne.measure.stretches import Series

S = 1_000_000_000


def series(kind, values, wrap_j=None):
    unit = "J" if kind == "counter" else "W"
    of = Description(name="x", part="cpu", kind=kind, unit=unit, wrap_j=wrap_j)
    return Series(of, array("q", [10 * S, 11 * S, 12 * S]), array("d", values))


def energy_j(one, begin_s, end_s, after_s=-1.0):
    stretch = (int(begin_s * S), int(end_s * S))
    return one.total(stretch, int(after_s * S), 3.0).energy_j


def test_energy_before_the_beginning_is_not_counted():
    assert energy_j(series("power", [100.0, 100.0, 100.0]), 10.5, 12) == pytest.approx(150.0)
    assert energy_j(series("counter", [0.0, 100.0, 200.0]), 10.5, 12) == pytest.approx(150.0)


def test_rising_power_is_cut_where_it_stood():
    # P(t) = 100 (t - 10) W; over 10.5 to 12 s: 100 (2^2 - 0.5^2) / 2 = 187.5 J
    assert energy_j(series("power", [0.0, 100.0, 200.0]), 10.5, 12) == pytest.approx(187.5)


def test_a_counter_that_wraps_across_the_beginning():
    # 950, 50 (after a wrap at 1000), 150: 100 J a second
    assert energy_j(series("counter", [950.0, 50.0, 150.0], wrap_j=1000.0), 10.75, 12) == pytest.approx(125.0)


def test_a_stretch_begins_at_the_first_reading_where_none_is_before():
    assert energy_j(series("power", [100.0, 100.0, 100.0]), 9.5, 12) == pytest.approx(250.0)


def test_readings_that_an_earlier_stretch_holds_are_not_taken_again():
    assert energy_j(series("power", [100.0, 100.0, 100.0]), 12.5, 13, after_s=12) is None
