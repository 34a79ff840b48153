"""What must always hold of a forecast."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tonne
from tonne.errors import ElementError

OUTPUTS = [
    "duration_s", "accelerator_hours", "throughput.tokens_per_s", "throughput.step_time_s", "energy.accelerators_kwh",
    "energy.hosts_kwh", "energy.network_kwh", "energy.it_kwh", "energy.facility_kwh",
    "carbon.operational_location_kgco2e", "carbon.embodied_kgco2e", "cost_usd", "energy_cost_usd", "water_l",
]  # fmt: skip


def plan(**changes):
    fields = {
        "architecture": {"preset": "gpt2-small"},
        "data": {"tokens": 10e9, "sequence_length": 1024},
        "training": {"global_batch_sequences": 512},
        "cluster": {"accelerator": "A100-80GB", "accelerators": 64},
        "site": {"grid": "FR", "pue": 1.2, "wue_l_per_kwh": 0.5, "grid_wue_l_per_kwh": 3.0, "usd_per_kwh": 0.1},
        "schedule": {},
    }
    for path, value in changes.items():
        section, name = path.split("__")
        fields[section][name] = value
    return tonne.TrainingPlan.from_fields(fields)


def at(account, path):
    for name in path.split("."):
        account = getattr(account, name)
    return account


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    tokens=st.lists(st.floats(1e6, 1e14), min_size=1, max_size=4),
    accelerators=st.integers(1, 100_000),
    pue=st.floats(1.0, 3.0),
    goodput=st.floats(0.1, 1.0),
    length=st.integers(16, 100_000),
)
def test_many_equal_one_by_one_to_1e_12(tokens, accelerators, pue, goodput, length):
    many = tonne.forecast_many(
        plan(site__pue=pue, schedule__goodput=goodput, data__sequence_length=length),
        {"data.tokens": np.array(tokens), "cluster.accelerators": accelerators},
    )
    for i, n in enumerate(tokens):
        one = tonne.forecast(
            plan(
                data__tokens=n,
                cluster__accelerators=accelerators,
                site__pue=pue,
                schedule__goodput=goodput,
                data__sequence_length=length,
            )
        )
        for path in OUTPUTS:
            alone, among = at(one.account, path), at(many.account, path)
            assert (alone is None) == (among is None), path
            if alone is not None:
                for name in ("value", "low", "high"):
                    found = np.broadcast_to(getattr(among, name), len(tokens))[i]
                    assert math.isclose(getattr(alone, name), found, rel_tol=1e-12), (path, name)


def test_names_and_numbers_vary_together():
    chips, zones, tokens = ["H100", "A100", "H100"], ["DE", "FR", "FR"], [1e9, 2e9, 3e9]
    many = tonne.forecast_many(
        plan(), {"cluster.accelerator": chips, "site.grid": zones, "data.tokens": tokens}
    ).account.carbon.operational_location_kgco2e
    for i in range(3):
        one = tonne.forecast(plan(cluster__accelerator=chips[i], site__grid=zones[i], data__tokens=tokens[i]))
        assert many.value[i] == pytest.approx(one.account.carbon.operational_location_kgco2e.value, rel=1e-12)
        assert many.high[i] == pytest.approx(one.account.carbon.operational_location_kgco2e.high, rel=1e-12)


def test_sequence_lengths_and_power_caps_as_arrays():
    fields = {"data.sequence_length": [512.0, 2048.0, 8192.0], "cluster.power_cap_w": [200.0, 250.0, 390.0]}
    many = tonne.forecast_many(plan(cluster__power_cap_w=300.0), fields)
    for i in range(3):
        one = tonne.forecast(
            plan(
                data__sequence_length=int(fields["data.sequence_length"][i]),
                cluster__power_cap_w=fields["cluster.power_cap_w"][i],
            )
        )
        assert many.account.energy.it_kwh.value[i] == pytest.approx(one.account.energy.it_kwh.value, rel=1e-12)
        assert many.counts.training_flop[i] == pytest.approx(one.counts.training_flop, rel=1e-12)


@pytest.mark.parametrize("bad", [-1.0, 0.0, math.nan, math.inf])
def test_a_bad_element_raises_with_its_index(bad):
    with pytest.raises(ElementError, match="element 2") as caught:
        tonne.forecast_many(plan(), {"data.tokens": [1e9, 2e9, bad, 4e9]})
    assert caught.value.index == 2


@settings(max_examples=20, deadline=None)
@given(tokens=st.integers(10**6, 10**13))
def test_doubling_tokens_doubles_the_energy(tokens):
    once = tonne.forecast(plan(data__tokens=tokens)).account.energy.facility_kwh
    twice = tonne.forecast(plan(data__tokens=2 * tokens)).account.energy.facility_kwh
    assert twice.value == pytest.approx(2 * once.value, rel=1e-12)
    assert twice.high == pytest.approx(2 * once.high, rel=1e-12)


def test_low_value_high_are_in_order_and_parts_add_up():
    account = tonne.forecast(plan()).account
    for path in OUTPUTS:
        e = at(account, path)
        assert e is not None, path
        assert e.low <= e.value <= e.high, path
    e = account.energy
    assert e.it_kwh.value == pytest.approx(e.accelerators_kwh.value + e.hosts_kwh.value + e.network_kwh.value)
    assert e.facility_kwh.value == pytest.approx(1.2 * e.it_kwh.value)
