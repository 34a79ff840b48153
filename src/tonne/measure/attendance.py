"""This process's part in a run: one file and one thread, however many of its meters are of that run.

Meters of one process are of one run where `tonne run` or TONNE_RUN says so, and where they go on with one folder.
"""

from __future__ import annotations

import os
from threading import RLock

from tonne.measure import environment, identity, status
from tonne.measure.collector import Collector
from tonne.measure.family import Lock as NodeLock
from tonne.measure.header import header
from tonne.measure.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tonne.measure.family import Register
    from tonne.measure.meter import Meter

_KNOWN: dict[tuple[str, str], Attendance] = {}  # runs that later meters of this process may be of


def attendance_of(meter: Meter, register: Register | None, *, forked: bool) -> Attendance:
    """This process's part in a meter's run: the one that it has, or a new one with a file of its own.

    Args:
        meter: Whose run and folder are known.
        register: That the process is entered in.
        forked: Whether the meter comes from the process that this one was forked from.
    """
    assert meter.run_id is not None
    assert meter.folder is not None
    key = (meter.run_id, meter.folder)
    found = _KNOWN.get(key) or Attendance(meter, register, forked=forked)
    if meter.may_meet_others:
        _KNOWN[key] = found
    return found


def forget_all() -> None:
    """In a forked child: those are the parent's."""
    _KNOWN.clear()


class Attendance:
    """The file, the thread, and the meters that run."""

    def __init__(self, meter: Meter, register: Register | None, *, forked: bool) -> None:
        """A part whose file has its first line."""
        assert meter.folder is not None
        self.pid = os.getpid()
        self.folder = meter.folder
        self.journal = Journal(meter.folder, identity.file_stamp())
        self.collector: Collector | None = None
        self._run_id, self._name, self._role = str(meter.run_id), meter.name, meter.role
        self._register = register
        self._meters: list[Meter] = []
        self._mutex = RLock()
        self._is_found = environment.is_below_home(meter.folder)  # by whoever lists the runs
        resumes = not forked and status.status_of(meter.folder) not in {None, status.RUNNING, status.FINISHED}
        self.journal.add({**header(meter), "resumes": resumes, "forked": forked})

    def enter(self, meter: Meter) -> None:
        """Begin to measure for a meter; the first one starts the thread."""
        with self._mutex:
            if not self._meters:
                self.collector = self._new_collector(meter)
                self.collector.start()
            self._meters.append(meter)

    def leave(self, meter: Meter, line: dict[str, Any]) -> None:
        """Measure no longer for a meter; after the last one the file is closed with this line."""
        with self._mutex:
            self._meters.remove(meter)
            if self._meters or self.collector is None:
                return
            self.collector.end(line)
            if self._register is not None:
                self._register.leave(self._run_id)
            self._leave_word(is_reader=self.collector.is_reader)

    def _new_collector(self, meter: Meter) -> Collector:
        path = os.path.join(environment.runtime_folder(), f"{identity.plain(self._run_id or self._name)}.lock")
        collector = Collector(
            self.journal,
            NodeLock(path),
            meter.interval_s,
            meter.open_sensors,
            watched_pid=meter.watched_pid,
            spans=None if self.collector is None else self.collector.windows.spans,
        )
        collector.on_tick = self._tick
        return collector

    def _tick(self) -> None:
        for meter in tuple(self._meters):
            meter.after_tick()
        if not self._is_found and self.collector is not None:
            self._is_found = True
            self._leave_word(is_reader=self.collector.is_reader)  # else nobody would find it if it were killed

    def _leave_word(self, *, is_reader: bool) -> None:
        """Tell the ledger where the journal lies: whoever watched the run, or read its node's sensors, does."""
        if self.journal.kept or not (is_reader or self._role == "watcher"):
            return
        from tonne.measure.inbox import put  # noqa: PLC0415 - at the end

        name = f"run-{identity.plain(self._run_id)}-{self.journal.stamp}"
        put("run", {"run": self._run_id, "folder": os.path.abspath(self.folder)}, name=name)
