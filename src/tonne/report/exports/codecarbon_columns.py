"""A row as CodeCarbon writes it: 38 columns in its order and units (s, kg, kg/s, W, kWh, L, GB, %).

What is not known is NaN for a number and empty for a text; in a file both are an empty cell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

UNKNOWN = float("nan")
ADDED = (  # columns of which a difference of two rows makes sense
    "duration",
    "emissions",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
)


@dataclass(kw_only=True)
class EmissionsData:
    """What a tracker measured, in CodeCarbon's columns. Energy and power hold PUE, as they do there."""

    timestamp: str = ""
    project_name: str = ""
    run_id: str = ""
    experiment_id: str = ""
    duration: float = 0.0
    emissions: float = UNKNOWN
    emissions_rate: float = UNKNOWN
    cpu_power: float = UNKNOWN
    gpu_power: float = UNKNOWN
    ram_power: float = UNKNOWN
    cpu_energy: float = UNKNOWN
    gpu_energy: float = UNKNOWN
    ram_energy: float = UNKNOWN
    energy_consumed: float = UNKNOWN
    water_consumed: float = UNKNOWN
    country_name: str = ""
    country_iso_code: str = ""
    region: str = ""
    cloud_provider: str = ""
    cloud_region: str = ""
    os: str = ""
    python_version: str = ""
    codecarbon_version: str = ""
    cpu_count: int = 0
    cpu_model: str = ""
    gpu_count: int = 0
    gpu_model: str = ""
    longitude: float = UNKNOWN
    latitude: float = UNKNOWN
    ram_total_size: float = UNKNOWN
    tracking_mode: str = "machine"
    cpu_utilization_percent: float = UNKNOWN
    gpu_utilization_percent: float = UNKNOWN
    ram_utilization_percent: float = UNKNOWN
    ram_used_gb: float = UNKNOWN
    on_cloud: str = "N"
    pue: float = 1.0
    wue: float = 0.0

    @property
    def values(self) -> dict[str, Any]:
        """The columns by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def toJSON(self) -> str:  # noqa: N802 - CodeCarbon's name
        """The columns as a JSON object."""
        return json.dumps(self.values, sort_keys=True, indent=4)

    def since(self, earlier: EmissionsData) -> EmissionsData:
        """What came after an earlier row of the same tracker."""
        return with_rates(replace(self, **{name: getattr(self, name) - getattr(earlier, name) for name in ADDED}))

    def plus(self, other: EmissionsData) -> EmissionsData:
        """This row with the sums of another one."""
        return with_rates(replace(self, **{name: getattr(self, name) + getattr(other, name) for name in ADDED}))


def with_rates(row: EmissionsData) -> EmissionsData:
    """The row with the mean power and the rate that go with its sums."""
    hours = row.duration / 3600
    mean = (
        {f"{part}_power": getattr(row, f"{part}_energy") / hours * 1000 for part in ("cpu", "gpu", "ram")}
        if hours
        else {}
    )
    return replace(row, emissions_rate=row.emissions / row.duration if row.duration else 0.0, **mean)


_NOT_OF_TASKS = ("experiment_id", "pue", "wue")


@dataclass(kw_only=True)
class TaskEmissionsData:
    """What one task took: its name, and the columns that CodeCarbon gives a task."""

    task_name: str
    row: EmissionsData

    @property
    def values(self) -> dict[str, Any]:
        """The columns by name."""
        kept = {name: value for name, value in self.row.values.items() if name not in _NOT_OF_TASKS}
        return {"task_name": self.task_name, **kept}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of whatever type the column is
        """A column of the row."""
        if name == "row":
            raise AttributeError(name)  # while it is being copied or unpickled
        return getattr(self.row, name)


COLUMNS = tuple(one.name for one in fields(EmissionsData))
