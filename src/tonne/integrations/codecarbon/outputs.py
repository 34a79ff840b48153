"""Where rows may go beside a file: handlers of the user's own, and a logger. Nothing is sent over a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from enum import Enum
from typing import Any

from tonne.integrations.codecarbon.columns import EmissionsData, TaskEmissionsData


class OutputMethod(str, Enum):  # noqa: UP042 - CodeCarbon's is a str with this repr
    """CodeCarbon's ways out; of those that send, none does here."""

    CSV = "csv"
    API = "api"
    LOGGER = "logger"
    PROMETHEUS = "prometheus"
    LOGFIRE = "logfire"
    BOAMPS = "boamps"


class BaseOutput:
    """What a handler of the user's own may override."""

    def out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """Take a row at `flush` and at `stop`: all so far, and since the last row."""

    def live_out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """Of CodeCarbon's live measurements; not called here, where the journal is the live record."""

    def task_out(self, data: Sequence[TaskEmissionsData], experiment_name: str) -> None:
        """Take the rows of all tasks that have ended."""

    def exit(self) -> None:
        """The tracker has stopped."""


class LoggerOutput(BaseOutput):
    """Writes each row as one line of JSON to a logger."""

    def __init__(self, logger: Any, severity: int = logging.INFO) -> None:  # noqa: ANN401 - whatever has `log`
        """Keep the logger."""
        self.logger, self.logging_severity = logger, severity

    def out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """One line."""
        self.logger.log(self.logging_severity, json.dumps(total.values))
