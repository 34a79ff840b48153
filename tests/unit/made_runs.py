"""Runs to look at through lenses, made by hand."""

from __future__ import annotations

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Evidence, Link, Run, Work

DAY_S = 86_400.0
USUAL = {
    "days": 2.0,
    "accelerator_hours": 48.0,
    "accelerators_kwh": 20.0,
    "servers_kwh": 28.0,
    "it_kwh": 30.0,
    "facility_kwh": 36.0,
    "location_kg": 12.0,
    "market_kg": None,
    "embodied_kg": 3.0,
    "water_l": 60.0,
    "cost_usd": 100.0,
}


def estimate(value, low=None, high=None, basis=Basis.MODELLED, source="by hand"):
    return Estimate(
        value=value,
        low=value if low is None else low,
        high=value if high is None else high,
        basis=basis,
        sources=(source,),
    )


def account(*, spread=0.1, coverage=0.8, throughput=None, **given):
    """An account of two days on a node; every estimate but time reaches `spread` to both sides."""
    x = USUAL | given

    def around(name):
        value = x[name]
        return None if value is None else estimate(value, value * (1 - spread), value * (1 + spread))

    def exactly(value):
        return None if value is None else estimate(value, basis=Basis.MEASURED)

    return Account(
        duration_s=exactly(x["days"] * DAY_S if x["days"] is not None else None),
        accelerator_hours=exactly(x["accelerator_hours"]),
        throughput=throughput or Throughput(),
        energy=EnergyUse(
            accelerators_kwh=around("accelerators_kwh"),
            servers_kwh=around("servers_kwh"),
            it_kwh=around("it_kwh"),
            facility_kwh=around("facility_kwh"),
            measured_kwh=None if coverage is None or x["it_kwh"] is None else estimate(coverage * x["it_kwh"]),
            coverage=coverage,
            left_out=("network", "storage"),
        ),
        carbon=Carbon(
            operational_location_kgco2e=around("location_kg"),
            operational_market_kgco2e=around("market_kg"),
            embodied_kgco2e=around("embodied_kg"),
        ),
        water_l=around("water_l"),
        cost_usd=around("cost_usd"),
        development=None,
        uncertainty={},
        data_version="2026.11",
    )


def run(id="r1", *, name=None, purpose="final", links=(), work=None, **fields):
    """A measured run on eight H100 in France."""
    return Run(
        **{
            "id": id,
            "name": name or id,
            "kind": "measured",
            "status": "finished",
            "begun_unix_s": 1_770_000_000.0,
            "ended_unix_s": 1_770_000_000.0 + 2 * DAY_S,
            "purpose": purpose,
            "account": account(),
            "work": work or Work(parameters=1_000_000, tokens=20_000_000, training_flop=1.2e14),
            "site": {"grid": "FR"},
            "hardware": {"NVIDIA H100 80GB HBM3": 8},
            "nodes": 1,
            "evidence": Evidence(tonne_version="0.1.0", data_version="2026.11", python="3.12.3"),
            "links": tuple(Link(kind=kind, to=to) for kind, to in links),
            **fields,
        }
    )
