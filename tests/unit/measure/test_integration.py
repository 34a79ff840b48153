"""Energy from readings: every expected value is worked out by hand beside it."""

from __future__ import annotations

import math

import pytest

from tonne.measure import integration
from tonne.measure.integration import Integral, counter_step_j, power_step_j
from tonne.measure.sensors.protocol import Description, Reading, longest_interval_s
from tonne.measure.tally import Total

S = 1_000_000_000


def counter(**fields):
    return Description(**{"name": "rapl:package-0", "part": "cpu", "kind": "counter", "unit": "J", **fields})


def meter(**fields):
    return Description(**{"name": "nvml:0", "part": "accelerator:0", "kind": "power", "unit": "W", **fields})


def integral(of, values, *, gap_s=2.5, step_s=1.0, start_ns=None):
    """Readings `step_s` apart; a text among the values is a fault."""
    summed = Integral(of, gap_s=gap_s, start_ns=start_ns)
    for index, value in enumerate(values):
        time_ns = round(index * step_s * S)
        summed.add(Reading(time_ns, None, value) if isinstance(value, str) else Reading(time_ns, value))
    return summed


def test_step_of_a_counter():
    assert counter_step_j(10.0, 25.0, None) == 15.0
    assert counter_step_j(95.0, 5.0, 100.0) == 10.0  # 5 up to the wrap, 5 after it
    assert counter_step_j(25.0, 10.0, None) == -15.0


def test_step_of_power_is_a_trapezoid_without_a_window():
    assert power_step_j(100.0, 200.0, 2.0, 0.0) == 300.0


def test_step_of_averaged_power_is_the_average_times_its_window():
    assert power_step_j(100.0, 200.0, 1.0, 1.0) == 200.0  # the second reading is the mean of exactly this second
    assert power_step_j(100.0, 200.0, 3.0, 1.0) == 200.0 + 2 * 150.0  # the rest by the trapezoid
    assert power_step_j(100.0, 200.0, 0.5, 1.0) == 100.0


def test_counter_differences_are_exact_whatever_came_between():
    total = integral(counter(), [0.0, 100.0, "unreadable", math.nan, -1.0, 500.0]).total()
    assert (total.energy_j, total.low_j, total.high_j, total.measured_j) == (500.0, 500.0, 500.0, 500.0)
    assert (total.measured_s, total.gap_s) == (5.0, 0.0)
    assert total.faults == {"unreadable": 1, integration.NOT_A_NUMBER: 1, integration.NEGATIVE: 1}


def test_counter_that_wraps_loses_nothing():
    values = [(100.0 * t) % 1000 for t in range(31)]  # 100 W, a wrap every 10 s
    total = integral(counter(wrap_j=1000.0, ceiling_w=400.0), values).total()
    assert total.energy_j == 3000.0
    assert total.gap_s == 0.0


def test_wraps_that_cannot_be_counted_are_a_gap_that_holds_the_truth():
    exact = [(100.0 * t) % 50 for t in (0.0, 0.1, 0.2, 0.3, 0.4)]
    summed = integral(counter(wrap_j=50.0, ceiling_w=400.0), exact, step_s=0.1)
    assert summed.total().energy_j == pytest.approx(40.0)
    for t in range(1, 11):  # from now on once a second: two wraps each, and 400 W would be eight
        summed.add(Reading(round(0.4 * S) + t * S, (100.0 * (0.4 + t) + 1e-6) % 50))
    total = summed.total()
    assert total.energy_j == pytest.approx(1040.0)
    assert total.low_j < 1040.0 < total.high_j
    assert total.gaps == {integration.WRAPS: pytest.approx(10.0)}
    assert total.measured_j == pytest.approx(40.0)


def test_how_often_a_wrapping_counter_must_be_read():
    assert longest_interval_s(counter(wrap_j=50.0, ceiling_w=400.0)) == 0.0625  # 50 J / (2 x 400 W)
    assert longest_interval_s(counter(wrap_j=50.0)) is None
    assert longest_interval_s(counter()) is None


def test_counter_that_was_reset_leaves_one_gap_at_the_power_before():
    total = integral(counter(), [1000.0, 1100.0, 1200.0, 50.0, 150.0]).total()
    assert total.energy_j == 400.0  # 100 W throughout
    assert total.measured_j == 300.0
    assert total.gaps == {integration.RESET: 1.0}
    assert total.low_j < 400.0 < total.high_j


def test_reset_of_a_wrapping_counter_is_no_wrap_where_the_part_could_not_draw_it():
    total = integral(counter(wrap_j=262_143.0, ceiling_w=500.0), [1000.0, 1100.0, 50.0, 150.0]).total()
    assert total.energy_j == 300.0
    assert total.gaps == {integration.RESET: 1.0}


def test_counter_may_be_read_faster_than_it_is_refreshed():
    total = integral(counter(), [0.0, 0.0, 0.0, 10.0, 10.0, 20.0], step_s=0.001).total()
    assert total.energy_j == 20.0
    assert total.gap_s == 0.0


def test_counter_that_stands_still_becomes_a_gap():
    values = [100.0 * t for t in range(21)] + [2000.0] * 20
    total = integral(counter(), values).total()
    assert total.energy_j == 4000.0  # 20 s measured, 20 s filled at the same 100 W
    assert total.measured_j == 2000.0
    assert total.gaps == {integration.STILL: 20.0}


def test_counter_that_catches_up_was_measured_all_along():
    values = [100.0 * t for t in range(21)] + [2000.0] * 19 + [4100.0]
    total = integral(counter(), values).total()
    assert (total.energy_j, total.low_j, total.high_j) == (4100.0, 4100.0, 4100.0)
    assert total.gaps == {}


def test_counter_that_froze_keeps_its_gap():
    values = [100.0 * t for t in range(21)] + [2000.0] * 19 + [2010.0, 2110.0]
    total = integral(counter(), values).total()
    assert total.energy_j == 4100.0
    assert total.gaps == {integration.STILL: 20.0}


def test_counter_that_never_moves_is_no_zero():
    total = integral(counter(), [0.0] * 30).total()
    assert total.energy_j is None
    assert total.high_j is None
    assert total.measured_fraction == 0.0


def test_power_is_integrated_by_the_trapezoid():
    total = integral(meter(), [0.0, 10.0, 20.0, 30.0]).total()
    assert total.energy_j == 45.0  # 30 W x 3 s / 2


def test_gap_in_power_is_bridged_and_told():
    values = [300.0] * 31 + [math.nan] * 5 + [300.0] * 25
    total = integral(meter(), values).total()
    assert total.energy_j == 18_000.0
    assert total.measured_j == 54 * 300.0
    assert total.gaps == {integration.SILENT: 6.0}
    assert total.faults == {integration.NOT_A_NUMBER: 5}


def test_one_bad_reading_is_bridged_by_the_trapezoid():
    total = integral(meter(), [100.0, math.nan, 100.0]).total()
    assert (total.energy_j, total.gap_s) == (200.0, 0.0)


def test_power_above_what_the_part_can_draw_is_a_fault():
    total = integral(meter(ceiling_w=1000.0), [300.0, 4e6, 300.0]).total()
    assert total.energy_j == 600.0
    assert total.faults == {integration.TOO_HIGH: 1}


def test_power_that_moved_and_then_stands_still_is_told():
    values = [100.0, 110.0, 102.0, 100.0, *([103.0] * 100)]
    total = integral(meter(), values).total()
    assert total.gaps == {integration.STILL: 39.0}  # 99 s at one reading, the first 60 of them believed
    assert total.high_j > total.energy_j > total.low_j


def test_constant_power_is_believed():
    assert integral(meter(), [300.0] * 200).total().gap_s == 0.0


def test_sensor_that_vanishes_leaves_a_gap_up_to_the_end():
    summed = integral(meter(), [*([200.0] * 11), "gone", "gone"])
    total = summed.total(at_ns=20 * S)
    assert total.energy_j == 4000.0
    assert total.measured_j == 2000.0
    assert total.gaps == {integration.SILENT: 10.0}
    assert total.low_j < 4000.0 < total.high_j


def test_time_since_the_last_reading_is_no_gap_while_short():
    total = integral(meter(), [200.0] * 11).total(at_ns=10 * S + S // 2)
    assert (total.energy_j, total.gap_s) == (2100.0, 0.0)


def test_time_before_the_first_reading_is_filled_at_the_power_after_it():
    summed = Integral(counter(), gap_s=2.5, start_ns=0)
    summed.add(Reading(5 * S, 0.0))
    assert summed.total().energy_j is None
    summed.add(Reading(6 * S, 100.0))
    total = summed.total()
    assert total.energy_j == 600.0
    assert total.gaps == {integration.SILENT: 5.0}


def test_sensor_that_never_spoke_is_unknown():
    summed = Integral(counter(), gap_s=2.5, start_ns=0)
    summed.add(Reading(S, None, "unreadable"))
    total = summed.total(at_ns=10 * S)
    assert (total.energy_j, total.measured_j) == (None, 0.0)


def test_readings_of_the_same_moment_count_once():
    summed = Integral(counter(), gap_s=2.5)
    for value in (0.0, 50.0):
        summed.add(Reading(0, value))
    summed.add(Reading(S, 100.0))
    assert summed.total().energy_j == 100.0


def test_totals_add_and_subtract():
    summed = integral(counter(), [0.0, 100.0, "gone"])
    first = summed.total()
    summed.add(Reading(3 * S, 300.0))
    second = summed.total().minus(first)
    assert (second.energy_j, second.measured_s, second.faults) == (200.0, 2.0, {})
    assert first.plus(second) == summed.total()
    assert Total.from_dict(first.as_dict()) == first


def test_description_survives_a_line_of_json():
    told = counter(wrap_j=10.0, covers=("cpu", "memory"))
    assert Description.from_dict({**told.as_dict(), "of_a_later_version": 1}) == told
    assert Description.of(told) == told
    assert counter().covers == ("cpu",)
