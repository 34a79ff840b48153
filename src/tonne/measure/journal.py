"""A run's journal: lines of JSON that are only ever added, each on disk before the next interval begins.

Every process writes a file of its own, so that no two writers meet, whatever the file system: the first one
journal.jsonl, the others journal-NODE-PID.jsonl beside it. A line that was torn by a crash is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from tonne.measure.processes import file_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Line = dict[str, "Any"]

FIRST = "journal.jsonl"
PREFIX, SUFFIX = "journal", ".jsonl"
encoded = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one for each line
AT_ONCE = 100  # lines
MOST_KEPT = 20_000  # ticks in memory while the disk refuses them: beyond, every second one is let go


class Journal:
    """The file of one process in a run's folder; where the disk refuses, the lines stay in memory."""

    __slots__ = ("_descriptor", "_file", "_was_torn", "complaint", "folder", "kept", "path", "stamp")

    def __init__(self, folder: str, stamp: str) -> None:
        """A journal that opens its file with its first line.

        Args:
            folder: Of the run.
            stamp: What tells this process from all others, for the name of its file.
        """
        self.folder, self.stamp = folder, stamp
        self.path: str | None = None
        self.kept: list[Line] = []  # lines that are not on disk
        self.complaint: str | None = None
        self._descriptor = -1
        self._file: tuple[int, int] | None = None  # device and inode that the descriptor stands for
        self._was_torn = False

    def add(self, *lines: Line) -> None:
        """Write lines, or keep them where that fails; they are tried again with the next ones."""
        self.kept += lines
        try:
            while self.kept:  # a disk that refuses is not asked to take all that waits, once an interval
                self._open()
                self._write(self.kept[:AT_ONCE])
        except OSError as error:
            self._complain(error)
            self._thin()

    def sync(self) -> None:
        """Have the disk hold what was written, so that a power cut does not lose it."""
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._complain(error)

    def release(self) -> int:
        """Let go of the file and give it to the caller, to be done with; a later line opens it again."""
        descriptor, self._descriptor = self._descriptor if self._is_ours() else -1, -1
        return descriptor

    def close(self) -> None:
        """Let go of the file."""
        descriptor = self.release()
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> None:
        if self._is_ours():
            return
        self._descriptor = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if self.path is None:
            os.makedirs(self.folder, exist_ok=True)
            self.path = os.path.join(self.folder, FIRST)
            try:
                self._descriptor = os.open(self.path, flags | os.O_EXCL, 0o666)
            except FileExistsError:
                self.path = os.path.join(self.folder, f"{PREFIX}-{self.stamp}{SUFFIX}")
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, flags, 0o666)
        self._file = file_of(self._descriptor)

    def _is_ours(self) -> bool:
        """Whether the descriptor is still this file's: a program that becomes a daemon closes all of them."""
        return self._descriptor >= 0 and self._file == file_of(self._descriptor)

    def _write(self, lines: list[Line]) -> None:
        """These lines, or as many of them as the disk takes; after a part of one the next write begins a new line."""
        data = "".join(encoded(line) + "\n" for line in lines).encode()
        before = b"\n" if self._was_torn else b""
        written = os.write(self._descriptor, before + data) - len(before)
        if written >= 0:
            del self.kept[: data.count(b"\n", 0, written)]
            self._was_torn = written > 0 and data[written - 1 : written] != b"\n"

    def _complain(self, error: OSError) -> None:
        """Say once that the disk refuses."""
        if self.complaint is None:
            self.complaint = f"{self.folder}: {error.strerror or error}"
            from logging import getLogger  # noqa: PLC0415 - only where there is something to say

            getLogger(__name__).warning(
                "tonne: the journal cannot be written (%s). The run goes on and its account stays in memory; "
                "free the disk, or give a folder that can be written.",
                self.complaint,
            )

    def _thin(self) -> None:
        if len(self.kept) > MOST_KEPT:
            ticks = 0
            thinned: list[Line] = []
            for line in self.kept:
                ticks += "kind" not in line
                if "kind" in line or ticks % 2:
                    thinned.append(line)
            self.kept = thinned


def done_with(descriptor: int) -> None:
    """Close a file that a journal gave, its lines on disk."""
    if descriptor < 0:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # a pipe, or a disk that refuses: what it took of the lines is in them
    finally:
        os.close(descriptor)


def paths(folder: str) -> list[str]:
    """The files of a run's journal, the first one first; empty where there is none."""
    try:
        names = sorted(n for n in os.listdir(folder) if n.startswith(PREFIX) and n.endswith(SUFFIX))
    except OSError:
        return []
    names.sort(key=lambda name: name != FIRST)
    return [os.path.join(folder, name) for name in names]


def parsed(text: bytes) -> Line | None:
    """The line that a text holds; None where it is torn or none of ours."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def lines(path: str) -> Iterator[Line]:
    """The lines of a file in their order; torn ones are passed over."""
    with open(path, "rb") as file:
        for text in file:
            line = parsed(text) if text.endswith(b"\n") else None
            if line is not None:
                yield line


def first_line(path: str) -> Line | None:
    """The line with which a process began its file; None where the file has none."""
    try:
        return next(lines(path), None)
    except OSError:
        return None
