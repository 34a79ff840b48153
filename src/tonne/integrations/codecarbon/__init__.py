"""Drop-ins for CodeCarbon: change `from codecarbon import ...` to `from tonne.integrations.codecarbon import ...`."""

from __future__ import annotations

from tonne.integrations.codecarbon.columns import EmissionsData, TaskEmissionsData
from tonne.integrations.codecarbon.decorators import TaskEmissionsTracker, track_emissions, track_task_emissions
from tonne.integrations.codecarbon.outputs import BaseOutput, LoggerOutput, OutputMethod
from tonne.integrations.codecarbon.tracker import EmissionsTracker, OfflineEmissionsTracker

__all__ = [
    "BaseOutput",
    "EmissionsData",
    "EmissionsTracker",
    "LoggerOutput",
    "OfflineEmissionsTracker",
    "OutputMethod",
    "TaskEmissionsData",
    "TaskEmissionsTracker",
    "track_emissions",
    "track_task_emissions",
]
