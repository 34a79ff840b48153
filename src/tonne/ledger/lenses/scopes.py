"""Emissions by the scopes of a greenhouse gas inventory, as far as it is declared whose hardware it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tonne.errors import DescriptionError, UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate, scaled
from tonne.ledger.lenses.totals import Total, total_of
from tonne.ledger.lenses.view import View
from tonne.ledger.records import Run
from tonne.reference.grids import grid
from tonne.reference.regions import region
from tonne.units import GRAMS_PER_KILOGRAM

OWNED, CLOUD, COLOCATED = "owned", "cloud", "colo"
CONTROLS = (OWNED, CLOUD, COLOCATED)
UNDECLARED = "unknown: whose hardware it is was not declared (--control owned, cloud or colo)"
ELECTRICITY = {
    OWNED: "scope 2",
    CLOUD: "scope 3, category 1 (purchased services)",
    COLOCATED: "scope 2, or scope 3 category 8 (leased assets), by the control approach",
}
MAKING = {
    OWNED: "scope 3, category 2 (capital goods)",
    CLOUD: "scope 3, category 1 (purchased services)",
    COLOCATED: "scope 3, category 2 (capital goods)",
}
UPSTREAM = "scope 3, category 3 (fuel and energy, upstream)"
IN_THE_FACTOR = (
    "fuel upstream (scope 3, category 3) is in it where the grid factor is life-cycle, and not told apart here"
)
NOT_IN_IT = "by the grid's direct factor; fuel upstream (scope 3, category 3) is not in it, and unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeLine:
    """Emissions of one kind [kg CO2e], and the scope they belong to. Lines of two methods are never added."""

    scope: str
    what: str
    method: str
    kgco2e: Total
    note: str = ""


def scope_lines(seen: View, runs: Sequence[Run], control: str | None = None) -> tuple[ScopeLine, ...]:
    """The lines of an inventory.

    Args:
        seen: The runs through the lens `ghg`.
        runs: These runs.
        control: Whose hardware it is: owned, cloud (rented), colo (own hardware in another's building), or undeclared.

    Raises:
        DescriptionError: There is no such control.

    Source: ghg2015scope2, location-based and market-based; ghg2011scope3, categories 1, 2, 3 and 8.
    """
    if control is not None and control not in CONTROLS:
        raise DescriptionError(f"control={control!r} is none. Use {', '.join(CONTROLS)}, or leave it out: unknown.")
    electricity = UNDECLARED if control is None else ELECTRICITY[control]
    making = UNDECLARED if control is None else MAKING[control]
    counted = [run for run in runs if run.id in seen.counted]
    burnt = total_of({run.id: _direct(run) for run in counted})
    location = seen.totals["operational_location_kgco2e"]
    lines = [_market(electricity, seen), _embodied(making, seen)]
    if control == CLOUD or burnt.value is None or not location.value or not location.value.value:
        return (_location(electricity, location, "" if control == CLOUD else _upstream_note(counted)), *lines)
    rest = scaled(location.value, 1 - burnt.value.value / location.value.value)
    upstream = ScopeLine(
        scope=UPSTREAM,
        what="fuel upstream, losses",
        method="location-based: life-cycle factor less the direct one",
        kgco2e=Total(value=rest, known=rest),
    )
    return (_location(electricity, burnt, "by the grid's direct factor"), *lines, upstream)


def _location(scope: str, kgco2e: Total, note: str) -> ScopeLine:
    return ScopeLine(scope=scope, what="electricity", method="location-based", kgco2e=kgco2e, note=note)


def _embodied(scope: str, seen: View) -> ScopeLine:
    what = "hardware, its share of being made"
    return ScopeLine(scope=scope, what=what, method="embodied", kgco2e=seen.totals["embodied_kgco2e"])


def _upstream_note(runs: Sequence[Run]) -> str:
    """Where fuel upstream is, where the factor was not split."""
    return NOT_IN_IT if all(site_of_run(run).get("grid_basis") == "direct" for run in runs) else IN_THE_FACTOR


def _market(scope: str, seen: View) -> ScopeLine:
    return ScopeLine(
        scope=scope,
        what="electricity",
        method="market-based",
        kgco2e=seen.totals["operational_market_kgco2e"],
        note="instruments of the contract; offsets are not netted",
    )


def site_of_run(run: Run) -> Mapping[str, Any]:
    """Fields of the site of a run, or of its plan; empty where no place is known."""
    planned = {} if run.plan is None else run.plan.get("site") or {}
    return {name: value for name, value in (run.site or planned).items() if value is not None}


def _direct(run: Run) -> Estimate | None:
    """Emissions by the direct (combustion) factor of the run's grid [kg CO2e]; None where only a whole one is known."""
    site = site_of_run(run)
    energy = None if run.account is None else run.account.energy.facility_kwh
    own = None if run.account is None else run.account.carbon.operational_location_kgco2e
    if site.get("grid_basis", "lifecycle") != "lifecycle" or "grid_gco2e_per_kwh" in site or energy is None:
        return None
    try:
        zone = site["grid"] if "grid" in site else region(site["region"]).record.grid_zone
        factor = grid(zone, "direct").record
    except (KeyError, UnknownReferenceError):
        return None
    if factor.accounting != "direct" or own is None:
        return None
    grams = Estimate(
        value=factor.gco2e_per_kwh,
        low=factor.low,
        high=factor.high,
        basis=Basis(factor.basis),
        sources=(factor.source,),
    )
    found = propagate(lambda x: {"kg": x["kwh"] * x["g"] / GRAMS_PER_KILOGRAM}, {"kwh": energy, "g": grams})
    kg = found.outputs["kg"]
    return None if kg is None or kg.value > own.value else kg
