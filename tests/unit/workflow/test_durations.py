"""How long a run will take, from a trial and from earlier runs: numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tonne.estimate import Basis
from tonne.train.ahead import Timed, times_due
from tonne.workflow.durations import crowd_factor, piece_times_s, start_time_s, step_time_s
from tonne.workflow.paces import Pace


def pace(step_s, *, tried=1.0, shape="small", slowness=1.0, tried_slowness=1.0, **measured):
    return Pace(
        machine="here",
        shape=shape,
        steps=100,
        tried={"step": tried},
        measured={"step": step_s, **measured},
        slowness=slowness,
        tried_slowness=tried_slowness,
    )


def test_without_history_a_step_takes_what_the_trial_took(ahead):
    found = step_time_s(ahead(), Timed(step_s=0.4), [])
    assert found.value == pytest.approx(0.4)
    assert found.high / found.value == pytest.approx(math.exp(0.25))
    assert found.value / found.low == pytest.approx(math.exp(0.25))
    assert found.basis is Basis.MODELLED


def test_after_one_run_the_forecast_is_within_five_percent_though_the_trial_is_a_tenth_off(ahead):
    # The run took 0.40 s a step where its trial had said 0.40; this trial says 0.44. Weights 1/0.05^2 = 400 and
    # 1/0.12^2 = 69.44: 0.4 x 1.1^(69.44 / 469.44) = 0.4057.
    found = step_time_s(ahead(), Timed(step_s=0.44), [pace(0.40, tried=0.40)])
    assert found.value == pytest.approx(0.4 * 1.1 ** (69.444 / 469.444), rel=1e-4)
    assert abs(found.value / 0.40 - 1) < 0.05
    assert found.low < 0.40 < found.high
    assert found.basis is Basis.MEASURED


def test_a_trial_that_is_always_too_fast_is_corrected_by_what_lay_between(ahead):
    # Of other shapes on this machine: runs took 1.2 times their trials. 0.5 x 1.2 = 0.6.
    others = [pace(1.2, tried=1.0, shape="large"), pace(2.4, tried=2.0, shape="larger")]
    assert step_time_s(ahead(), Timed(step_s=0.5), others).value == pytest.approx(0.6)


def test_runs_on_another_machine_say_nothing(ahead):
    elsewhere = Pace(machine="there", shape="other", steps=100, tried={"step": 1.0}, measured={"step": 9.0})
    assert step_time_s(ahead(), Timed(step_s=0.5), [elsewhere]).value == pytest.approx(0.5)


def test_a_crowded_machine_is_slower_by_as_much_as_the_trial_sees(ahead):
    # Alone a step takes 0.4 s (0.8 s at slowness 2). Now the slowness is 3, and the trial took 1.2 s: 0.4 x 3 = 1.2 s.
    before = pace(0.8, tried=0.8, slowness=2.0, tried_slowness=2.0)
    found = step_time_s(ahead(), Timed(step_s=1.2, slowness=3.0), [before])
    assert found.value == pytest.approx(1.2)
    assert step_time_s(ahead(), Timed(step_s=0.4), [before]).value == pytest.approx(0.4)


def test_crowd_may_leave_or_grow_by_half_of_what_it_costs_in_logarithms(ahead):
    assert crowd_factor(ahead(threads=2), Timed(slowness=0.5), []).is_exact  # two threads, all that they asked for
    found = crowd_factor(ahead(threads=1), Timed(slowness=2.0), [])
    assert (found.value, found.low, found.high) == (1.0, pytest.approx(2**-0.5), pytest.approx(2**0.5))
    assert crowd_factor(ahead(), Timed(slowness=1.03), []).is_exact


def test_threads_beside_an_accelerator_are_no_crowd(ahead):
    assert crowd_factor(ahead(device="cuda", threads=16), Timed(step_s=0.1), []).is_exact


def test_a_crowd_that_came_within_an_earlier_run_widens_the_next_forecast(ahead):
    # Twice as slow in the run as in its trial: ln 2 = 0.6931; Student's point for 3 degrees of freedom 2.35, of squares
    # of two runs that are as now (0) and this one: 2.35 x 0.6931 / sqrt(3) = 0.9405.
    joined = pace(0.8, shape="other", slowness=2.0, tried_slowness=1.0)
    found = crowd_factor(ahead(), Timed(step_s=0.4), [joined])
    assert found.value == 1.0
    assert math.log(found.high) == pytest.approx(0.9405, abs=1e-4)
    assert math.log(found.low) == pytest.approx(-0.9405, abs=1e-4)
    elsewhere = dataclasses.replace(joined, machine="there")
    assert crowd_factor(ahead(), Timed(step_s=0.4), [elsewhere]).is_exact


def test_a_crowd_that_stayed_as_it_was_within_earlier_runs_is_expected_to(ahead):
    # ln 2 / 2 = 0.3466 without them; two runs without a change: sqrt(2 / 4) of it.
    steady = pace(0.8, slowness=2.0, tried_slowness=2.0)
    found = crowd_factor(ahead(), Timed(step_s=0.8, slowness=2.0), [steady, steady])
    assert found.value == 1.0
    assert math.log(found.high) == pytest.approx(0.3466 * math.sqrt(0.5), abs=1e-4)


def test_a_moment_of_quiet_is_trusted_half_where_the_same_steps_were_slower(ahead):
    # Slowness 2 in the run and its trial, 1 now: half of the way is sqrt 2, and both ends lie in the interval.
    found = crowd_factor(ahead(), Timed(step_s=0.4, slowness=1.0), [pace(0.8, slowness=2.0, tried_slowness=2.0)])
    assert found.value == pytest.approx(math.sqrt(2))
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(2.0))


def test_a_trial_counts_half_where_the_usual_crowd_is_known_and_so_does_what_it_missed(ahead):
    # As above: 0.9405 for a crowd that doubled within the one run, of which half.
    found = crowd_factor(ahead(), Timed(step_s=0.8, slowness=2.0), [pace(0.8, slowness=2.0, tried_slowness=1.0)])
    # And of a process that wants one thread and has half of it: ln 2 / 2 in two of three squares.
    assert math.log(found.high) == pytest.approx(math.hypot(0.9405 / 2, 0.3466 * math.sqrt(2 / 3)), abs=1e-4)


def test_without_a_trial_earlier_times_are_taken_as_they_were(ahead):
    # Two threads of a process alone: slowness 0.5, which says nothing of a crowd.
    before = pace(0.4, slowness=0.5, tried_slowness=0.5, evaluation=3.0)
    assert step_time_s(ahead(threads=2), Timed(), [before]).value == pytest.approx(0.4)
    assert piece_times_s(ahead(threads=2), Timed(), [before])["evaluation"].value == pytest.approx(3.0)


def test_more_runs_that_agree_do_not_widen_the_interval_and_runs_that_differ_do(ahead):
    one = step_time_s(ahead(), Timed(step_s=0.4), [pace(0.4, tried=0.4)])
    even = step_time_s(ahead(), Timed(step_s=0.4), [pace(0.4, tried=0.4)] * 4)
    uneven = [pace(seconds, tried=0.4) for seconds in (0.3, 0.5, 0.4, 0.6)]
    assert even.high / even.value <= one.high / one.value * (1 + 1e-12)
    found = step_time_s(ahead(), Timed(step_s=0.4), uneven)
    assert found.high / found.value > one.high / one.value


def test_a_trial_and_a_history_that_disagree_leave_it_open(ahead):
    found = step_time_s(ahead(), Timed(step_s=0.8), [pace(0.4, tried=0.4)])
    assert found.low < 0.4 < found.high or found.low < 0.5 < found.high
    assert found.high / found.value > math.exp(math.log(2) / 2 * 0.99)


def test_without_a_trial_the_choices_trial_says_it_else_the_fastest_product(ahead):
    # 1,000 tokens at 2,000 tokens/s, times 1.3 for what a step does besides.
    assert step_time_s(ahead(tokens_per_s=2000.0), Timed(), []).value == pytest.approx(0.65)
    # 1,000 tokens x 6 MFLOP / 60 GFLOP/s = 0.1 s at the peak; at 45 % of it 0.2222 s.
    found = step_time_s(ahead(), Timed(), [])
    assert found.value == pytest.approx(0.1 / 0.45)
    assert (found.low, found.high) == (pytest.approx(0.1 / 0.8), pytest.approx(0.1 / 0.2))


def test_pieces_are_those_of_earlier_runs_else_of_the_trial(ahead):
    timed = Timed(step_s=0.4, evaluation_s=5.0, checkpoint_s=0.2, finish_s=0.1, slowness=2.0)
    assert piece_times_s(ahead(), timed, [])["evaluation"].value == 5.0
    before = pace(0.4, slowness=1.0, evaluation=3.0, checkpoints=0.3)
    found = piece_times_s(ahead(), timed, [before])
    assert found["evaluation"].value == pytest.approx(6.0)  # 3 s alone, at slowness 2
    assert found["checkpoints"].value == pytest.approx(0.3)  # disks are not slower for busy processors
    assert found["finishing"].value == 0.1
    assert "sampling" not in found  # the run has none


def test_the_start_is_half_a_step_until_a_run_says_more(ahead):
    assert start_time_s(ahead(), Timed(step_s=0.4), []).value == pytest.approx(0.2)
    assert start_time_s(ahead(), Timed(step_s=0.4), [pace(0.4, start=1.5)]).value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("first", "last", "total", "every", "times"),
    [
        (0, 100, 100, 10, 10),
        (0, 100, 1000, 30, 3),  # 30, 60, 90
        (0, 100, 100, 30, 4),  # and the last step of the plan
        (50, 100, 100, 30, 3),  # 60, 90, 100
        (100, 100, 100, 30, 0),
        (0, 100, 100, None, 0),
    ],
)
def test_what_comes_every_so_many_steps(first, last, total, every, times):
    assert times_due(first, last, total, every) == times
