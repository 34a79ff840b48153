"""Learning rates of a few steps, worked out by hand."""

from __future__ import annotations

import math

import pytest

from tonne.describe.training import Training
from tonne.train.schedules import Schedule


def shares(**fields):
    schedule = Schedule(**fields)
    return [schedule.share(step) for step in range(schedule.total_steps)]


def test_warm_up_rises_in_equal_parts_to_the_peak():
    assert shares(shape="constant", total_steps=6, warmup_steps=4) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_linear_falls_in_equal_parts():
    assert shares(shape="linear", total_steps=6, warmup_steps=2) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])


def test_cosine_is_half_way_in_the_middle():
    found = shares(shape="cosine", total_steps=4)
    assert found == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_wsd_stays_at_the_peak_and_falls_in_its_last_part():
    found = shares(shape="wsd", total_steps=10, warmup_steps=2, decay_fraction=0.4)
    assert found == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_final_fraction_is_what_is_left_below_the_curve():
    assert shares(shape="linear", total_steps=4, final_fraction=0.2) == pytest.approx([1, 0.8, 0.6, 0.4])


def test_warm_up_that_is_left_out_takes_a_hundredth_of_the_steps():
    assert Schedule.of(Training(), 700).warmup_steps == 7
    assert Schedule.of(Training(warmup_steps=0), 700).warmup_steps == 0
