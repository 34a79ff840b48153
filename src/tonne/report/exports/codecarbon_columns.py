"""A row as CodeCarbon writes it: 38 columns in its order and units (s, kg, kg/s, W, kWh, L, GB, %).

What is not known is NaN for a number and empty for a text; in a file both are an empty cell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, make_dataclass, replace
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
    longitude: float | None = None
    latitude: float | None = None
    ram_total_size: float = UNKNOWN
    tracking_mode: str = "machine"
    cpu_utilization_percent: float = UNKNOWN
    gpu_utilization_percent: float | None = None
    ram_utilization_percent: float = UNKNOWN
    ram_used_gb: float = UNKNOWN
    on_cloud: str = "N"
    pue: float = 1.0
    wue: float = 0.0

    @property
    def values(self) -> dict[str, Any]:
        """The columns by name."""
        return _values(self)

    def toJSON(self) -> str:  # noqa: N802 - CodeCarbon's name
        """The columns as a JSON object."""
        return json.dumps(sendable(self), sort_keys=True, indent=4)

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


def _values(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of either kind
    return {one.name: getattr(row, one.name) for one in fields(row)}


def sendable(row: EmissionsData) -> dict[str, Any]:
    """The columns by name as JSON can say them, which has no NaN: what is not known is None."""
    return {name: None if value != value else value for name, value in row.values.items()}  # noqa: PLR0124 - NaN


NOT_OF_TASKS = ("experiment_id", "pue", "wue")
TaskEmissionsData: type[Any] = make_dataclass(
    "TaskEmissionsData",
    [
        ("task_name", str, field(default="")),
        *(
            (one.name, one.type, field(default=one.default))
            for one in fields(EmissionsData)
            if one.name not in NOT_OF_TASKS
        ),
    ],
    kw_only=True,
    namespace={
        "__module__": __name__,
        "__doc__": "What one task took: its name, and the columns that CodeCarbon gives a task.",
        "values": property(_values, doc="The columns by name."),
    },
)


def task_row(name: str, row: EmissionsData) -> Any:  # noqa: ANN401 - a class that is made above
    """The row of a task, with its name before it."""
    return TaskEmissionsData(
        task_name=name, **{column: value for column, value in row.values.items() if column not in NOT_OF_TASKS}
    )


COLUMNS = tuple(one.name for one in fields(EmissionsData))
