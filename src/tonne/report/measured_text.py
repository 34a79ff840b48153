"""A measured run as text: all of its account; and the list of those that are known."""

from __future__ import annotations

from collections.abc import Sequence

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.measure.recover import Listed
from tonne.measure.replay import Measured
from tonne.report.numbers import ENERGY_KWH, HOURS, MASS_KG, MONEY_USD, TIME_S, VOLUME_L, short, value_and_interval
from tonne.report.text import listed as with_label

LABEL, VALUE, INTERVAL = 17, 16, 30
ID_WIDTH, NAME_WIDTH = 44, 24


def run_lines(run: Measured, account: Account, view: str) -> list[str]:
    """All of a measured run's account."""
    a, energy, carbon = account, account.energy, account.carbon
    title = {"node": "", "job": " · this job's share", "others": " · without this job's share"}[view]
    lines = [f"Run  {run.name} · {run.status} · {run.run}{title}", ""]
    lines += [_row("Duration", a.duration_s, TIME_S), _row("  accelerators", a.accelerator_hours, HOURS)]
    coverage = "" if energy.coverage is None else f"{energy.coverage:.0%} of IT measured"
    lines.append(_row("Energy", energy.facility_kwh, ENERGY_KWH, coverage))
    named = [("accelerators", energy.accelerators_kwh), ("processors", energy.cpu_kwh), ("memory", energy.memory_kwh)]
    named += [("rest of host", energy.host_rest_kwh), ("IT", energy.it_kwh), ("measured", energy.measured_kwh)]
    for label, part in named:
        lines.append(_row(f"  {label}", part, ENERGY_KWH, "" if part is None else part.basis.value))
    lines.append(_row("CO2e, grid", carbon.operational_location_kgco2e, MASS_KG))
    lines.append(_row("CO2e, embodied", carbon.embodied_kgco2e, MASS_KG))
    lines += [_row("Water", a.water_l, VOLUME_L), _row("Cost", a.cost_usd, MONEY_USD), ""]
    if run.windows:
        lines += with_label("Windows", [f"{name} x {count}" for name, count in run.windows.items()])
    lines += with_label("Not included", list(energy.left_out))
    return lines + [line for note in a.notes for line in with_label("Note", [note])]


def _row(label: str, estimate: Estimate | None, units: Sequence[tuple[float, str]], remark: str = "") -> str:
    if estimate is None:
        return f"  {label:<{LABEL}}unknown"
    value, interval = value_and_interval(estimate, units)
    return f"  {label:<{LABEL}}{value:<{VALUE}}{interval:<{INTERVAL}}{remark}".rstrip()


def list_lines(runs: Sequence[Listed]) -> list[str]:
    """Runs as a table."""
    lines = [f"{'id':<{ID_WIDTH}}  {'name':<{NAME_WIDTH}}  {'status':<11}  {'lasted':>9}"]
    for run in runs:
        lasted = short(run.duration_s, TIME_S)
        lines.append(f"{run.id:<{ID_WIDTH}}  {run.name[:NAME_WIDTH]:<{NAME_WIDTH}}  {run.status:<11}  {lasted:>9}")
    return lines
