"""Carbon by the hours in which a run went on, where the user asks for it and the grid has a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tonne.estimate import propagate
from tonne.grid.hours import hour_factor
from tonne.impact.place import Factors
from tonne.reference.grid_hours import hour_profile
from tonne.reference.grids import grid
from tonne.reference.regions import region

if TYPE_CHECKING:
    from tonne.describe.site import Site

GRID = "grid_gco2e_per_kwh"


def use_hours(site: Site | None, hours: Mapping[int, float], found: Factors) -> None:
    """Let the factor of the grid be that of these hours, or say why it stays that of the year.

    Args:
        site: Where the run was.
        hours: Time by hour since 1970 [s].
        found: Factors of the site, changed in place.
    """
    if site is None or GRID not in found.factors or not hours:
        return
    zone = site.grid if site.region is None else region(site.region).record.grid_zone
    if zone is None or site.grid_gco2e_per_kwh is not None:
        found.notes.append("hours: the intensity was given, not looked up, so that it is that of all hours.")
        return
    zone = grid(zone, site.grid_basis).record.zone
    profile = hour_profile(zone)
    if profile is None:
        found.notes.append(f"hours: no hourly profile of {zone} is known, so that its factor is that of the year.")
        return
    inputs = {"year": found.factors[GRID], "hours": hour_factor(profile, hours)}
    scaled = propagate(lambda x: {"now": x["year"] * x["hours"]}, inputs).outputs["now"]
    assert scaled is not None
    found.factors[GRID] = scaled
    found.notes.append(
        f"hours: {inputs['hours'].value:.2f} times the year's factor, by the hours of {profile.zone} in {profile.year} "
        f"({profile.note})."
    )
