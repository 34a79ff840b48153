"""The figures of a report: where each stands in the Account, and in which units people read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, VOLUME_L

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.estimate import Estimate

Units = Sequence[tuple[float, str]]
HOURS = ((1e6, "M h"), (1.0, "h"))
MONEY_USD = ((1e6, "M USD"), (1.0, "USD"))
POWER_W = ((1e6, "MW"), (1e3, "kW"), (1.0, "W"))
RATE = ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s"))
SHARE = ((1e-2, "%"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One figure: its path in the Account, whose last word is its unit, and the units it is shown in."""

    path: str
    units: Units
    of_energy: bool = False  # unknown where the energy is


ENERGY = Quantity(path="energy.facility_kwh", units=ENERGY_KWH)
CARBON = Quantity(path="carbon.operational_location_kgco2e", units=MASS_KG, of_energy=True)
HEADLINE = (
    Quantity(path="duration_s", units=TIME_S),
    Quantity(path="accelerator_hours", units=HOURS),
    ENERGY,
    CARBON,
    Quantity(path="carbon.operational_market_kgco2e", units=MASS_KG, of_energy=True),
    Quantity(path="carbon.embodied_kgco2e", units=MASS_KG),
    Quantity(path="water_l", units=VOLUME_L, of_energy=True),
    Quantity(path="cost_usd", units=MONEY_USD),
)
PARTS = ("accelerators_kwh", "cpu_kwh", "memory_kwh", "host_rest_kwh", "network_kwh", "storage_kwh")
WHOLES = ("hosts_kwh", "servers_kwh", "it_kwh", "measured_kwh")
SPEED = (
    Quantity(path="throughput.step_time_s", units=((1.0, "s"), (1e-3, "ms"))),
    Quantity(path="throughput.tokens_per_s", units=RATE),
    Quantity(path="throughput.examples_per_s", units=RATE),
    Quantity(path="throughput.achieved_peak_fraction", units=SHARE),
    Quantity(path="throughput.goodput", units=SHARE),
)
DETAIL = (
    *(Quantity(path=f"energy.{name}", units=ENERGY_KWH) for name in (*PARTS, *WHOLES)),
    Quantity(path="water_on_site_l", units=VOLUME_L, of_energy=True),
    Quantity(path="water_off_site_l", units=VOLUME_L, of_energy=True),
    Quantity(path="energy_cost_usd", units=MONEY_USD),
    *SPEED,
)
EVERY = (*HEADLINE, *DETAIL)
UNIT_OF_SUFFIX = {
    "s": "s", "hours": "h", "kwh": "kWh", "kgco2e": "kgCO2e", "l": "L", "usd": "USD", "fraction": "1", "goodput": "1",
}  # fmt: skip


def unit_of(path: str) -> str:
    """The unit of a path's plain number."""
    if path.endswith("_per_s"):
        return "1/s"
    return UNIT_OF_SUFFIX[path.rsplit("_", 1)[-1].rsplit(".", 1)[-1]]


def estimate_at(account: Account | None, path: str) -> Estimate | None:
    """The figure at a path; None where it, or the account, is unknown."""
    found: Any = account
    for name in path.split("."):
        if found is None:
            return None
        found = getattr(found, name)
    result: Estimate | None = found
    return result
