"""Intervals against closed forms worked out by hand."""

import math

import numpy as np
import pytest

from tonne.estimate import Basis, Estimate, propagate, weakest


def estimate(value, low, high, basis=Basis.MODELLED):
    return Estimate(value=value, low=low, high=high, basis=basis, sources=(f"s{value}",))


def test_product_of_two_log_normals_by_hand():
    # ln 2 and ln 1.5 upwards, ln 2 and ln 1.25 downwards: quadratures of the logs
    inputs = {"a": estimate(10.0, 5.0, 20.0), "b": estimate(3.0, 2.4, 4.5)}
    found = propagate(lambda x: {"y": x["a"] * x["b"]}, inputs).outputs["y"]
    assert found.value == 30.0
    assert found.high == pytest.approx(30.0 * math.exp(math.hypot(math.log(2), math.log(1.5))), rel=1e-14)
    assert found.low == pytest.approx(30.0 / math.exp(math.hypot(math.log(2), math.log(1.25))), rel=1e-14)


def test_a_shared_factor_does_not_average_out():
    # 64 jobs, one shared factor of 10 %: the sum has 10 %, not 10 % / 8
    shared = propagate(lambda x: {"sum": sum(x["f"] for _ in range(64))}, {"f": estimate(1.0, 1 / 1.1, 1.1)})
    assert shared.outputs["sum"].high == pytest.approx(64 * 1.1, rel=1e-14)
    apart = {f"f{i}": estimate(1.0, 1 / 1.1, 1.1) for i in range(64)}
    independent = propagate(lambda x: {"sum": sum(x.values())}, apart).outputs["sum"]
    # each moves the sum by 0.1/64: quadrature is 8 ln(1 + 0.1/64) = 1.249 %
    assert independent.high == pytest.approx(64 * math.exp(8 * math.log(1 + 0.1 / 64)), rel=1e-12)


def test_a_divisor_turns_its_sides():
    found = propagate(lambda x: {"y": 1.0 / x["a"]}, {"a": estimate(2.0, 1.0, 8.0)}).outputs["y"]
    assert (found.low, found.value, found.high) == pytest.approx((0.125, 0.5, 1.0))


def test_zero_keeps_a_plain_interval():
    found = propagate(lambda x: {"y": 10.0 * x["g"]}, {"g": estimate(0.0, 0.0, 5.0)}).outputs["y"]
    assert (found.low, found.value, found.high) == (0.0, 0.0, 50.0)


def test_exact_inputs_bring_no_spread_and_the_weakest_basis_counts():
    inputs = {"a": Estimate.exact(2.0), "b": Estimate.exact(3.0, Basis.ASSUMED, "default")}
    found = propagate(lambda x: {"y": x["a"] * x["b"]}, inputs).outputs["y"]
    assert (found.low, found.value, found.high) == (6.0, 6.0, 6.0)
    assert found.basis is Basis.ASSUMED
    assert weakest([Basis.MEASURED, Basis.PUBLISHED]) is Basis.PUBLISHED


def test_shares_of_variance_sum_to_one():
    inputs = {"a": estimate(1.0, 0.5, 2.0), "b": estimate(1.0, 1 / 1.1, 1.1)}
    shares = propagate(lambda x: {"y": x["a"] * x["b"]}, inputs).shares["y"]
    a, b = math.log(2) ** 2, math.log(1.1) ** 2
    assert shares == pytest.approx({"a": a / (a + b), "b": b / (a + b)})


def test_arrays_give_what_single_numbers_give():
    values = np.array([1.0, 0.0, 5.0])
    many = propagate(
        lambda x: {"y": x["a"] * x["b"]}, {"a": Estimate.exact(values), "b": estimate(2.0, 1.0, 3.0)}
    ).outputs["y"]
    for i, value in enumerate(values):
        one = propagate(
            lambda x: {"y": x["a"] * x["b"]}, {"a": Estimate.exact(float(value)), "b": estimate(2.0, 1.0, 3.0)}
        ).outputs["y"]
        assert (many.low[i], many.value[i], many.high[i]) == pytest.approx((one.low, one.value, one.high), rel=1e-14)
