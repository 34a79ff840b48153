"""The one result type: what a run takes or took. A forecast and a measurement are both an Account."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.energy.use import EnergyUse
from tonne.estimate import Estimate
from tonne.showing import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Speed of training."""

    step_time_s: Estimate | None = None
    tokens_per_s: Estimate | None = None
    examples_per_s: Estimate | None = None  # of a counted module, whose examples need not be tokens
    achieved_peak_fraction: Estimate | None = None  # while stepping; goodput is apart
    goodput: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carbon:
    """Emissions [kg CO2e]; operational and embodied are never silently summed."""

    operational_location_kgco2e: Estimate | None = None
    operational_market_kgco2e: Estimate | None = None
    embodied_kgco2e: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """Failed runs, sweeps and ablations around the run; outside every other figure."""

    multiplier: Estimate
    facility_kwh: Estimate | None = None
    operational_location_kgco2e: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Shown):
    """Time, energy, CO2e, water and money of one run. What cannot be known is None, with a note."""

    duration_s: Estimate | None
    accelerator_hours: Estimate | None
    throughput: Throughput
    energy: EnergyUse
    carbon: Carbon
    water_l: Estimate | None  # on site plus off site
    cost_usd: Estimate | None  # rent of the accelerators where its rate is known, else electricity; never their sum
    development: Development | None
    uncertainty: dict[str, dict[str, float]]  # output -> input -> share of the log-variance
    data_version: str
    notes: tuple[str, ...] = ()
    water_on_site_l: Estimate | None = None
    water_off_site_l: Estimate | None = None
    energy_cost_usd: Estimate | None = None
