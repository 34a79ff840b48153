"""Energy from readings: every expected value is worked out by hand beside it."""

from __future__ import annotations

import math

import pytest

from tonne.measure import integration
from tonne.measure.choice import estimate_j, tells
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


def test_of_a_step_across_the_begin_only_what_comes_after_counts():
    # 50 J in the first second, of which a quarter went before 0.25 s: 37.5 + 50 + 50
    total = integral(counter(), [100.0, 150.0, 200.0, 250.0], start_ns=S // 4).total()
    assert (total.energy_j, total.measured_s) == (137.5, 2.75)
    assert integral(counter(), [100.0, 150.0, 200.0, 250.0], start_ns=3 * S // 2).total().energy_j == 75.0


def test_a_counter_that_wraps_around_the_begin_loses_nothing():
    # 95 -> 5 of 100 is 10 J: 2.5 before 0.25 s, 7.5 after it, wherever the wrap lies
    for start_ns, counted in ((S // 4, 7.5), (3 * S // 4, 2.5)):
        total = integral(counter(wrap_j=100.0), [95.0, 5.0, 15.0], start_ns=start_ns).total()
        assert total.energy_j == pytest.approx(counted + 10.0)


def test_power_before_the_begin_does_not_count():
    # 100 W and 300 W a second apart: 150 W at 0.25 s, so (150 + 300) / 2 W for 0.75 s
    total = integral(meter(), [100.0, 300.0, 300.0], start_ns=S // 4).total()
    assert total.energy_j == pytest.approx(225.0 * 0.75 + 300.0)


def test_faults_before_the_begin_are_nobodys():
    total = integral(counter(), ["stuck", 10.0, 20.0, "stuck", 40.0], start_ns=S // 2).total()
    assert dict(total.faults) == {"stuck": 1}
    assert total.energy_j == 35.0  # 10 W before the first reading, too: half a second of it, 10, and 20 in two


def test_readings_before_the_begin_alone_say_nothing_of_what_comes_after():
    early = integral(counter(), [100.0, 150.0], start_ns=3 * S // 2)
    assert early.total(2 * S).energy_j is None
    early.add(Reading(2 * S, 200.0))
    assert early.total().energy_j == 25.0


def test_of_a_step_across_the_end_only_what_comes_before_counts():
    summed = integral(counter(wrap_j=100.0), [80.0, 95.0])
    summed.end_at(5 * S // 4, Reading(2 * S, 15.0))  # 20 J by way of the wrap, of which a quarter
    assert summed.total().energy_j == pytest.approx(15.0 + 5.0)
    power = integral(meter(), [100.0, 100.0])
    power.end_at(3 * S // 2, Reading(2 * S, 300.0))  # 200 W at the end: half a second of 150 W in the mean
    assert power.total().energy_j == pytest.approx(100.0 + 75.0)
    silent = integral(counter(), [80.0, 95.0])
    silent.end_at(3 * S // 2, Reading(2 * S, None, "gone"))
    assert silent.total().energy_j == 15.0


def test_counting_may_begin_anew_after_readings():
    summed = integral(counter(), [100.0, 150.0, 200.0])
    summed.start_at(5 * S // 2)
    summed.add(Reading(3 * S, 250.0))
    assert summed.total().energy_j == 25.0
    assert summed.total(7 * S // 2).energy_j == 50.0  # half a second more, at 50 W


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


def plug(step_kwh, until_s, *, watts=300.0, stuck_from_s=math.inf):
    """What a plug told that counts in steps, read once a second, and began amid one of them: 12.3456 kWh."""
    step_j = step_kwh * 3.6e6
    of = Description(name="own:plug", part="node", kind="counter", unit="J", error_fraction=0.0, step_j=step_j)
    integral = Integral(of, gap_s=3.0, start_ns=0)
    for second in range(until_s + 1):
        energy_j = 12.3456 * 3.6e6 + watts * min(second, stuck_from_s)
        integral.add(Reading(second * 10**9, math.floor(energy_j / step_j) * step_j))
    return of, integral.total(until_s * 10**9)


@pytest.mark.parametrize(
    ("step_kwh", "until_s", "steps"),
    [
        (0.001, 60, 5),  # 12.3456 + 0.005 kWh: 12.345 to 12.350
        (0.001, 3600, 300),  # to 12.6456
        (0.01, 3600, 30),  # 12.34 to 12.64
        (0.1, 36_000, 30),  # 12.3 to 15.3
    ],
)
def test_counter_of_coarse_steps_is_known_to_one_step(step_kwh, until_s, steps):
    """A step of 0.01 kWh takes two minutes at 300 W: that it does not move meanwhile is no fault."""
    of, total = plug(step_kwh, until_s)
    assert total.energy_j == pytest.approx(steps * step_kwh * 3.6e6)
    assert (total.gap_s, tells(of, total)) == (0.0, True)
    energy = estimate_j(of, total)
    assert energy.low <= 300.0 * until_s <= energy.high
    assert energy.high - energy.low == pytest.approx(2 * step_kwh * 3.6e6)


@pytest.mark.parametrize(("step_kwh", "until_s"), [(0.001, 5), (0.01, 60), (0.1, 900)])
def test_counter_that_moved_less_than_two_steps_tells_nothing(step_kwh, until_s):
    """Neither the zero of a run within a step, nor a whole step for what filled the last bit of it."""
    of, total = plug(step_kwh, until_s)
    assert not tells(of, total)


def test_counter_of_coarse_steps_that_stops_is_a_gap_after_longer_than_any_step_takes():
    _, total = plug(0.001, 1800, stuck_from_s=600)  # 3600 J at 10 W: 360 s
    assert total.gap_s == pytest.approx(1200, abs=13)


@pytest.mark.parametrize("interval_s", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("until_s", [3, 10, 60])
def test_power_averaged_over_a_second_may_miss_half_of_it_at_the_start(interval_s, until_s):
    """A board that goes from 70 to 700 W as the run begins: the first readings are still of the time before it."""
    of = meter(window_s=1.0, device="NVIDIA L40S")
    integral = Integral(of, gap_s=3.0, start_ns=0)
    for step in range(round(until_s / interval_s) + 1):
        time_s = step * interval_s
        integral.add(Reading(round(time_s * S), 700.0 if time_s >= 1 else 70.0 + 630.0 * time_s))
    energy = estimate_j(of, integral.total(until_s * S))
    assert energy.low <= 700.0 * until_s <= energy.high
    assert energy.high - energy.low <= 1.01 * 700.0  # half a second to either side, whatever the run's length


def test_ends_of_a_long_run_are_of_no_account():
    total = Total(energy_j=3.6e6, low_j=3.6e6, high_j=3.6e6, measured_j=3.6e6, measured_s=3600.0)
    energy = estimate_j(meter(window_s=1.0), total)
    assert (energy.low, energy.high) == pytest.approx((3.6e6 - 500.0, 3.6e6 + 500.0))  # half a second of 1000 W
