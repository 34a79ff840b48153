"""What could be changed, and what it would bring: each lever is a forecast of the changed plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tonne.describe.plan import TrainingPlan
from tonne.describe.quantity import Quantity
from tonne.errors import TonneError
from tonne.forecasting import Forecast
from tonne.forecasting import forecast as forecast_of
from tonne.reference.calibration import Calibration

CLEANER_GRIDS = ("FR", "SE")  # large grids of low carbon intensity in both bases; cloud regions of all providers
CAP_SHARE = 0.8  # of the board's limit
BUILDING = ("pue", "wue_l_per_kwh")  # what a move to another grid keeps
WORTH_SAYING = 0.01  # a change smaller than this is left out

Again = Callable[[TrainingPlan], Forecast]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """One change of a plan, and the relative change of its outputs; None where either side is unknown.

    ``forecast`` is that of the changed plan.
    """

    name: str
    forecast: Forecast
    energy_change: float | None
    carbon_change: float | None
    duration_change: float | None
    saved_kgco2e: float | None


def levers(forecast: Forecast, calibration: Calibration | None = None) -> tuple[Lever, ...]:
    """Changes of the plan that lower its energy or its CO2e.

    Args:
        forecast: Of the plan as it is.
        calibration: That it rests on; the changed plans must rest on the same.
    """
    again: Again = lambda plan: forecast_of(plan, calibration)  # noqa: E731 - named where it is used twice
    found = [*_places(forecast, again), *_caps(forecast, again)]
    return tuple(lever for lever in found if lever is not None)


def _places(forecast: Forecast, again: Again) -> list[Lever | None]:
    if forecast.account.carbon.operational_location_kgco2e is None:
        return []
    changed = [_lever(forecast, f"--grid {zone}", _moved_to(forecast, zone), again) for zone in CLEANER_GRIDS]
    return [lever for lever in changed if lever is not None and (lever.carbon_change or 0.0) < -WORTH_SAYING]


def _caps(forecast: Forecast, again: Again) -> list[Lever | None]:
    plan = forecast.plan
    limit = _limit_w(plan)
    if limit is None or plan.cluster.power_cap_w is not None:
        return []
    cap_w = round(limit * CAP_SHARE)
    capped = lambda: _with(plan, "cluster", power_cap_w=float(cap_w))  # noqa: E731 - named, for its length
    lever = _lever(forecast, f"--power-cap-w {cap_w}", capped, again)
    return [lever] if lever is not None and (lever.energy_change or 0.0) < -WORTH_SAYING else []


def _limit_w(plan: TrainingPlan) -> float | None:
    """The board's power limit [W], where the table has one."""
    return plan.cluster.record.board_power_limit_w


def _moved_to(forecast: Forecast, zone: str) -> Callable[[], TrainingPlan]:
    """The plan on another grid, in a building of the same PUE and water use."""
    building = {
        name: Quantity(value=e.value, low=e.low, high=e.high, source="; ".join(e.sources))
        for name, e in forecast.inputs.items()
        if name in BUILDING
    }
    return lambda: _with(forecast.plan, "site", grid=zone, region=None, grid_gco2e_per_kwh=None, **building)


def _with(plan: TrainingPlan, section: str, **fields: Any) -> TrainingPlan:  # noqa: ANN401 - fields of a section
    return plan.model_copy(update={section: getattr(plan, section).model_copy(update=fields)})


def _lever(base: Forecast, name: str, changed: Callable[[], TrainingPlan], again: Again) -> Lever | None:
    """What a changed plan brings; None where it cannot be forecast."""
    try:
        made = again(changed())
    except TonneError:
        return None
    here, other = base.account, made.account
    carbon = (here.carbon.operational_location_kgco2e, other.carbon.operational_location_kgco2e)
    return Lever(
        name=name,
        forecast=made,
        energy_change=_change(here.energy.facility_kwh, other.energy.facility_kwh),
        carbon_change=_change(*carbon),
        duration_change=_change(here.duration_s, other.duration_s),
        saved_kgco2e=carbon[0].value - carbon[1].value if carbon[0] is not None and carbon[1] is not None else None,
    )


def _change(before: Any, after: Any) -> float | None:  # noqa: ANN401 - Estimate or None
    if before is None or after is None or not before.value:
        return None
    return float(after.value / before.value - 1)
