"""Emissions, water and money of the energy and the hours of a run."""

from __future__ import annotations

from tonne.estimate import Number
from tonne.units import GRAMS_PER_KILOGRAM, HOURS_PER_YEAR


def operational_kgco2e(facility_kwh: Number, grid_gco2e_per_kwh: Number) -> Number:
    """Emissions of the electricity used.

    Equation: M = E I / 1000, with E = facility_kwh, I = grid_gco2e_per_kwh.

    Args:
        facility_kwh: Energy at the building's meter [kWh].
        grid_gco2e_per_kwh: Average intensity of the grid (location-based) or of the contract (market-based) [g/kWh].

    Returns:
        Emissions [kg CO2e]. Hardware's making is not included.

    Source: patterson2021carbon, section 2.
    """
    return facility_kwh * grid_gco2e_per_kwh / GRAMS_PER_KILOGRAM


def embodied_kgco2e(
    accelerator_hours: Number, embodied_per_accelerator_kgco2e: Number, lifetime_years: Number, lifetime_use: Number
) -> Number:
    """Share of the hardware's making that the run bears, by time.

    Equation: M_e = H K / (8766 Y u), with H = accelerator_hours, K = embodied_per_accelerator_kgco2e,
    Y = lifetime_years, u = lifetime_use.

    Args:
        accelerator_hours: Hours that the accelerators are held [h].
        embodied_per_accelerator_kgco2e: Card and its share of the server [kg CO2e].
        lifetime_years: Years in service [year].
        lifetime_use: Share of that time in use; idle life is paid by use.

    Returns:
        Emissions [kg CO2e]. Buildings and network are not included.

    Source: luccioni2022bloom, section 4.1.
    """
    return accelerator_hours * embodied_per_accelerator_kgco2e / (HOURS_PER_YEAR * lifetime_years * lifetime_use)


def water_on_site_l(it_kwh: Number, wue_l_per_kwh: Number) -> Number:
    """Water that cooling evaporates on site.

    Equation: W_1 = E_IT w, with E_IT = it_kwh, w = wue_l_per_kwh.

    Args:
        it_kwh: Energy of servers, network and storage [kWh].
        wue_l_per_kwh: Water usage effectiveness [L/kWh of IT energy].

    Returns:
        Water consumed [L].

    Source: li2023water, section 2.
    """
    return it_kwh * wue_l_per_kwh


def water_off_site_l(facility_kwh: Number, grid_wue_l_per_kwh: Number) -> Number:
    """Water that the power plants consume.

    Equation: W_2 = E v, with E = facility_kwh, v = grid_wue_l_per_kwh.

    Args:
        facility_kwh: Energy at the building's meter [kWh].
        grid_wue_l_per_kwh: Water consumed per unit of electricity [L/kWh].

    Returns:
        Water consumed [L].

    Source: li2023water, section 2.
    """
    return facility_kwh * grid_wue_l_per_kwh


def hours_cost_usd(accelerator_hours: Number, usd_per_accelerator_hour: Number) -> Number:
    """Rent of the accelerators; their electricity is in the rate.

    Equation: D = H r, with H = accelerator_hours, r = usd_per_accelerator_hour.

    Args:
        accelerator_hours: Hours that the accelerators are held [h].
        usd_per_accelerator_hour: Rate [USD/h].

    Returns:
        Cost [USD].

    Source: cottier2024cost, section 2.
    """
    return accelerator_hours * usd_per_accelerator_hour


def energy_cost_usd(facility_kwh: Number, usd_per_kwh: Number) -> Number:
    """Price of the electricity alone.

    Equation: D_e = E p, with E = facility_kwh, p = usd_per_kwh.

    Args:
        facility_kwh: Energy at the building's meter [kWh].
        usd_per_kwh: Price [USD/kWh].

    Returns:
        Cost [USD].

    Source: cottier2024cost, section 2.
    """
    return facility_kwh * usd_per_kwh
