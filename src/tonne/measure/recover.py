"""Runs that were cut off: found, and closed. Nothing of what they wrote is changed; a line is added."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tonne.errors import MeasurementError
from tonne.measure import environment, status
from tonne.measure.spans import together_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A run as a list shows it, read from the first and last lines of its files alone."""

    id: str
    name: str
    status: str
    begun_unix_s: float
    ended_unix_s: float | None
    duration_s: float
    folder: str


def known_runs(folder: str | None = None) -> list[Listed]:
    """The runs below a folder, the newest first.

    Args:
        folder: That holds a folder for each run, or is itself that of a run; left out, TONNE_HOME's.
    """
    root = folder or environment.runs_folder()
    try:
        below = [os.path.join(root, name) for name in os.listdir(root)]
    except OSError:
        below = []
    found = [listed(one) for one in [root, *below]]
    return sorted((run for run in found if run is not None), key=lambda run: -run.begun_unix_s)


def run_named(run: str, folder: str | None = None, elsewhere: Sequence[Listed] = ()) -> Listed:
    """The run of that id (or the beginning of one, or a name that one run alone has), or in that folder.

    Args:
        run: Id, beginning of one, name or folder.
        folder: As of `known_runs`.
        elsewhere: Runs that lie in folders of their own.

    Raises:
        MeasurementError: There is none, or several.
    """
    here = listed(run) if os.path.isdir(run) else None
    if here is not None:
        return here
    runs = [*known_runs(folder), *elsewhere]
    exact = [one for one in runs if one.id == run]
    close = exact or [one for one in runs if one.id.startswith(run) or one.name == run]
    if len(close) == 1:
        return close[0]
    if close:
        raise MeasurementError(f"{run!r} may be any of {', '.join(one.id for one in close)}. Give the whole id.")
    known = ", ".join(one.id for one in runs[:5]) or "none"
    raise MeasurementError(f"no run {run!r} is known. The newest are: {known}. `tonne runs` lists them all.")


def listed(folder: str) -> Listed | None:
    """The run in a folder, as a list shows it; None where there is no journal."""
    headers = status.headers(folder)
    if not headers:
        return None
    first = min((header for _, header in headers), key=lambda header: float(header["unix_s"]))
    standing = status.status_of(folder) or status.INTERRUPTED
    spans = [_span_s(path, header) for path, header in headers]
    ended = max(begin + lasted for begin, lasted in spans)
    return Listed(
        id=str(first["run"]),
        name=str(first["name"]),
        status=standing,
        begun_unix_s=float(first["unix_s"]),
        ended_unix_s=None if standing == status.RUNNING else ended,
        duration_s=together_s([(begin, begin + lasted) for begin, lasted in spans]),
        folder=folder,
    )


def _span_s(path: str, header: dict[str, Any]) -> tuple[float, float]:
    """When a process began, and how long it wrote, by the clock that does not jump [s]."""
    last = next((line["t"] for line in reversed(status.tail(path)) if line.get("t") is not None), header["t"])
    return float(header["unix_s"]), (int(last) - int(header["t"])) / 1e9


def recover(folder: str) -> bool:
    """Whether the run in a folder was cut off; if so, it is closed now.

    Raises:
        MeasurementError: Its files cannot be written.
    """
    if status.status_of(folder) != status.INTERRUPTED:
        return False
    for path, header in status.headers(folder):
        if status.state_of(path, header) == status.INTERRUPTED:
            _close(path)
    return True


def _close(path: str) -> None:
    """Add the line that closes a file; it begins on a line of its own where the last one was torn."""
    text = json.dumps({"kind": "recovered", "unix_s": time.time()}, separators=(",", ":"))
    try:
        with open(path, "ab+") as file:  # what is added comes last, also where the process writes after all
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            torn = file.read(1) not in {b"", b"\n"}
            file.write((f"\n{text}\n" if torn else f"{text}\n").encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MeasurementError(
            f"{path} cannot be written: {error.strerror}. Free the disk or mend its permissions, and recover again."
        ) from None
