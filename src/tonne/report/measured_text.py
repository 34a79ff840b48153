"""The account of a measured run as text."""

from __future__ import annotations

from collections.abc import Sequence

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.report.numbers import ENERGY_KWH, HOURS, MASS_KG, MONEY_USD, TIME_S, VOLUME_L, value_and_interval

LABEL, VALUE, INTERVAL = 17, 16, 30


def account_lines(account: Account) -> list[str]:
    """Time, energy by part, CO2e, water and money of an account, each with its interval."""
    a, energy, carbon = account, account.energy, account.carbon
    lines = [_row("Duration", a.duration_s, TIME_S), _row("  accelerators", a.accelerator_hours, HOURS)]
    coverage = "" if energy.coverage is None else f"{energy.coverage:.0%} of IT measured"
    lines.append(_row("Energy", energy.facility_kwh, ENERGY_KWH, coverage))
    named = [("accelerators", energy.accelerators_kwh), ("processors", energy.cpu_kwh), ("memory", energy.memory_kwh)]
    named += [("rest of host", energy.host_rest_kwh), ("IT", energy.it_kwh), ("measured", energy.measured_kwh)]
    for label, part in named:
        lines.append(_row(f"  {label}", part, ENERGY_KWH, "" if part is None else part.basis.value))
    lines.append(_row("CO2e, grid", carbon.operational_location_kgco2e, MASS_KG))
    lines.append(_row("CO2e, embodied", carbon.embodied_kgco2e, MASS_KG))
    return [*lines, _row("Water", a.water_l, VOLUME_L), _row("Cost", a.cost_usd, MONEY_USD)]


def _row(label: str, estimate: Estimate | None, units: Sequence[tuple[float, str]], remark: str = "") -> str:
    if estimate is None:
        return f"  {label:<{LABEL}}unknown"
    value, interval = value_and_interval(estimate, units)
    return f"  {label:<{LABEL}}{value:<{VALUE}}{interval:<{INTERVAL}}{remark}".rstrip()
