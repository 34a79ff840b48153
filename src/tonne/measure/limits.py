"""Budgets: the most that a run may take, and what of it is exceeded or will be.

Light: a command waits for it, so that its classes are none of dataclasses, whose import takes 5 ms.
"""

from __future__ import annotations

import math

from tonne.errors import DescriptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.estimate import Estimate
    from tonne.measure.progress import Expected


class Limits:
    """The most that a run may take at the building's meter; None for no limit."""

    __slots__ = ("kgco2e", "kwh", "usd")

    def __init__(self, *, kwh: float | None = None, kgco2e: float | None = None, usd: float | None = None) -> None:
        """Limits of energy [kWh], emissions [kgCO2e] and price [USD]."""
        self.kwh, self.kgco2e, self.usd = kwh, kgco2e, usd

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(limit is not None for limit in (self.kwh, self.kgco2e, self.usd))


class Standing:
    """Where a run stands to one limit."""

    __slots__ = ("expected", "least", "limit", "taken", "unit")

    def __init__(self, *, unit: str, limit: float, taken: float, expected: float | None, least: float | None) -> None:
        """The limit, what was taken, and what will have been at the end and at least, where known; all in the unit."""
        self.unit, self.limit, self.taken, self.expected, self.least = unit, limit, taken, expected, least

    @property
    def exceeded(self) -> bool:
        """Whether the run took more than the limit."""
        return self.taken > self.limit

    @property
    def will_exceed(self) -> bool:
        """Whether it will, also where its further steps take as little as they may."""
        return not self.exceeded and self.least is not None and self.least > self.limit


def require_known(limits: Limits, *, place: bool, price: bool) -> None:
    """Checked: what is limited can be known.

    Args:
        limits: The limits.
        place: Whether a place is known, whose grid has an intensity.
        price: Whether a price of electricity is known.

    Raises:
        DescriptionError: It cannot.
    """
    if limits.kgco2e is not None and not place:
        raise DescriptionError(
            f"--max-kgco2e {limits.kgco2e:g} cannot be watched: no place is given, so that CO2e is unknown. "
            "Say where the run is, e.g. --site FR."
        )
    if limits.usd is not None and not price:
        raise DescriptionError(
            f"--max-cost {limits.usd:g} cannot be watched: no price of electricity is given. "
            "Give --usd-per-kwh, or a site file with usd_per_kwh."
        )


def standings(limits: Limits, account: Account, expected: Expected | None) -> list[Standing]:
    """Where a run stands to each of its limits; one whose quantity is unknown is passed over."""
    e = expected
    rows: list[tuple[str, float | None, Estimate | None, Estimate | None]] = [
        ("kWh", limits.kwh, account.energy.facility_kwh, None if e is None else e.facility_kwh),
        (
            "kg CO2e",
            limits.kgco2e,
            account.carbon.operational_location_kgco2e,
            None if e is None else e.operational_location_kgco2e,
        ),
        ("USD", limits.usd, account.energy_cost_usd, None if e is None else e.energy_cost_usd),
    ]
    surely = 1.0 if e is None else math.exp(-e.rest_spread)
    return [
        _standing(unit, limit, taken.value, None if end is None else end.value, surely)
        for unit, limit, taken, end in rows
        if limit is not None and taken is not None
    ]


def _standing(unit: str, limit: float, taken: float, expected: float | None, surely: float) -> Standing:
    """Where a run stands to a limit, of whose rest this share is sure."""
    least = None if expected is None else taken + (expected - taken) * surely
    return Standing(unit=unit, limit=limit, taken=taken, expected=expected, least=least)
