"""A reconciliation in lines: what a reader is told, in which words."""

from __future__ import annotations

from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Run
from tonne.reconcile import Comparison, Factor, Reconciliation
from tonne.report.reconcile_text import lines

RUN = Run(id="r1", name="small", kind="measured", status="finished", begun_unix_s=0.0, ended_unix_s=1.0)


def about(value, low, high):
    return Estimate(value=value, low=low, high=high, basis=Basis.MODELLED)


def compared(quantity, **changes):
    fields = {
        "quantity": quantity, "forecast": about(100.0, 80.0, 130.0), "measured": Estimate.exact(110.0),
        "difference": about(10.0, -20.0, 30.0), "ratio": about(1.1, 0.85, 1.4), "verdict": "inside", "sure": True,
        "why": None, "factors": (),
    }  # fmt: skip
    return Comparison(**{**fields, **changes})


def text(*comparisons, notes=()):
    return "\n".join(lines(RUN, Reconciliation(comparisons=comparisons, notes=notes)))


def test_a_row_has_both_numbers_their_ratio_and_the_verdict():
    printed = text(compared("duration_s", verdict="above", sure=False))
    assert "Duration         1.7 min [1.3 - 2.2 min]             1.83 min" in printed
    assert "x1.10 [0.85 - 1.40]   ABOVE (its own interval is not)" in printed
    assert "Verdict: 0 of 1 figures are inside their 90 % band; Duration above." in printed


def test_factors_are_told_with_their_numbers():
    speed = Factor(
        names=("flop_per_s",), ratio=about(1.1, 0.9, 1.3), forecast=about(4e14, 3e14, 5e14),
        measured=Estimate.exact(3.6e14), share=1.0,
    )  # fmt: skip
    same = Factor(
        names=("tokens",), ratio=Estimate.exact(1.0), forecast=Estimate.exact(5.0), measured=Estimate.exact(5.0)
    )
    printed = text(compared("duration_s", factors=(same, speed)))
    assert "Duration x1.10 = tokens x1 · speed x1.10 [0.90 - 1.30] (4.00e14 -> 3.60e14 FLOP/s)" in printed


def test_factors_that_cannot_be_told_apart_are_named_together():
    joined = Factor(names=("tokens", "flop_per_token"), ratio=about(1.1, 0.9, 1.3), joined_because="nobody said")
    assert "= tokens and FLOP of a token together x1.10" in text(compared("duration_s", factors=(joined,)))


def test_emissions_repeat_no_factor_of_the_energy():
    power = Factor(names=("servers_w",), ratio=about(1.1, 0.9, 1.3), forecast=about(1, 1, 1), measured=about(1.1, 1, 2))
    grid = Factor(
        names=("grid_gco2e_per_kwh",), ratio=Estimate.exact(0.8), forecast=Estimate.exact(350.0),
        measured=Estimate.exact(280.0),
    )  # fmt: skip
    printed = text(
        compared("energy.facility_kwh", factors=(power,)),
        compared("carbon.operational_location_kgco2e", ratio=Estimate.exact(0.88), factors=(power, grid)),
    )
    assert "CO2e, grid x0.88 = Energy's · grid x0.80 (350 -> 280 g/kWh)" in printed
    assert printed.count("power of servers") == 1


def test_what_cannot_be_said_comes_with_its_reason_and_notes_last():
    unknown = {"measured": None, "difference": None, "ratio": None, "verdict": "unknown", "sure": None}
    printed = text(
        compared("duration_s"),
        compared("energy.network_kwh", why="the measurement has none: no switch was read", **unknown),
        notes=("something else",),
    )
    assert "Cannot be said   energy of network: the measurement has none: no switch was read" in printed
    assert printed.splitlines()[-1] == "  Note             something else"
