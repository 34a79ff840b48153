"""How often forecasts held: which runs count, and the interval of the share."""

from __future__ import annotations

import pytest
from reconcile_accounts import about, account

from tonne.estimate import Estimate
from tonne.ledger.records import Run
from tonne.reconcile import coverage_of

FORECAST = account(duration_s=Estimate(value=100.0, low=80.0, high=130.0, basis="modelled"))


def run(lasted_s, **changes):
    fields = {
        "id": "r", "name": "r", "kind": "measured", "status": "finished", "begun_unix_s": 0.0, "ended_unix_s": 1.0,
        "account": account(duration_s=about(lasted_s)), "forecast": FORECAST,
    }  # fmt: skip
    return Run(**{**fields, **changes})


def test_share_inside_with_its_exact_interval():
    (found,) = coverage_of([run(90.0), run(120.0), run(70.0), run(200.0), run(100.0)])
    assert (found.quantity, found.runs, found.inside, found.above, found.below) == ("duration_s", 5, 3, 1, 1)
    # Clopper-Pearson, 90 %, 3 of 5: scipy.stats.beta.ppf(0.05, 3, 3) and (0.95, 4, 2)
    assert (found.share, found.low, found.high) == pytest.approx((0.6, 0.189255, 0.923560), abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"status": "stopped"},
        {"ended_unix_s": None, "status": "running"},
        {"forecast": None},
        {"account": None},
        {"account": account(duration_s=about(0.0))},
        {"kind": "forecast", "status": "forecast"},
    ],
    ids=["failed", "stopped", "running", "not forecast", "not measured", "nothing lasted", "a forecast"],
)
def test_runs_that_say_nothing_of_forecasts_do_not_count(changes):
    assert coverage_of([run(100.0, **changes)]) == ()


def test_a_quantity_counts_where_both_sides_know_it():
    with_energy = account(duration_s=about(100.0), energy={"it_kwh": about(2.0)})
    foretold = account(duration_s=about(100.0, 0.1), energy={"it_kwh": about(1.0, 0.1)})
    found = coverage_of([run(100.0), run(0, account=with_energy, forecast=foretold)])
    assert [(one.quantity, one.runs, one.inside) for one in found] == [("duration_s", 2, 2), ("energy.it_kwh", 1, 0)]


def test_energy_of_the_model_that_was_forecast_with_is_no_test_of_it():
    def modelled(*sources):
        kwh = Estimate(value=1.0, low=0.5, high=2.0, basis="assumed", sources=sources)
        return account(duration_s=about(100.0), energy={"servers_kwh": kwh, "it_kwh": kwh, "facility_kwh": kwh})

    itself = run(0, account=modelled("a curve"), forecast=modelled("trial", "a curve"))
    assert [one.quantity for one in coverage_of([itself])] == ["duration_s"]
    another = run(0, account=modelled("another curve"), forecast=modelled("trial", "a curve"))
    assert "energy.it_kwh" in [one.quantity for one in coverage_of([another])]
