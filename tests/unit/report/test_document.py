"""Documents of another version are refused, and values are rebuilt by their types."""

from __future__ import annotations

import json

import pytest

from tonne.account import Account, Carbon, Throughput
from tonne.documents import plain, rebuilt
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.report.document import from_document


def test_account_parses_back_whole():
    hours = Estimate(value=0.1 + 0.2, low=0.1, high=1e300, basis=Basis.MODELLED, sources=("a", "b"))
    before = Account(
        duration_s=None,
        accelerator_hours=hours,
        throughput=Throughput(goodput=hours),
        energy=EnergyUse(it_kwh=hours, coverage=0.5, left_out=("storage",)),
        carbon=Carbon(),
        water_l=None,
        cost_usd=hours,
        development=None,
        uncertainty={"cost_usd": {"price": 1.0}},
        data_version="2026.11",
        notes=("a note",),
    )
    assert rebuilt(Account, json.loads(json.dumps(plain(before)))) == before


def test_other_version_is_refused():
    with pytest.raises(DescriptionError, match=r"schema_version='9' cannot be read"):
        from_document({"schema_version": "9"})
