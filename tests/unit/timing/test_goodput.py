"""What failures, people and routine leave, against what runs published."""

from __future__ import annotations

import math

import pytest

from tonne.reference.goodput import goodput_constant
from tonne.timing.goodput import best_goodput, checkpoint_interval_s, failure_met, goodput

FAILURES = tuple(goodput_constant(name).value for name in ("accelerator_mtbf_h", "restart_s", "checkpoint_s"))


def test_time_between_checkpoints_by_hand():
    # one failure in 5,000 s, a checkpoint of 40 s: (2 x 40 x 5000)^0.5 = 632.46 s
    assert checkpoint_interval_s(1 / 5000, 40.0) == pytest.approx(632.4555)


def test_best_goodput_by_hand():
    # 16,384 / 45,600 h = 9.980507e-5 failures a second; t = (80 / 9.980507e-5)^0.5 = 895.303 s;
    # 1 + 9.980507e-5 (216 + 447.651) + 40 / 895.303 = 1 + 0.066236 + 0.044678
    assert best_goodput(16_384, 45_600.0, 216.0, 40.0) == pytest.approx(1 / 1.110914, rel=1e-5)


def test_llama_3_spent_more_than_nine_tenths_of_its_time_on_steps():
    found = best_goodput(16_384, *FAILURES)
    assert found == pytest.approx(0.90, abs=0.005)  # dubey2024llama3, section 3.3.4: "higher than 90 %"


def test_rate_of_failures_is_that_of_llama_3_and_of_bloom():
    mtbf_h = FAILURES[0]
    assert 54 * 24 * 16_384 / mtbf_h == pytest.approx(466, rel=0.002)  # interruptions in 54 days
    assert 1 <= 384 * 24 * 7 / mtbf_h <= 2  # one or two a week on 384 accelerators


def test_more_accelerators_lose_more():
    found = [best_goodput(n, *FAILURES) for n in (1, 8, 64, 512, 4096, 32_768, 262_144)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.999


def test_checkpoints_at_other_times_lose_more():
    rate, restart, checkpoint = 1e-4, 216.0, 40.0
    best = checkpoint_interval_s(rate, checkpoint)
    losses = [rate * (restart + t / 2) + checkpoint / t for t in (best / 2, best, best * 2)]
    assert min(losses) == losses[1]


def test_who_meets_a_failure():
    # 8 accelerators for a month: 5,760 of 45,600 h; 1,024: 737,280 h, 16 failures
    assert failure_met(8, 720.0, 45_600.0) == pytest.approx(1 - 0.88134, abs=1e-5)
    assert failure_met(1024, 720.0, 45_600.0) == pytest.approx(1.0, abs=1e-6)
    # as long as one failure takes on the mean: 1 - 1/e
    assert failure_met(10, 4560.0, 45_600.0) == pytest.approx(1 - 1 / math.e)


def test_goodput_by_hand():
    # no failure met: routine alone; surely met: all three; in between, the root
    assert goodput(1.0, 0.0, 0.9, 0.97) == 0.97
    assert goodput(0.8, 1.0, 0.9, 0.97) == pytest.approx(0.97 * 0.9 * 0.8)
    assert goodput(1.0, 0.5, 0.81, 1.0) == pytest.approx(0.9)
