"""Where a CodeCarbon script says that it runs. An unknown place is unknown: no country stands in for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tonne.errors import UnknownReferenceError
from tonne.integrations.codecarbon.settings import LOGGER, Settings
from tonne.reference.grids import country_iso3, grid
from tonne.reference.regions import region as cloud_place
from tonne.reference.table import table

HOW_TO_SAY = (
    "Say where it runs: OfflineEmissionsTracker(country_iso_code='FRA'), or the environment variable "
    "CODECARBON_COUNTRY_ISO_CODE=FRA with any tracker."
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place by tonne's fields of a site, and by CodeCarbon's columns."""

    site: dict[str, Any]
    country_name: str = ""
    country_iso_code: str = ""
    region: str = ""
    cloud_provider: str = ""
    cloud_region: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a factor to tell CO2e by."""
        return bool({"grid", "region", "grid_gco2e_per_kwh"} & set(self.site))


def place_of(settings: Settings) -> Place:
    """The place that settings name; one without a grid, and a warning, where they name none that is known."""
    site: dict[str, Any] = {"pue": settings.pue, "wue_l_per_kwh": settings.wue}
    named = _named(settings)
    forced = settings.force_carbon_intensity_g_co2e_kwh
    if forced is not None:
        named = {**named, "site": {"grid_gco2e_per_kwh": forced}}
    if not named.get("site"):
        LOGGER.warning("the place is unknown, and so are its emissions; energy is measured. %s", HOW_TO_SAY)
    return Place(**{**named, "site": {**named.get("site", {}), **site}})


def _named(settings: Settings) -> dict[str, Any]:
    if settings.cloud_provider and settings.cloud_region:
        name = f"{settings.cloud_provider}:{settings.cloud_region}"
        try:
            found = cloud_place(name).record
        except UnknownReferenceError as error:
            LOGGER.warning("cloud_provider and cloud_region are not known: %s", error)
        else:
            country = grid(found.country).record
            told = {"country_name": country.name_en, "country_iso_code": country_iso3(found.country)}
            cloud = {"cloud_provider": settings.cloud_provider, "cloud_region": settings.cloud_region}
            return {"site": {"region": name}, "region": found.location, **told, **cloud}
    country_code = settings.country_iso_code or settings.country_2letter_iso_code
    return {} if not country_code else _country(country_code, settings.region)


def _country(code: str, region: str | None) -> dict[str, Any]:
    try:
        country = grid(code).record
        iso3 = country_iso3(code)
    except UnknownReferenceError as error:
        LOGGER.warning("country_iso_code=%r is not known: %s", code, error)
        return {}
    inside = _province(country.zone, region)
    if region and inside is None:
        LOGGER.info("no factor is known for region=%r of %s: that of the country is taken.", region, country.name_en)
    told = {"country_name": country.name_en, "country_iso_code": iso3, "region": region or ""}
    return {"site": {"grid": inside or country.zone}, **told}


def _province(country: str, region: str | None) -> str | None:
    """The zone of a state or province of that country; a state called like another country is not mistaken for it."""
    wanted = (region or "").strip().casefold()
    for row in table("grids_subnational"):
        if wanted and row["country_iso2"] == country and wanted in (row["name_en"].casefold(), row["zone"].casefold()):
            return str(row["zone"])
    return None
