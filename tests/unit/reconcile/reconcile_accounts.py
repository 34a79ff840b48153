"""Accounts by hand for the tests of reconciling."""

from __future__ import annotations

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate

UNKNOWN = dict.fromkeys(("duration_s", "accelerator_hours", "water_l", "cost_usd", "development"))


def about(value, share=0.0, basis=Basis.MEASURED):
    """An estimate whose interval reaches the same factor to both sides."""
    return Estimate(value=value, low=value / (1 + share), high=value * (1 + share), basis=basis)


def account(*, energy=None, carbon=None, throughput=None, **fields):
    """An account of which only these fields are known."""
    return Account(
        throughput=Throughput(**(throughput or {})),
        energy=EnergyUse(**(energy or {})),
        carbon=Carbon(**(carbon or {})),
        uncertainty={},
        data_version="test",
        **{**UNKNOWN, **fields},
    )
