"""Equations of serving time and power, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.energy import inference as energy
from tonne.timing import inference as timing


def test_arithmetic_of_a_phase():
    # 2e14 FLOP over 4 x 1e15 FLOP/s at half the peak
    assert timing.compute_s(2e14, 4, 1e15, 0.5) == pytest.approx(0.1)


def test_reading_the_weights():
    # 140 GB over 4 x 3.35 TB/s at 0.7: 14.9 ms
    assert timing.reading_s(140e9, 4, 3.35e12, 0.7) == pytest.approx(140 / (4 * 3350 * 0.7))


def test_exchange_over_a_link():
    assert timing.exchange_s(9e9, 450e9, 0.5) == pytest.approx(0.04)


def test_overhead_has_no_exchange_on_one_accelerator():
    assert timing.overhead_s(80, 50e-6, 20e-6, 1) == pytest.approx(4e-3)
    assert timing.overhead_s(80, 50e-6, 20e-6, 2) == pytest.approx(5.6e-3)


def test_prefill_takes_the_longer_bound():
    assert timing.prefill_s(0.1, 0.01, 0.02, 0.004, 1) == pytest.approx(0.114)
    assert timing.prefill_s(0.001, 0.01, 0.02, 0.004, 1) == pytest.approx(0.034)


def test_a_full_server_shares_reading_and_overhead_among_prompts():
    assert timing.prefill_s(0.001, 0.01, 0.02, 0.004, 4) == pytest.approx(0.005 + 0.01 + 0.001)


def test_matrices_and_attention_take_turns():
    # matrices bound by reading (3 ms), attention by arithmetic (2 ms), 1 ms of exchange, 0.5 ms of overhead
    assert timing.decode_step_s((1e-3, 3e-3), (2e-3, 1e-3), 1e-3, 0.5e-3) == pytest.approx(6.5e-3)


def test_a_request_bears_its_share_of_every_step():
    assert timing.replica_s(0.1, 0.02, 299, 16) == pytest.approx(0.1 + 299 * 0.02 / 16)


def test_larger_works_on_arrays():
    assert list(timing.larger(np.array([1.0, 4.0]), np.array([2.0, 3.0]))) == [2.0, 4.0]


def test_power_between_idling_and_training():
    assert energy.serving_power_w(70, 616, 0.5) == pytest.approx(343)


def test_activity_of_a_step():
    # of 10 ms: 2 arithmetic, 3 overhead, 5 reading; (2 + 0.8 x 5 + 0.4 x 3) / 10
    assert energy.decode_activity(2e-3, 10e-3, 3e-3, (0.8, 0.4)) == pytest.approx(0.72)


def test_a_replica_busy_four_fifths_waits_a_quarter_of_its_serving_time():
    assert energy.waiting_s(2.0, 0.8) == pytest.approx(0.5)


def test_energy_of_the_boards():
    # 4 x (1000 J + 70 W x 0.5 s) = 4140 J
    assert energy.boards_kwh(4, 1000, 70, 0.5) == pytest.approx(4140 / 3.6e6)
