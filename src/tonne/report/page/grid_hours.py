"""The grid's intensity over the hours of a run: as it was kept, else the typical one of its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tonne.errors import TonneError
from tonne.ledger.records import Run
from tonne.reference.grid_hours import hour_profile
from tonne.reference.grids import GridFactor, grid
from tonne.reference.regions import region
from tonne.units import SECONDS_PER_HOUR

POINTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class GridHours:
    """Intensity over time [g/kWh], each value from its time after the begin [s] on; of which typical year, if any."""

    time_s: tuple[float, ...]
    gco2e_per_kwh: tuple[float, ...]
    zone: str = ""
    typical_of: int | None = None


def grid_hours(run: Run) -> GridHours | None:
    """The intensity over a run; None where nothing is known of its hours."""
    kept = run.series
    if kept.grid_time_s:
        return GridHours(time_s=kept.grid_time_s, gco2e_per_kwh=kept.grid_gco2e_per_kwh)
    factor = zone_of(run)
    profile = None if factor is None else hour_profile(factor.zone)
    if factor is None or profile is None or run.ended_unix_s is None:
        return None
    first = datetime.fromtimestamp(run.begun_unix_s, UTC).replace(minute=0, second=0, microsecond=0)
    hours = max(1, math.ceil((run.ended_unix_s - first.timestamp()) / SECONDS_PER_HOUR))
    times = [first + timedelta(hours=n) for n in range(0, hours, math.ceil(hours / POINTS))]
    return GridHours(
        time_s=tuple(max(0.0, at.timestamp() - run.begun_unix_s) for at in times),
        gco2e_per_kwh=tuple(factor.gco2e_per_kwh * profile.relative[at.month, at.hour] for at in times),
        zone=factor.zone,
        typical_of=profile.year,
    )


def zone_of(run: Run) -> GridFactor | None:
    """The grid of a run's place, by the accounting it asks for; None where its intensity was given, or no place."""
    site = run.site or {}
    if site.get("grid_gco2e_per_kwh") is not None:
        return None
    try:
        zone = site.get("grid") or (region(str(site["region"])).record.grid_zone if site.get("region") else None)
        return None if not zone else grid(str(zone), str(site.get("grid_basis") or "lifecycle")).record
    except TonneError:
        return None
