"""A run of training in lines: what is forecast of it before its first step, and at its end what it took beside that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tonne.report.measured_line import SMALL_ENERGY_KWH, between
from tonne.report.numbers import MASS_KG, MONEY_USD, TIME_S, short, value_and_interval

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.estimate import Estimate
    from tonne.workflow.foretelling import Foretold

LABEL, COLUMN = 10, 32
PARTS = (("accelerators", "accelerators"), ("cpu", "processors"), ("memory", "memory"), ("host_rest", "rest of host"))
Units = Sequence[tuple[float, str]]


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
    parts = ", ".join(f"{label} {short(e.value, SMALL_ENERGY_KWH)}" for label, e in known if e is not None and e.value)
    return f"{between(energy.facility_kwh, SMALL_ENERGY_KWH)} at the building's meter ({parts} before PUE)"


def _carbon(account: Account) -> str:
    carbon = account.carbon.operational_location_kgco2e
    return "CO2e unknown (no place given: --site FR)" if carbon is None else f"{between(carbon, MASS_KG)} CO2e"


def beside_lines(forecast: Account | None, account: Account | None) -> list[str]:
    """Forecast and measurement side by side: duration, energy, CO2e, cost, and whether the interval held it."""
    if account is None or forecast is None:
        return []
    rows: list[tuple[str, Estimate | None, Estimate | None, Units]] = [
        ("time", forecast.duration_s, account.duration_s, TIME_S),
        ("energy", forecast.energy.facility_kwh, account.energy.facility_kwh, SMALL_ENERGY_KWH),
        (
            "CO2e",
            forecast.carbon.operational_location_kgco2e,
            account.carbon.operational_location_kgco2e,
            MASS_KG,
        ),
        ("cost", forecast.energy_cost_usd, account.energy_cost_usd, MONEY_USD),
    ]
    lines = [
        f"{label:<{LABEL}}{_cell(before, units):<{COLUMN}}{_cell(after, units):<{COLUMN}}{_verdict(before, after)}"
        for label, before, after, units in rows
        if before is not None or after is not None
    ]
    return [f"{'':<{LABEL}}{'forecast':<{COLUMN}}{'measured':<{COLUMN}}", *lines] if lines else []


def _cell(estimate: Estimate | None, units: Units) -> str:
    if estimate is None:
        return "unknown"
    value, interval = value_and_interval(estimate, units)
    return value if interval == "exact" else f"{value} [{interval.replace(' - ', ', ').rpartition(' ')[0] or interval}]"


def _verdict(before: Estimate | None, after: Estimate | None) -> str:
    if before is None or after is None or not before.value:
        return ""
    inside = before.low <= after.value <= before.high
    return f"{after.value / before.value - 1:+.0%}, {'inside' if inside else 'outside'} the forecast's interval"


def kept_line(run: str | None) -> list[str]:
    """Where to read more of it."""
    return [] if run is None else [f"run: {run} (tonne runs show {run})"]
