"""Paired differences: what both sides rest on cancels, what they do not adds up in squares."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

import tonne
from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Run, Work
from tonne.planning import compare, scenario_of
from tonne.planning.comparison import Verdict
from tonne.reference.grids import grid

ENERGY, CARBON = "energy.facility_kwh", "carbon.operational_location_kgco2e"


def plan(**changes):
    """7B on 64 A100 for 1e5 chip-hours of 400 W and hosts of 100 W [80, 125], in France."""
    sections = {
        "cluster": {
            "accelerator": "A100-80GB",
            "accelerators": 64,
            "accelerator_power_w": 400.0,
            "network_power_w": 0.0,
        },
        "schedule": {"accelerator_hours": 1e5},
        "site": {"grid": "FR", "pue": 1.2},
    }
    sections["cluster"]["host_power_w"] = {"value": 100.0, "low": 80.0, "high": 125.0, "source": "own meter"}
    for name, fields in changes.items():
        sections[name] = {**sections.get(name, {}), **fields}
    return tonne.TrainingPlan.from_fields(sections)


def measured(value_kwh, error, *, pue=1.2, site=None, **fields):
    """A run whose accelerators took so much, as read by sensors of that relative error, at a site."""

    def exact(value):
        return Estimate.exact(value)

    it = Estimate(
        value=value_kwh,
        low=value_kwh / (1 + error),
        high=value_kwh * (1 + error),
        basis=Basis.MEASURED,
        sources=("own",),
    )
    facility = replace(it, value=it.value * pue, low=it.low * pue, high=it.high * pue)
    account = Account(
        duration_s=exact(3600.0),
        accelerator_hours=None,
        throughput=Throughput(),
        energy=EnergyUse(it_kwh=it, facility_kwh=facility, left_out=("network", "storage")),
        carbon=Carbon(),
        water_l=None,
        cost_usd=None,
        development=None,
        uncertainty={},
        data_version="2026.1",
    )
    place = {"pue": {"value": pue, "source": "own meter"}} if site is None else site
    given = {"id": "a1", "name": "small", "status": "finished", "begun_unix_s": 0.0, "account": account, "site": place}
    return Run(**{**given, "kind": "measured", **fields})


def test_two_equal_plans_are_the_same_to_the_last_digit():
    found = compare(plan(), plan()).pairs[0]
    assert found.apart == ()
    for difference in found.differences.values():
        if difference is not None:
            assert difference.verdict == Verdict.SAME
            assert (difference.difference.low, difference.difference.high) == (0.0, 0.0)
            assert (difference.ratio.low, difference.ratio.value, difference.ratio.high) == (1.0, 1.0, 1.0)


def test_hosts_that_are_not_known_cancel_where_only_pue_changes():
    found = compare(plan(), plan(site={"pue": 1.5})).pairs[0].differences[ENERGY]
    # both 1e5 h x (400 + 100) W = 50,000 kWh of IT: 60,000 and 75,000 kWh, whatever hosts take 1.5 / 1.2 = 1.25 apart
    assert (found.ratio.low, found.ratio.high) == pytest.approx((1.25, 1.25))
    assert found.verdict == Verdict.MORE
    assert found.difference.value == pytest.approx(15_000)
    # 0.3 x 1e5 h x (80 - 100, 125 - 100) W = -600, +750 kWh
    assert (found.difference.low, found.difference.high) == pytest.approx((14_400, 15_750))


def test_what_is_apart_adds_up_in_squares():
    other = plan(cluster={"host_power_w": {"value": 100.0, "low": 80.0, "high": 125.0, "source": "another meter"}})
    found = compare(plan(), other).pairs[0]
    assert found.apart == ("host_power_w",)
    # b over a: up by b's 525 / 500, and by a's 480 / 500 below it; in squares, upwards and downwards alike
    step = math.hypot(math.log(525 / 500), math.log(500 / 480))
    ratio = found.differences[ENERGY].ratio
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((math.exp(-step), 1.0, math.exp(step)))
    assert found.differences[ENERGY].verdict == Verdict.UNCLEAR
    # differences: b up 1.2 x 2,500 kWh and a down 1.2 x 2,000 kWh
    assert found.differences[ENERGY].difference.high == pytest.approx(math.hypot(3000, 2400))


def test_an_assumed_pue_is_one_at_one_place_and_two_at_two():
    here, again = (plan(site={"grid": "FR", "pue": None}) for _ in range(2))
    there = plan(site={"grid": "DE", "pue": None})
    assert "pue" in compare(here, again).pairs[0].shared
    apart = compare(here, there)
    assert set(apart.pairs[0].apart) == {"pue", "grid_gco2e_per_kwh"}
    assert "give --pue" in apart.notes[0]
    ratio = apart.pairs[0].differences[ENERGY].ratio
    # 1.25 [1.08, 1.6] on each side: up by 1.6 / 1.25 of one and 1.25 / 1.08 of the other
    step = math.hypot(math.log(1.6 / 1.25), math.log(1.25 / 1.08))
    assert ratio.high == pytest.approx(math.exp(step))


def test_runs_of_nowhere_are_at_one_place_on_one_machine():
    def run(hardware):
        made = measured(10.0, 0.0, site={}, hardware=hardware, pue=1.25)
        energy = replace(
            made.account.energy, facility_kwh=replace(made.account.energy.facility_kwh, low=10.8, high=16.0)
        )
        return replace(made, account=replace(made.account, energy=energy))

    one, other = run({"H100": 8}), run({"H200": 8})
    assert compare(one, one).pairs[0].shared == ("pue",)
    assert compare(one, other).pairs[0].apart == ("pue",)
    assert compare(one, run({})).pairs[0].apart == ("pue",)


def test_the_model_of_one_machine_cancels_between_runs_of_different_length():
    def run(it_kwh, **fields):
        made = measured(it_kwh, 0.0, hardware={"AMD EPYC": 1}, nodes=1, **fields)
        basis, boards = {"basis": Basis.MODELLED, "sources": ("model of the host",)}, Estimate.exact(0.0)
        hosts, it, facility = (
            Estimate(value=kwh, low=kwh / 2, high=kwh * 3, **basis) for kwh in (it_kwh, it_kwh, it_kwh * 1.2)
        )
        energy = replace(
            made.account.energy, accelerators_kwh=boards, hosts_kwh=hosts, it_kwh=it, facility_kwh=facility
        )
        return replace(made, account=replace(made.account, energy=energy))

    found = compare(run(4.0), run(1.0, id="b2")).pairs[0]
    assert "hosts_kwh" in found.shared
    energy = found.differences[ENERGY]
    assert (energy.ratio.low, energy.ratio.high) == pytest.approx((0.25, 0.25))
    # 1.2 x (1 - 4) kWh; half of it where the model is half, three times it where it is three times as much
    difference = energy.difference
    assert (difference.high, difference.value, difference.low) == pytest.approx((-1.8, -3.6, -10.8))


def test_sensors_of_two_runs_are_independent_and_their_pue_cancels():
    unsure = {"pue": {"value": 1.2, "low": 1.1, "high": 1.4, "source": "own meter"}}
    a, b = measured(10.0, 0.05, site=unsure), measured(12.0, 0.05, site=unsure, id="b2")
    found = compare(a, b).pairs[0]
    assert "pue" in found.shared
    ratio = found.differences[ENERGY].ratio
    step = math.sqrt(2) * math.log(1.05)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1.2 * math.exp(-step), 1.2, 1.2 * math.exp(step)))
    assert found.differences[ENERGY].verdict == Verdict.MORE
    near = compare(a, measured(10.5, 0.05, site=unsure, id="c3")).pairs[0].differences[ENERGY]
    assert near.verdict == Verdict.UNCLEAR  # 1.05 / 1.0714 < 1
    assert near.difference.low < 0 < near.difference.high


def test_hosts_of_one_machine_are_wrong_together():
    def run(boards_kwh, hosts_kwh, hardware):
        made = measured(boards_kwh + hosts_kwh, 0.0, hardware=hardware, nodes=1)
        modelled = {"basis": Basis.MODELLED, "sources": ("rest of a host",)}
        parts = EnergyUse(
            accelerators_kwh=Estimate.exact(boards_kwh),
            hosts_kwh=Estimate(value=hosts_kwh, low=hosts_kwh / 2, high=hosts_kwh * 2, **modelled),
            it_kwh=made.account.energy.it_kwh,
            facility_kwh=made.account.energy.facility_kwh,
        )
        return replace(made, account=replace(made.account, energy=parts))

    one, two = {"H100": 8}, {"H200": 8}
    # twice everything on the same machine: the ratio is 2 whatever its hosts took
    same = compare(run(6.0, 2.0, one), run(12.0, 4.0, one)).pairs[0].differences[ENERGY].ratio
    assert (same.low, same.high) == pytest.approx((2.0, 2.0))
    other = compare(run(6.0, 2.0, one), run(12.0, 4.0, two)).pairs[0].differences[ENERGY].ratio
    # b: (12 + 8) / 16 up; a: (6 + 1) / 8 down
    assert other.high == pytest.approx(2 * math.exp(math.hypot(math.log(20 / 16), math.log(8 / 7))))


def test_an_account_that_does_not_follow_from_its_inputs_stands_as_it_was_kept():
    by_the_hour = Estimate(value=7.0, low=6.0, high=8.0, basis=Basis.MODELLED, sources=("hours",))
    run = measured(10.0, 0.0, site={"grid": "FR", "pue": {"value": 1.2, "source": "own meter"}})
    run = replace(run, account=replace(run.account, carbon=Carbon(operational_location_kgco2e=by_the_hour)))
    side = scenario_of(run)
    assert side.inputs[f"{CARBON} as it was kept"] == by_the_hour
    ratio = compare(side, run).pairs[0].differences[CARBON].ratio
    assert ratio.high == pytest.approx(math.exp(math.hypot(math.log(8 / 7), math.log(7 / 6))))


def test_a_forecast_and_a_run_share_their_place():
    site = {"grid": "FR", "pue": {"value": 1.2, "low": 1.1, "high": 1.3, "source": "own meter"}}
    run = measured(50_000.0, 0.01, site=site)
    found = compare(plan(site=site), run)
    assert "pue" in found.pairs[0].shared
    assert found.pairs[0].differences["duration_s"].verdict == Verdict.LESS  # 1 h beside 1e5 / 64 h
    assert "A leaves out storage; B leaves out network, storage" in " ".join(found.notes)


def test_energy_of_a_token_needs_the_tokens_of_both():
    a, b = (measured(kwh, 0.0, work=Work(tokens=tokens)) for kwh, tokens in ((10.0, 1000), (10.0, 2000)))
    found = compare(a, b).pairs[0].differences
    # 12 kWh x 3.6e6 J / 1000 tokens = 43,200 J; half of it for b
    assert scenario_of(a).estimate("energy_per_token_j").value == pytest.approx(43_200)
    assert found["energy_per_token_j"].ratio.value == pytest.approx(0.5)
    assert found["carbon.operational_location_kgco2e"] is None
    assert compare(a, measured(10.0, 0.0)).pairs[0].differences["energy_per_token_j"] is None


def test_what_is_zero_on_one_side_has_a_difference_but_no_ratio():
    found = compare(measured(0.0, 0.0), measured(5.0, 0.1)).pairs[0].differences[ENERGY]
    assert found.ratio is None
    assert found.verdict == Verdict.MORE
    assert found.difference.value == pytest.approx(6.0)


def test_later_sides_are_compared_with_the_first():
    found = compare(plan(), plan(site={"pue": 1.3}), plan(site={"pue": 1.8}))
    assert [pair.differences[ENERGY].ratio.value for pair in found.pairs] == pytest.approx([1.3 / 1.2, 1.5])


@pytest.mark.parametrize("number", [0, 1, 6])
def test_two_to_five_can_be_compared(number):
    with pytest.raises(DescriptionError, match=rf"{number} of them .* two to 5"):
        compare(*[plan()] * number)


def test_what_is_no_side_is_refused():
    with pytest.raises(DescriptionError, match="str cannot be compared"):
        compare("a", "b")
    with pytest.raises(DescriptionError, match="run a1 has no account"):
        compare(replace(measured(1.0, 0.0), account=None), plan())


def test_a_run_whose_plan_cannot_be_read_any_more_is_compared_all_the_same():
    run = measured(10.0, 0.0, plan={"a section of": "another version"})
    assert compare(run, measured(20.0, 0.0)).pairs[0].differences[ENERGY].ratio.value == pytest.approx(2.0)


def test_how_a_module_steps_is_shared_by_plans_of_that_module():
    at_home = tonne.TrainingPlan.from_toml(Path(__file__).parents[3] / "examples" / "resnet-50.toml")
    abroad = at_home.model_copy(update={"site": at_home.site.model_copy(update={"grid": "SE"})})
    found = compare(at_home, abroad).pairs[0].differences
    assert found["duration_s"].verdict == Verdict.SAME
    ratio = grid("SE").record.gco2e_per_kwh / grid("FR").record.gco2e_per_kwh
    assert found["carbon.operational_location_kgco2e"].ratio.value == pytest.approx(ratio)
