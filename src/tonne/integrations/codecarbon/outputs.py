"""Where rows go: a file, a logger, handlers of the user's own. Nothing is sent over a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from tonne.integrations.codecarbon import files
from tonne.integrations.codecarbon.columns import EmissionsData, sendable
from tonne.integrations.codecarbon.settings import LOGGER


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

    def task_out(self, data: Sequence[Any], experiment_name: str) -> None:
        """Take the rows of all tasks that have ended."""

    def exit(self) -> None:
        """The tracker has stopped."""


class FileOutput(BaseOutput):
    """Adds each row to a CSV file, and writes the rows of tasks to one beside it."""

    def __init__(self, output_file_name: str, output_dir: str | Path, on_csv_write: str = "append") -> None:
        """A file that need not be there yet.

        Args:
            output_file_name: Of the file.
            output_dir: A folder that is there.
            on_csv_write: "append" for a row each time, "update" for one row a run.
        """
        self.output_file_name, self.output_dir, self.on_csv_write = output_file_name, output_dir, on_csv_write

    def out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """Add the row, or put it in place of the run's earlier one."""
        path = Path(self.output_dir) / self.output_file_name
        if self.on_csv_write == "update":
            files.put_row(path, total.values, "run_id")
        else:
            files.add_row(path, total.values)

    def task_out(self, data: Sequence[Any], experiment_name: str) -> None:
        """Write the file of the run's tasks anew."""
        path = Path(self.output_dir) / f"emissions_{experiment_name}_{data[0].run_id}.csv"
        files.write_rows(path, [task.values for task in data])


class LoggerOutput(BaseOutput):
    """Writes each row as one line of JSON to a logger."""

    def __init__(self, logger: Any, severity: int = logging.INFO) -> None:  # noqa: ANN401 - whatever has `log`
        """Keep the logger."""
        self.logger, self.logging_severity = logger, severity

    def out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """One line."""
        self.logger.log(self.logging_severity, json.dumps(sendable(total)))


class GoogleCloudLoggerOutput(LoggerOutput):
    """Hands each row to a logger that takes structures; the logger is the script's, and so is what it sends."""

    def out(self, total: EmissionsData, delta: EmissionsData) -> None:
        """One structure."""
        self.logger.log_struct(sendable(total), severity=self.logging_severity)


class _NotSent(BaseOutput):
    """CodeCarbon's class of this name sends, or writes another format: here it says so once, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - whatever CodeCarbon's takes
        """Say so."""
        LOGGER.warning("%s does nothing here: tonne opens no socket, and writes CSV.", type(self).__name__)

    @classmethod
    def from_dict(cls, *_: Any, **__: Any) -> BaseOutput:  # noqa: ANN401 - as above
        """As BoAmpsOutput has it."""
        return cls()

    from_file = from_dict


class HTTPOutput(_NotSent):
    """Not done."""


class CodeCarbonAPIOutput(_NotSent):
    """Not done."""


class PrometheusOutput(_NotSent):
    """Not done."""


class LogfireOutput(_NotSent):
    """Not done."""


class BoAmpsOutput(_NotSent):
    """Not done."""
