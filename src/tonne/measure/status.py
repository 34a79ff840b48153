"""How a run stands: running, finished, failed, stopped, interrupted or recovered."""

from __future__ import annotations

import os
import time

from tonne.measure import journal, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUNNING, FINISHED, FAILED = "running", "finished", "failed"
STOPPED, INTERRUPTED, RECOVERED = "stopped", "interrupted", "recovered"
WORST_FIRST = (RUNNING, INTERRUPTED, FAILED, STOPPED, RECOVERED, FINISHED)
TAIL_BYTES = 8192
LONGEST_TAIL_BYTES = 1 << 20  # where a single line is longer than that
SILENT_S = 60.0  # another node's process that wrote nothing for so long, or ten intervals, is gone
SILENT_INTERVALS = 10.0


def status_of(folder: str) -> str | None:
    """How the run in a folder stands; None where there is no journal."""
    members = [(header, state_of(path, header)) for path, header in headers(folder)]
    if not members:
        return None
    newest = max((header["unix_s"] for header, _ in members if header.get("resumes")), default=0.0)
    current = [(header, state) for header, state in members if header["unix_s"] >= newest]
    watched = [state for header, state in current if header.get("role") == "watcher"]
    own = [state for header, state in current if not header.get("forked")]
    states = watched or own or [state for _, state in current]
    return next(state for state in WORST_FIRST if state in states)


def headers(folder: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and first line of each process's file."""
    found = [(path, journal.first_line(path)) for path in journal.paths(folder)]
    return [(path, header) for path, header in found if header is not None and header.get("kind") == "run"]


def state_of(path: str, header: dict[str, Any]) -> str:
    """How one process of a run ended, by the last lines of its file; running where it lives."""
    said = [line for line in tail(path) if line.get("kind") in {"leave", "start", "recovered"}]
    if said and said[-1]["kind"] != "start":
        return RECOVERED if said[-1]["kind"] == "recovered" else str(said[-1]["status"])
    return RUNNING if is_running(path, header) else INTERRUPTED


def is_running(path: str, header: dict[str, Any]) -> bool:
    """Whether the process of a file lives; one of another node, or of a container, whether it wrote of late."""
    if header["node"] == processes.boot_id() and header["process"]["namespace"] == processes.namespace():
        return processes.is_alive(header["process"]["pid"], header["process"]["started"])
    try:
        age_s = time.time() - os.stat(path).st_mtime
    except OSError:
        return False
    return age_s < max(SILENT_S, SILENT_INTERVALS * float(header["interval_s"]))


def tail(path: str, most_bytes: int = TAIL_BYTES) -> list[dict[str, Any]]:
    """The last lines of a file, torn ones left out; at least one where there is any.

    Args:
        path: Of the file.
        most_bytes: How much of it to read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most_bytes, 0))
            texts = file.read().split(b"\n")
    except OSError:
        return []
    whole = texts[:-1] if size <= most_bytes else texts[1:-1]
    found = [line for line in map(journal.parsed, whole) if line is not None]
    if found or size <= most_bytes or most_bytes >= LONGEST_TAIL_BYTES:
        return found
    return tail(path, LONGEST_TAIL_BYTES)
