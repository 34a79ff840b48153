"""Energy by part: what was or will be used. Shared by forecasts and measurements."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyUse:
    """Energy of a run by part [kWh]. None is unknown; `left_out` lists optional parts that were not counted.

    hosts = cpu + memory + host_rest; servers = accelerators + hosts; it = servers + network + storage;
    facility = it x PUE. Of a measurement, measured_kwh is what sensors read before any model, and coverage its share of
    it_kwh.
    """

    accelerators_kwh: Estimate | None = None
    cpu_kwh: Estimate | None = None
    memory_kwh: Estimate | None = None
    host_rest_kwh: Estimate | None = None
    hosts_kwh: Estimate | None = None
    servers_kwh: Estimate | None = None
    network_kwh: Estimate | None = None
    storage_kwh: Estimate | None = None
    it_kwh: Estimate | None = None
    facility_kwh: Estimate | None = None
    measured_kwh: Estimate | None = None
    coverage: float | None = None
    left_out: tuple[str, ...] = ()
