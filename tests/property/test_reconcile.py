"""Whatever is known of a forecast and a measurement: the factors of each difference multiply to the whole of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Stage, Work
from tonne.reconcile import reconciled

POSITIVE = st.floats(1e-9, 1e12)


@st.composite
def estimates(draw):
    """An estimate, or nothing."""
    if draw(st.booleans()):
        return None
    value, down, up = draw(POSITIVE), draw(st.floats(0.0, 1.0)), draw(st.floats(0.0, 1.0))
    return Estimate(
        value=value, low=value * math.exp(-down), high=value * math.exp(up), basis=draw(st.sampled_from(list(Basis)))
    )


def known(draw, names):
    return {name: draw(estimates()) for name in names}


@st.composite
def accounts(draw):
    """An account of which any part may be unknown."""
    kwh = [name for name in EnergyUse.__dataclass_fields__ if name.endswith("_kwh")]
    plain = ("duration_s", "accelerator_hours", "water_l", "water_on_site_l", "cost_usd", "energy_cost_usd")
    share = draw(st.none() | st.floats(0.01, 1.0))
    goodput = None if share is None else Estimate.exact(share)
    throughput = {name: draw(estimates()) for name in ("step_time_s", "achieved_peak_fraction", "tokens_per_s")}
    return Account(
        throughput=Throughput(**throughput, goodput=goodput),
        energy=EnergyUse(**known(draw, kwh)),
        carbon=Carbon(**known(draw, Carbon.__dataclass_fields__)),
        development=None,
        uncertainty={},
        data_version="test",
        **known(draw, plain),
    )


WORKS = st.builds(
    Work,
    tokens=st.none() | st.integers(1, 10**15),
    steps=st.none() | st.integers(1, 10**7),
    training_flop=st.none() | st.floats(1.0, 1e27),
)
INPUTS = st.dictionaries(
    st.sampled_from(["tokens", "steps", "training_flop", "peak_flop_per_s", "pace"]),
    POSITIVE.map(Estimate.exact),
)
STAGES = st.lists(st.builds(Stage, name=st.just("stepping"), duration_s=POSITIVE), max_size=1)


@given(accounts(), accounts(), INPUTS, WORKS, STAGES)
def test_factors_multiply_to_the_whole(forecast, measured, inputs, work, stages):
    for one in reconciled(forecast, measured, inputs, work, stages).comparisons:
        if one.ratio is None:
            assert one.factors == ()
            continue
        whole = one.measured.value / one.forecast.value
        assert one.ratio.value == pytest.approx(whole, rel=1e-12)
        assert math.prod(factor.ratio.value for factor in one.factors) == pytest.approx(whole, rel=1e-12)
        shares = [factor.share for factor in one.factors if factor.share is not None]
        assert not shares or sum(shares) == pytest.approx(1.0, abs=1e-6)


@given(accounts(), accounts(), INPUTS, WORKS, STAGES)
def test_intervals_hold_their_values_and_no_name_is_lost(forecast, measured, inputs, work, stages):
    for one in reconciled(forecast, measured, inputs, work, stages).comparisons:
        for factor in one.factors:
            assert factor.names
            assert (len(factor.names) == 1) == (factor.joined_because is None)
            for estimate in (factor.ratio, factor.forecast, factor.measured):
                if estimate is not None:
                    assert estimate.low <= estimate.value * (1 + 1e-12)
                    assert estimate.value <= estimate.high * (1 + 1e-12)
        if one.difference is not None:
            assert one.difference.low <= one.difference.value <= one.difference.high


@given(accounts(), WORKS)
def test_what_came_as_forecast_is_inside(account, work):
    verdicts = {one.verdict for one in reconciled(account, account, {}, work).comparisons if one.ratio is not None}
    assert verdicts <= {"inside"}
