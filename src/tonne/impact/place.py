"""The factors that a place brings: grid, PUE, water, prices. An unknown place stays unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tonne.estimate import Basis, Estimate
from tonne.reference.embodied import (
    EmbodiedRecord,
    LifeRecord,
    embodied_for,
    host_server_embodied,
    lifetime_years,
    utilisation_fraction,
)
from tonne.reference.grids import GridFactor, grid
from tonne.reference.prices import accelerator_hour_price
from tonne.reference.regions import RegionRecord, region
from tonne.reference.water import grid_water

if TYPE_CHECKING:
    from tonne.describe.site import Site  # pydantic is loaded only where a place is given

PUE_UNKNOWN = Estimate(
    value=1.25, low=1.08, high=1.6, basis=Basis.ASSUMED, sources=("default: no PUE given; cloud to survey mean",)
)
NO_PLACE = "CO2e is unknown: no place given. Give a grid zone, e.g. --grid FR, or a region."
REGION_PUE_SPREAD = 0.35  # log-spread of PUE - 1 at a region of which a yearly mean is published
ACCELERATORS_PER_EMBODIED_SERVER = 8  # the published server is one for eight


@dataclass(slots=True, kw_only=True)
class Factors:
    """Factors by the names that the equations use, and what is to be said of them."""

    factors: dict[str, Estimate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def nowhere() -> Factors:
    """What is to be said where no place is given."""
    found = Factors()
    found.notes.append(NO_PLACE)
    _assume_pue(found)
    return found


def factors_of(site: Site) -> Factors:
    """What a site brings, prices apart."""
    found = Factors()
    place = region(site.region).record if site.region is not None else None
    factor = _grid(site, place, found)
    _add_pue(site, place, found)
    _add_water(site, place, factor, found)
    if site.market_gco2e_per_kwh is not None:
        found.factors["market_gco2e_per_kwh"] = site.market_gco2e_per_kwh.estimate()
    return found


def prices_of(site: Site | None, accelerator_id: str | None) -> Factors:
    """What electricity costs there, and an hour of an accelerator: as the site says, else as the tables do."""
    found = Factors()
    if site is not None and site.usd_per_kwh is not None:
        found.factors["usd_per_kwh"] = site.usd_per_kwh.estimate()
    if site is not None and site.usd_per_accelerator_hour is not None:
        found.factors["usd_per_accelerator_hour"] = site.usd_per_accelerator_hour.estimate()
    elif not found.factors:
        _add_rent(accelerator_id, found)
    return found


def _add_rent(accelerator_id: str | None, found: Factors) -> None:
    price = None if accelerator_id is None else accelerator_hour_price(accelerator_id)
    if price is None:
        found.notes.append("cost is unknown: no price of this accelerator in the tables; give one.")
        return
    found.factors["usd_per_accelerator_hour"] = Estimate(
        value=price.usd, low=price.low, high=price.high, basis=Basis(price.basis), sources=(price.source,)
    )
    found.notes.append(f"rent of {price.usd:.2f} USD per accelerator-hour, {price.date} ({price.source}).")


def making_of(accelerator_id: str) -> Factors:
    """What the making of an accelerator and of its share of a server emitted, and over what it is spread."""
    card, server = embodied_for(accelerator_id), host_server_embodied()
    if card is None:
        return Factors(notes=["embodied emissions are unknown for this accelerator: none are published."])
    host, eight = _made(server), ACCELERATORS_PER_EMBODIED_SERVER
    return Factors(
        factors={
            "embodied_card_kgco2e": _made(card),
            "embodied_host_kgco2e": Estimate(
                value=host.value / eight,
                low=host.low / eight,
                high=host.high / eight,
                basis=host.basis,
                sources=host.sources,
            ),
            "lifetime_years": _life(lifetime_years()),
            "lifetime_use": _life(utilisation_fraction()),
        }
    )


def _grid(site: Site, place: RegionRecord | None, found: Factors) -> GridFactor | None:
    if site.grid_gco2e_per_kwh is not None:
        found.factors["grid_gco2e_per_kwh"] = site.grid_gco2e_per_kwh.estimate()
        return None
    zone = site.grid if place is None else place.grid_zone
    if zone is None:
        found.notes.append(NO_PLACE)
        return None
    match = grid(zone, site.grid_basis)
    factor = match.record
    if match.note:
        found.notes.append(match.note)
    found.notes.append(
        f"grid {factor.zone}: {factor.gco2e_per_kwh:.0f} g/kWh, {factor.accounting}, {factor.boundary}, "
        f"{factor.gas}, {factor.year} ({factor.source})."
    )
    found.factors["grid_gco2e_per_kwh"] = Estimate(
        value=factor.gco2e_per_kwh,
        low=factor.low,
        high=factor.high,
        basis=Basis(factor.basis),
        sources=(f"{factor.source}, {factor.gas}, {factor.accounting}, {factor.year}",),
    )
    return factor


def _add_pue(site: Site, place: RegionRecord | None, found: Factors) -> None:
    if site.pue is not None:
        found.factors["pue"] = site.pue.estimate()
    elif place is not None and place.pue is not None:
        over = place.pue - 1.0
        found.factors["pue"] = Estimate(
            value=place.pue,
            low=1.0 + over * (1.0 - REGION_PUE_SPREAD),
            high=1.0 + over * (1.0 + REGION_PUE_SPREAD),
            basis=Basis(place.pue_basis),
            sources=(f"PUE of {place.provider}:{place.region}, {place.pue_scope}",),
        )
    else:
        _assume_pue(found)


def _assume_pue(found: Factors) -> None:
    found.factors["pue"] = PUE_UNKNOWN
    found.notes.append("PUE is not given: 1.25 [1.08, 1.6] is assumed.")


def _add_water(site: Site, place: RegionRecord | None, factor: GridFactor | None, found: Factors) -> None:
    if site.wue_l_per_kwh is not None:
        found.factors["wue_l_per_kwh"] = site.wue_l_per_kwh.estimate()
    elif place is not None and place.wue_l_per_kwh is not None:
        value = place.wue_l_per_kwh
        found.factors["wue_l_per_kwh"] = Estimate(
            value=value, low=value * 0.7, high=value * 1.4, basis=Basis(place.wue_basis), sources=(place.wue_scope,)
        )
    if site.grid_wue_l_per_kwh is not None:
        found.factors["grid_wue_l_per_kwh"] = site.grid_wue_l_per_kwh.estimate()
    elif factor is not None and (water := grid_water(factor.zone)) is not None:
        found.factors["grid_wue_l_per_kwh"] = water
    missing = [
        text
        for name, text in (("wue_l_per_kwh", "on site (wue_l_per_kwh)"), ("grid_wue_l_per_kwh", "at the power plants"))
        if name not in found.factors
    ]
    if missing:
        found.notes.append(f"water is unknown {' and '.join(missing)}: no factor is known for this place.")


def _made(record: EmbodiedRecord) -> Estimate:
    return Estimate(
        value=record.kgco2e, low=record.low, high=record.high, basis=Basis(record.basis), sources=(record.source,)
    )


def _life(record: LifeRecord) -> Estimate:
    return Estimate(
        value=record.value, low=record.low, high=record.high, basis=Basis(record.basis), sources=(record.source,)
    )
