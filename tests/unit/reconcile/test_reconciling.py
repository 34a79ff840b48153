"""A run by hand: eight accelerators were to work 100 hours, and each factor of what they did instead is known."""

from __future__ import annotations

import math

import pytest
from reconcile_accounts import about, account

from tonne.documents import plain, rebuilt
from tonne.errors import MeasurementError, UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Run, Stage, Work
from tonne.reconcile import Reconciliation, reconciled, reconciled_run

TOKENS, PER_TOKEN, PEAK = 1e9, 6e9, 1e14


def foretold():
    """Forecast: 1e9 tokens of 6e9 FLOP at 40 % of 8 x 1e14 FLOP/s, goodput 0.9; 400 W; PUE 1.2; 500 g/kWh.

    Stepping takes 6e18 / 3.2e14 = 18,750 s, the run 18,750 / 0.9 = 20,833.33 s, 46.296 accelerator-hours. Servers:
    18.5185 kWh, of which IT is 1.05 times as much.
    """
    lasted_s = 6e18 / 3.2e14 / 0.9
    hours = 8 * lasted_s / 3600
    servers = 0.4 * hours
    return account(
        duration_s=about(lasted_s, 0.2),
        accelerator_hours=about(hours, 0.2),
        throughput={"achieved_peak_fraction": about(0.4, 0.15), "goodput": about(0.9, 0.05)},
        energy={
            "accelerators_kwh": about(0.3 * hours, 0.25),
            "servers_kwh": about(servers, 0.25),
            "it_kwh": about(1.05 * servers, 0.25),
            "facility_kwh": about(1.26 * servers, 0.3),
        },
        carbon={"operational_location_kgco2e": about(0.63 * servers, 0.35)},
        cost_usd=about(2.0 * hours, 0.2),
    )


INPUTS = {
    "tokens": Estimate.exact(TOKENS),
    "training_flop": Estimate.exact(TOKENS * PER_TOKEN),
    "peak_flop_per_s": Estimate.exact(PEAK),
    "steps": Estimate.exact(1000.0),
}


def took(**changes):
    """Measured: 0.98 of the tokens in 20,000 s of stepping of 22,000 s; 440 W; no network; PUE 1.1; 400 g/kWh."""
    hours = 8 * 22_000 / 3600
    servers = 0.44 * hours
    fields = {
        "duration_s": Estimate.exact(22_000.0),
        "accelerator_hours": Estimate.exact(hours),
        "energy": {
            "accelerators_kwh": about(0.33 * hours, 0.02),
            "servers_kwh": about(servers, 0.04),
            "it_kwh": about(servers, 0.04),
            "facility_kwh": about(1.1 * servers, 0.05),
            "left_out": ("network", "storage"),
        },
        "carbon": {"operational_location_kgco2e": about(0.44 * servers, 0.06)},
        "cost_usd": Estimate.exact(2.0 * hours),
    }
    return account(**{**fields, **changes})


WORK = Work(tokens=int(0.98 * TOKENS), steps=980, training_flop=0.98 * TOKENS * PER_TOKEN)
STAGES = (Stage(name="stepping", duration_s=20_000.0), Stage(name="evaluation", duration_s=2_000.0))


@pytest.fixture
def found() -> Reconciliation:
    return reconciled(foretold(), took(), INPUTS, WORK, STAGES)


def factors(comparison):
    return {" x ".join(one.names): one for one in comparison.factors}


def test_duration_is_tokens_speed_goodput_and_accelerators(found):
    by_name = factors(found.of("duration_s"))
    assert list(by_name) == ["tokens", "flop_per_token", "flop_per_s", "goodput", "accelerators"]
    ratios = [one.ratio.value for one in by_name.values()]
    # tokens 0.98; FLOP per token as planned; 0.98 x 18,750 s were due, 20,000 s it took; goodput 0.9 against 20/22
    assert ratios == pytest.approx([0.98, 1.0, 20_000 / (0.98 * 18_750), 0.9 / (20 / 22), 1.0], rel=1e-12)
    assert math.prod(ratios) == pytest.approx(22_000 / (18_750 / 0.9), rel=1e-12)


def test_a_step_is_that_of_the_stepping_and_not_of_the_evaluations_between():
    # The meter knows when steps were told: 22,000 s / 980. The stage knows what they took: 20,000 s / 980.
    told = took(throughput={"step_time_s": Estimate.exact(22_000 / 980, Basis.MEASURED)})
    staged = reconciled(foretold(), told, INPUTS, WORK, STAGES).of("throughput.step_time_s")
    assert staged.measured.value == pytest.approx(20_000 / 980)
    alone = reconciled(foretold(), told, INPUTS, WORK).of("throughput.step_time_s")
    assert alone.measured.value == pytest.approx(22_000 / 980)


def test_factors_show_both_numbers_in_their_unit(found):
    by_name = factors(found.of("carbon.operational_location_kgco2e"))
    shown = {name: (one.forecast.value, one.measured.value) for name, one in by_name.items()}
    assert shown["flop_per_s"] == pytest.approx((0.4e14, 0.98 * 6e18 / 20_000 / 8))
    assert shown["goodput"] == pytest.approx((0.9, 20 / 22))
    assert shown["servers_w"] == pytest.approx((400.0, 440.0))
    assert shown["it_over_servers"] == pytest.approx((1.05, 1.0))
    assert shown["pue"] == pytest.approx((1.2, 1.1))
    assert shown["grid_gco2e_per_kwh"] == pytest.approx((500.0, 400.0))
    assert by_name["servers_w"].ratio.value == pytest.approx(1.1)


def test_utilisation_is_measured_from_the_flop_and_the_stepping(found):
    compared = found.of("throughput.achieved_peak_fraction")
    assert compared.measured.value == pytest.approx(0.98 * 6e18 / (20_000 * 8e14))  # 0.3675
    assert compared.verdict == "inside"  # of 0.348 to 0.46


def test_factors_of_the_emissions_multiply_to_the_whole(found):
    compared = found.of("carbon.operational_location_kgco2e")
    assert math.prod(one.ratio.value for one in compared.factors) == pytest.approx(
        compared.measured.value / compared.forecast.value, rel=1e-12
    )
    assert sum(one.share for one in compared.factors) == pytest.approx(1.0)


def test_interval_of_a_factor_is_what_it_adds_on_both_sides(found):
    pue = factors(found.of("energy.facility_kwh"))["pue"].ratio
    # forecast: 1.3 after 1.25; measured: 1.05 after 1.04
    of_forecast = math.log(1.3) ** 2 - math.log(1.25) ** 2
    of_measured = math.log(1.05) ** 2 - math.log(1.04) ** 2
    assert math.log(pue.high / pue.value) == pytest.approx(math.sqrt(of_forecast + of_measured))
    assert math.log(pue.value / pue.low) == pytest.approx(math.sqrt(of_forecast + of_measured))


def test_the_same_price_on_both_sides_spreads_nothing(found):
    cost = found.of("cost_usd")
    assert factors(cost)["usd_per_hour"].ratio.is_exact
    hours = found.of("accelerator_hours")
    assert cost.ratio.low == pytest.approx(hours.ratio.low)
    assert cost.ratio.high == pytest.approx(hours.ratio.high)


def test_a_shared_number_leaves_the_difference_surer():
    def bill(usd):
        return account(
            duration_s=Estimate.exact(3600.0),
            accelerator_hours=Estimate.exact(usd / 2),
            cost_usd=about(usd, 0.3),
        )

    found = reconciled(bill(100.0), bill(110.0)).of("cost_usd")
    # hours are exact and the rate is one number: ten dollars at a rate that may be 30 % higher are thirteen
    assert found.ratio.low == found.ratio.high == pytest.approx(1.1)
    assert (found.difference.value, found.difference.high) == pytest.approx((10.0, 13.0))
    assert found.difference.low == pytest.approx(10.0 - 10.0 * 0.3)


def test_verdict_says_the_side_and_whether_all_of_the_measurement_lies_there():
    def compared(value, share):
        band = account(duration_s=Estimate(value=10.0, low=8.0, high=12.0, basis="modelled"))
        one = reconciled(band, account(duration_s=about(value, share))).of("duration_s")
        return one.verdict, one.sure

    assert compared(11.0, 0.01) == ("inside", True)
    assert compared(11.9, 0.05) == ("inside", False)
    assert compared(12.0, 0.0) == ("inside", True)
    assert compared(13.0, 0.01) == ("above", True)
    assert compared(12.1, 0.05) == ("above", False)
    assert compared(7.0, 0.01) == ("below", True)


def test_what_a_side_lacks_is_said():
    found = reconciled(foretold(), took(cost_usd=None, carbon={}), INPUTS, WORK, STAGES)
    cost = found.of("cost_usd")
    assert (cost.verdict, cost.ratio, cost.difference, cost.factors) == ("unknown", None, None, ())
    assert cost.why == "the measurement has none: no price was given"
    assert found.of("carbon.operational_location_kgco2e").why == "the measurement has none: no place was given"


def test_unknown_steps_join_their_factors_into_one():
    found = reconciled(foretold(), took(), INPUTS, Work(tokens=int(0.98 * TOKENS)))
    by_name = factors(found.of("duration_s"))
    assert list(by_name) == ["tokens", "flop_per_token x flop_per_s x goodput", "accelerators"]
    joined = by_name["flop_per_token x flop_per_s x goodput"]
    assert joined.joined_because == (
        "the measurement does not say its FLOP; the measurement does not say its stepping time"
    )
    assert joined.ratio.value == pytest.approx(22_000 / (18_750 / 0.9) / 0.98)
    assert joined.forecast is None


def test_tokens_without_flop_have_those_of_the_plan():
    found = reconciled(foretold(), took(), INPUTS, Work(tokens=int(0.98 * TOKENS)), STAGES)
    fraction = found.of("throughput.achieved_peak_fraction").measured
    assert fraction.value == pytest.approx(0.3675)
    assert fraction.basis == "modelled"
    assert any("those of a token are taken as planned" in note for note in found.notes)


def test_steps_stand_in_where_nobody_told_tokens():
    found = reconciled(foretold(), took(), INPUTS, Work(steps=980), STAGES)
    assert list(factors(found.of("duration_s")))[:2] == ["steps", "flop_per_step x flop_per_s"]


def test_a_run_without_accelerators_is_told_by_its_own_hours():
    def on_a_processor(lasted_s, kwh, goodput):
        return account(
            duration_s=Estimate.exact(lasted_s),
            accelerator_hours=Estimate.exact(0.0),
            throughput={"goodput": Estimate.exact(goodput)},
            energy={"cpu_kwh": Estimate.exact(kwh)},
        )

    tokens = {"tokens": Estimate.exact(1e6)}
    found = reconciled(
        on_a_processor(100.0, 0.001, 0.9), on_a_processor(120.0, 0.0015, 0.8), tokens, Work(tokens=10**6)
    )
    by_name = factors(found.of("energy.cpu_kwh"))
    assert list(by_name) == ["tokens", "flop_per_token x flop_per_s", "goodput", "cpu_w"]
    assert by_name["cpu_w"].forecast.value == pytest.approx(36.0)  # 0.001 kWh in 100 s
    assert by_name["cpu_w"].measured.value == pytest.approx(45.0)
    assert by_name["goodput"].ratio.value == pytest.approx(0.9 / 0.8)
    hours = found.of("accelerator_hours")
    assert (hours.verdict, hours.ratio) == ("inside", None)
    assert hours.why == "the forecast and the measurement is zero: there is no ratio"


def test_watts_that_both_sides_have_from_one_model_are_off_together():
    def modelled(watts, *sources):
        kwh = watts / 1e3 * 100 / 3600
        servers = Estimate(value=kwh, low=kwh / 3, high=kwh * 3, basis=Basis.ASSUMED, sources=sources)
        return account(duration_s=Estimate.exact(100.0), energy={"servers_kwh": servers})

    found = reconciled(modelled(50.0, "trial", "a curve"), modelled(55.0, "a curve"))
    power = found.of("energy.servers_kwh")
    assert power.ratio.low == power.ratio.high == pytest.approx(1.1)
    assert power.difference.high == pytest.approx(
        3 * power.difference.value
    )  # three times the watts, three times the rest
    assert any("no sensor read the power" in note for note in found.notes)
    apart = reconciled(modelled(50.0, "trial", "a curve"), modelled(55.0, "another curve"))
    assert apart.of("energy.servers_kwh").ratio.high == pytest.approx(1.1 * math.exp(math.hypot(*2 * [math.log(3)])))
    assert not apart.notes


def test_pace_is_part_of_the_forecast_step():
    inputs = {**INPUTS, "pace": about(0.8, 0.1)}
    forecast = foretold()
    found = reconciled(forecast, took(), inputs, WORK, STAGES)
    fraction = found.of("throughput.achieved_peak_fraction").forecast
    assert fraction.value == pytest.approx(0.32)
    assert math.log(fraction.high / fraction.value) == pytest.approx(math.hypot(math.log(1.15), math.log(1.1)))


def test_what_the_measurement_leaves_out_is_said():
    forecast = foretold()
    servers = forecast.energy.servers_kwh.value
    counted = account(energy={"servers_kwh": about(servers), "network_kwh": about(0.05 * servers)})
    found = reconciled(counted, took(), INPUTS, WORK, STAGES)
    assert "the forecast counts network, the measurement does not" in found.notes[0]


def test_a_run_without_the_accelerators_of_its_forecast_is_said():
    found = reconciled(foretold(), took(accelerator_hours=Estimate.exact(0.0)), INPUTS, WORK, STAGES)
    assert any("it ran on other hardware than was forecast" in note for note in found.notes)
    assert "goodput" in factors(found.of("duration_s"))


def test_rent_against_electricity_is_said():
    forecast = account(duration_s=about(10.0), cost_usd=about(5.0), energy_cost_usd=about(5.0))
    measured = account(duration_s=about(10.0), cost_usd=about(9.0), energy_cost_usd=about(5.0))
    assert any("rent" in note for note in reconciled(forecast, measured).notes)


def test_no_difference_has_no_shares():
    found = reconciled(foretold(), foretold(), INPUTS, Work(tokens=int(TOKENS))).of("duration_s")
    assert found.ratio.value == 1.0
    assert {one.share for one in found.factors} == {None}


def test_a_reconciliation_is_a_document_and_back(found):
    assert rebuilt(Reconciliation, plain(found)) == found


def test_an_unknown_quantity_says_which_there_are(found):
    with pytest.raises(UnknownReferenceError, match=r"'kwh' is not compared. Known: duration_s"):
        found.of("kwh")


def run(**changes):
    fields = {
        "id": "r1", "name": "small", "kind": "measured", "status": "finished", "begun_unix_s": 0.0,
        "ended_unix_s": 22_000.0, "account": took(), "forecast": foretold(), "forecast_inputs": INPUTS, "work": WORK,
        "stages": STAGES,
    }  # fmt: skip
    return Run(**{**fields, **changes})


def test_a_run_is_reconciled_with_the_forecast_that_it_carries(found):
    assert reconciled_run(run()) == found


def test_a_run_that_was_cut_says_how_much_of_it_was_made(found):
    cut = reconciled_run(run(status="recovered", work=Work(tokens=WORK.tokens, steps=480)))
    assert "the run is recovered: it made 480 of 1000 steps" in cut.notes[0]
    unknown = reconciled_run(run(status="stopped", work=Work()))
    assert "the run is stopped: the forecast is of all of it" in unknown.notes[0]


def test_tokens_are_those_of_the_plan_where_the_inputs_lack_them():
    inputs = {name: one for name, one in INPUTS.items() if name != "tokens"}
    found = reconciled_run(run(forecast_inputs=inputs, plan={"data": {"tokens": TOKENS}}))
    assert found.of("duration_s").factors[0].names == ("tokens",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ended_unix_s": None, "status": "running"}, "the run r1 is running and has no end"),
        ({"account": None}, "the run r1 holds nothing that was measured"),
        ({"account": account(duration_s=Estimate.exact(0.0))}, "the run r1 holds nothing that was measured"),
        ({"forecast": None}, "tonne reconcile r1 --forecast plan.toml"),
    ],
)
def test_what_cannot_be_reconciled_says_what_to_do(changes, words):
    with pytest.raises(MeasurementError, match=words):
        reconciled_run(run(**changes))


def test_a_forecast_made_afterwards_is_said_to_be_so():
    found = reconciled_run(run(), after_the_fact=True)
    assert found.after_the_fact
    assert "it foretold nothing" in found.notes[0]


def test_zero_energy_has_no_ratio():
    found = reconciled(foretold(), took(energy={"servers_kwh": Estimate.exact(0.0)}), INPUTS, WORK)
    compared = found.of("energy.servers_kwh")
    assert compared.ratio is None
    assert compared.verdict == "below"
    assert compared.why == "the measurement is zero: there is no ratio"
