"""A measured run in one line, while it runs and at its end. Light: a command waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, short, value_and_interval

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.estimate import Estimate
    from tonne.measure.progress import Expected


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
            parts.append(f"will end at {between(expected.facility_kwh, ENERGY_KWH)}")
        parts.append(f"after {between(expected.duration_s, TIME_S)}")
    return f"{parts[0]} {' · '.join(parts[1:])}"


def closing_line(account: Account, run: str | None) -> str:
    """What a run took, and where to read more; no run where nothing of it could be kept."""
    coverage = account.energy.coverage
    read = "" if coverage is None else f" · {coverage:.0%} of it measured"
    more = "" if run is None else f" · tonne runs show {run}"
    return f"tonne: {' · '.join(_taken(account))}{read}{more}"


def _taken(account: Account) -> list[str]:
    parts = [] if account.duration_s is None else [short(account.duration_s.value, TIME_S)]
    energy, carbon = account.energy.facility_kwh, account.carbon.operational_location_kgco2e
    parts.append("energy unknown" if energy is None else between(energy, ENERGY_KWH))
    if carbon is not None:
        parts.append(f"{between(carbon, MASS_KG)} CO2e")
    elif energy is not None:  # else it is unknown wherever the run was
        parts.append("CO2e unknown (no place given)")
    return parts
