"""Figures from Clopper and Pearson's definition, worked out in closed form where there is one."""

from __future__ import annotations

import pytest

from tonne.estimate import binomial_interval
from tonne.validation.statistics import quantile


def test_all_hits_leave_only_a_lower_end_of_closed_form():
    # P(X >= n | p) = p^n = 0.025, so p = 0.025^(1/11) = exp(ln 0.025 / 11) = exp(-3.688879 / 11)
    low, high = binomial_interval(11, 11)
    assert low == pytest.approx(0.7150858, rel=1e-6)
    assert high == 1.0


def test_no_hit_mirrors_all_hits():
    low, high = binomial_interval(0, 11)
    assert low == 0.0
    assert high == pytest.approx(1.0 - 0.7150858, rel=1e-6)


def test_one_of_two_by_hand():
    # P(X >= 1 | p) = 1 - (1 - p)^2 = 0.025: p = 1 - sqrt(0.975) = 0.0125791; by symmetry the upper end is 0.9874209
    low, high = binomial_interval(1, 2)
    assert low == pytest.approx(1 - 0.975**0.5, rel=1e-9)
    assert high == pytest.approx(0.975**0.5, rel=1e-9)


def test_quantile_lies_between_neighbours():
    assert quantile([4.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([0.0, 10.0], 0.9) == pytest.approx(9.0)
