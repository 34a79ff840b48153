"""Whatever a sensor says, its sum is a number or unknown, its interval holds it, and nothing raises."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tonne.measure.integration import Integral
from tonne.measure.sensors.protocol import Description, Reading
from tonne.measure.tally import Total

NS = 1_000_000_000
values = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1e4), st.integers(0, 3).map(float)
)
readings = st.lists(st.tuples(st.floats(0, 30), values), max_size=60)
sensors = st.builds(
    lambda kind, wrap_j, ceiling_w, window_s: Description(
        name="a:0",
        part="cpu",
        kind=kind,
        unit="J" if kind == "counter" else "W",
        wrap_j=wrap_j if kind == "counter" else None,
        ceiling_w=ceiling_w,
        window_s=window_s,
    ),
    st.sampled_from(["counter", "power"]),
    st.one_of(st.none(), st.floats(1, 1e5)),
    st.one_of(st.none(), st.floats(1, 1e4)),
    st.sampled_from([0.0, 0.1, 1.0]),
)


def added_up(of, told, start_ns=None):
    integral, time_ns, totals = Integral(of, gap_s=2.5, start_ns=start_ns), 0, []
    for wait_s, value in told:
        time_ns += round(wait_s * NS)
        integral.add(Reading(time_ns, value, "gone" if value is None else None))
        totals.append(integral.total())
    return integral, time_ns, totals


@given(of=sensors, told=readings)
def test_nothing_that_a_sensor_says_spoils_its_sum(of, told):
    integral, time_ns, totals = added_up(of, told, start_ns=0)
    for total in (*totals, integral.total(time_ns + 100 * NS)):
        assert math.isfinite(total.measured_j)
        assert total.measured_j >= 0
        assert 0 <= total.measured_fraction <= 1
        if total.energy_j is not None:
            assert math.isfinite(total.energy_j)
            slack = 1e-9 * (1 + abs(total.energy_j))
            assert total.low_j - slack <= total.energy_j <= total.high_j + slack
            assert total.measured_j <= total.energy_j + slack


@given(of=sensors, told=readings)
def test_every_second_was_measured_or_is_a_gap_but_for_what_is_too_short_to_tell(of, told):
    good = [index for index, (_, value) in enumerate(told) if value is not None and math.isfinite(value) and value >= 0]
    if not good or (of.kind == "power" and of.ceiling_w is not None):
        return  # readings above the ceiling are faults of their own
    _, _, totals = added_up(of, told)
    total = totals[-1]
    between_s = sum(round(wait_s * NS) for wait_s, _ in told[good[0] + 1 : good[-1] + 1]) / NS
    assert math.isclose(total.measured_s + total.gap_s, between_s, rel_tol=1e-9, abs_tol=1e-6)


@given(
    watts=st.floats(1, 1000), wrap_j=st.floats(100, 1e5), steps=st.lists(st.floats(0.01, 5), min_size=2, max_size=40)
)
def test_counter_is_exact_when_read_as_often_as_it_asks(watts, wrap_j, steps):
    of = Description(name="a:0", part="cpu", kind="counter", unit="J", wrap_j=wrap_j, ceiling_w=1000.0)
    integral, time_ns = Integral(of, gap_s=2.5), 0
    longest_ns = round(wrap_j / 2000 * NS)
    for step in (0.0, *steps):
        time_ns += min(round(step * NS), longest_ns)
        integral.add(Reading(time_ns, (watts * time_ns / NS) % wrap_j))
    total = integral.total()
    assert total.gap_s == 0
    assert math.isclose(total.energy_j, watts * time_ns / NS, rel_tol=1e-6, abs_tol=1e-6)


@given(of=sensors, told=readings, cut=st.integers(0, 59))
def test_totals_of_two_stretches_add_up_to_the_whole(of, told, cut):
    _, _, totals = added_up(of, told)
    if cut >= len(totals) - 1:
        return
    first, whole = totals[cut], totals[-1]
    again = first.plus(whole.minus(first))
    assert math.isclose(again.measured_j, whole.measured_j, rel_tol=1e-9, abs_tol=1e-6)
    assert Total.from_dict(whole.as_dict()) == whole
