"""What one run amounts to, by the quantities that lenses add up; what is unknown is None."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.ledger.lenses.compute import training_flop
from tonne.ledger.records import Run

Reader = Callable[[Account], Estimate | None]
OF_ACCOUNT: Mapping[str, Reader] = {
    "duration_s": lambda a: a.duration_s,
    "accelerator_hours": lambda a: a.accelerator_hours,
    "accelerators_kwh": lambda a: a.energy.accelerators_kwh,
    "servers_kwh": lambda a: a.energy.servers_kwh,
    "it_kwh": lambda a: a.energy.it_kwh,
    "facility_kwh": lambda a: a.energy.facility_kwh,
    "operational_location_kgco2e": lambda a: a.carbon.operational_location_kgco2e,
    "operational_market_kgco2e": lambda a: a.carbon.operational_market_kgco2e,
    "embodied_kgco2e": lambda a: a.carbon.embodied_kgco2e,
    "water_l": lambda a: a.water_l,
    "cost_usd": lambda a: a.cost_usd,
}
TRAINING_FLOP = "training_flop"
QUANTITIES = (TRAINING_FLOP, *OF_ACCOUNT)


def amount(run: Run, quantity: str) -> Estimate | None:
    """One quantity of a run."""
    if quantity == TRAINING_FLOP:
        return training_flop(run)
    return None if run.account is None else OF_ACCOUNT[quantity](run.account)


def amounts_of(run: Run, quantities: tuple[str, ...]) -> dict[str, Estimate | None]:
    """Some quantities of a run."""
    return {quantity: amount(run, quantity) for quantity in quantities}
