"""What failures leave, against what runs published."""

from __future__ import annotations

import pytest

from tonne.reference.goodput import goodput_constant
from tonne.timing.goodput import best_goodput, checkpoint_interval_s


def test_time_between_checkpoints_by_hand():
    # one failure in 5,000 s, a checkpoint of 40 s: (2 x 40 x 5000)^0.5 = 632.46 s
    assert checkpoint_interval_s(1 / 5000, 40.0) == pytest.approx(632.4555)


def test_goodput_by_hand():
    # 16,384 x 2.19e-5 = 0.358810 failures an hour = 9.96693e-5 a second; t = (80 / 9.96693e-5)^0.5 = 895.91 s;
    # 1 + 9.96693e-5 (216 + 447.95) + 40 / 895.91 = 1 + 0.066176 + 0.044647
    assert best_goodput(16_384) == pytest.approx(1 / 1.110823, rel=1e-5)


def test_llama_3_spent_more_than_nine_tenths_of_its_time_on_steps():
    assert best_goodput(16_384) == pytest.approx(0.90, abs=0.005)  # dubey2024llama3, section 3.3.4: "higher than 90 %"


def test_rate_of_failures_is_that_of_bloom_too():
    # one or two a week on 384 accelerators
    assert 1 <= goodput_constant("failures_per_accelerator_hour") * 384 * 24 * 7 <= 2


def test_more_accelerators_lose_more():
    found = [best_goodput(n) for n in (1, 8, 64, 512, 4096, 32_768, 262_144)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.999


def test_checkpoints_at_other_times_lose_more():
    rate, restart, checkpoint = 1e-4, 216.0, 40.0
    best = checkpoint_interval_s(rate, checkpoint)
    losses = [rate * (restart + t / 2) + checkpoint / t for t in (best / 2, best, best * 2)]
    assert min(losses) == losses[1]
