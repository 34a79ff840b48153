"""A run of training in lines: what is forecast of it before its first step, and at its end what it took beside that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.report.measured_line import between
from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, short

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.workflow.foretelling import Foretold
    from tonne.workflow.running import Trained

PARTS = (("accelerators", "accelerators"), ("cpu", "processors"), ("memory", "memory"), ("host_rest", "rest of host"))


def foretold_lines(foretold: Foretold) -> list[str]:
    """The forecast: time and what it is made of, energy by part, CO2e."""
    from tonne.workflow.foretelling import stage_times_s  # noqa: PLC0415 - below, but it loads the tables

    account = foretold.account
    if account.duration_s is None:
        return []
    values = {name: float(one.value) for name, one in foretold.inputs.items()}
    stages = {name: seconds for name, seconds in stage_times_s(values, foretold.ahead).items() if seconds > 0}
    spent = ", ".join(f"{name} {short(seconds, TIME_S)}" for name, seconds in stages.items())
    step_s = account.throughput.step_time_s
    basis = "" if step_s is None or not step_s.sources else f"; {step_s.sources[0]}"
    lines = [f"forecast: {between(account.duration_s, TIME_S)} on this machine: {spent}{basis}"]
    lines.append(f"forecast: {_energy(account)}; {_carbon(account)}")
    return lines


def _energy(account: Account) -> str:
    energy = account.energy
    if energy.facility_kwh is None:
        return "energy unknown"
    known = [(label, getattr(energy, f"{name}_kwh")) for name, label in PARTS]
    parts = ", ".join(f"{label} {short(e.value, ENERGY_KWH)}" for label, e in known if e is not None and e.value)
    return f"{between(energy.facility_kwh, ENERGY_KWH)} at the building's meter ({parts} before PUE)"


def _carbon(account: Account) -> str:
    carbon = account.carbon.operational_location_kgco2e
    return "CO2e unknown (no place given: --site FR)" if carbon is None else f"{between(carbon, MASS_KG)} CO2e"


def ended_lines(found: Trained) -> list[str]:
    """What a run took beside what was forecast for its steps, and where to read more."""
    if found.run is None:
        return []
    from tonne.report.reconcile_text import brief_lines  # noqa: PLC0415 - only at the end of a run

    beside = [] if found.reconciliation is None else brief_lines(found.reconciliation)
    return [*beside, f"run: {found.run.id} (tonne runs show, reconcile, report, export)"]
