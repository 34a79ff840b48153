"""A measured run as text: a line while it runs, a line at its end, and all of its account."""

from __future__ import annotations

from collections.abc import Sequence

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.measure.progress import Expected
from tonne.measure.recover import Listed
from tonne.measure.replay import Measured
from tonne.report.numbers import ENERGY_KWH, HOURS, MASS_KG, MONEY_USD, TIME_S, VOLUME_L, short, value_and_interval
from tonne.report.text import listed as with_label

SMALL_ENERGY_KWH = (*ENERGY_KWH, (1e-3, "Wh"))
LABEL, VALUE, INTERVAL = 17, 16, 30
ID_WIDTH, NAME_WIDTH = 44, 24


def between(estimate: Estimate, units: Sequence[tuple[float, str]]) -> str:
    """A value and its interval, as in a sentence."""
    value, interval = value_and_interval(estimate, units)
    return value if interval == "exact" else f"{value} ({interval})"


def live_line(account: Account, expected: Expected | None) -> str:
    """How a run stands."""
    parts = ["tonne:", *_taken(account)]
    if expected is not None:
        parts.append(f"step {expected.step} of {expected.total_steps}")
        if expected.facility_kwh is not None:
            parts.append(f"will end at {between(expected.facility_kwh, SMALL_ENERGY_KWH)}")
        parts.append(f"after {short(expected.duration_s.value, TIME_S)}")
    return f"{parts[0]} {' · '.join(parts[1:])}"


def closing_line(account: Account, run: str) -> str:
    """What a run took, and where to read more."""
    coverage = account.energy.coverage
    read = "" if coverage is None else f" · {coverage:.0%} of it measured"
    return f"tonne: {' · '.join(_taken(account))}{read} · tonne runs show {run}"


def _taken(account: Account) -> list[str]:
    parts = [] if account.duration_s is None else [short(account.duration_s.value, TIME_S)]
    energy, carbon = account.energy.facility_kwh, account.carbon.operational_location_kgco2e
    parts.append("energy unknown" if energy is None else between(energy, SMALL_ENERGY_KWH))
    parts.append("CO2e unknown (no place given)" if carbon is None else f"{between(carbon, MASS_KG)} CO2e")
    return parts


def run_lines(run: Measured, account: Account, view: str) -> list[str]:
    """All of a measured run's account."""
    a, energy, carbon = account, account.energy, account.carbon
    title = {"node": "", "job": " · this job's share", "others": " · without this job's share"}[view]
    lines = [f"Run  {run.name} · {run.status} · {run.run}{title}", ""]
    lines += [_row("Duration", a.duration_s, TIME_S), _row("  accelerators", a.accelerator_hours, HOURS)]
    coverage = "" if energy.coverage is None else f"{energy.coverage:.0%} of IT measured"
    lines.append(_row("Energy", energy.facility_kwh, SMALL_ENERGY_KWH, coverage))
    named = [("accelerators", energy.accelerators_kwh), ("processors", energy.cpu_kwh), ("memory", energy.memory_kwh)]
    named += [("rest of host", energy.host_rest_kwh), ("IT", energy.it_kwh), ("measured", energy.measured_kwh)]
    for label, part in named:
        lines.append(_row(f"  {label}", part, SMALL_ENERGY_KWH, "" if part is None else part.basis.value))
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
