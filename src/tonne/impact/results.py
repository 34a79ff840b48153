"""What an energy and hours mean, planned or measured: CO2e, water and money; None where an input is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tonne.estimate import Number
from tonne.impact import equations as impact

Values = dict[str, Number | None]


def of_known(function: Callable[..., Number], *arguments: Number | None) -> Number | None:
    """The function's value, or None where an argument is unknown."""
    return None if any(a is None for a in arguments) else function(*arguments)


def impact_of(x: Mapping[str, Number], time: Values, energy: Values) -> Values:
    """CO2e, water and money of an energy and of the hours that accelerators are held."""
    facility, it_kwh, held_h = energy["energy.facility_kwh"], energy["energy.it_kwh"], time["accelerator_hours"]
    on_site = of_known(impact.water_on_site_l, it_kwh, x.get("wue_l_per_kwh"))
    off_site = of_known(impact.water_off_site_l, facility, x.get("grid_wue_l_per_kwh"))
    rent = of_known(impact.hours_cost_usd, held_h, x.get("usd_per_accelerator_hour"))
    electricity = of_known(impact.energy_cost_usd, facility, x.get("usd_per_kwh"))
    return {
        "carbon.operational_location_kgco2e": of_known(
            impact.operational_kgco2e, facility, x.get("grid_gco2e_per_kwh")
        ),
        "carbon.operational_market_kgco2e": of_known(
            impact.operational_kgco2e, facility, x.get("market_gco2e_per_kwh")
        ),
        "carbon.embodied_kgco2e": of_known(
            impact.embodied_kgco2e,
            held_h,
            of_known(lambda card, host: card + host, x.get("embodied_card_kgco2e"), x.get("embodied_host_kgco2e")),
            x.get("lifetime_years"),
            x.get("lifetime_use"),
        ),
        "water_on_site_l": on_site,
        "water_off_site_l": off_site,
        "water_l": of_known(lambda a, b: a + b, on_site, off_site),
        "cost_usd": electricity if rent is None else rent,
        "energy_cost_usd": electricity,
    }
