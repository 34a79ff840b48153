"""Drop-ins for CodeCarbon: change `from codecarbon import ...` to `from tonne.integrations.codecarbon import ...`."""

from __future__ import annotations

from tonne.integrations.codecarbon.columns import EmissionsData, TaskEmissionsData
from tonne.integrations.codecarbon.decorators import TaskEmissionsTracker, track_emissions, track_task_emissions
from tonne.integrations.codecarbon.outputs import (
    BaseOutput,
    BoAmpsOutput,
    CodeCarbonAPIOutput,
    FileOutput,
    GoogleCloudLoggerOutput,
    HTTPOutput,
    LogfireOutput,
    LoggerOutput,
    OutputMethod,
    PrometheusOutput,
)
from tonne.integrations.codecarbon.tracker import BaseEmissionsTracker, EmissionsTracker, OfflineEmissionsTracker

__all__ = [
    "BaseEmissionsTracker",
    "BaseOutput",
    "BoAmpsOutput",
    "CodeCarbonAPIOutput",
    "EmissionsData",
    "EmissionsTracker",
    "FileOutput",
    "GoogleCloudLoggerOutput",
    "HTTPOutput",
    "LogfireOutput",
    "LoggerOutput",
    "OfflineEmissionsTracker",
    "OutputMethod",
    "PrometheusOutput",
    "TaskEmissionsData",
    "TaskEmissionsTracker",
    "track_emissions",
    "track_task_emissions",
]
