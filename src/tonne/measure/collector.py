"""The thread that reads a node's sensors once an interval, and writes what they said into the journal.

Every process of a run has one; the one that holds the node's lock reads, the others only say that they live and what
CPU time they took. When the reader leaves or dies, another takes over: counters go on from where they were.
"""

from __future__ import annotations

import os
import time
from threading import Event, Lock, Thread

from tonne.measure import processes
from tonne.measure.board_use import BoardUse
from tonne.measure.family import Lock as NodeLock
from tonne.measure.flag import Flag
from tonne.measure.forks import waited_for
from tonne.measure.groups import group_of
from tonne.measure.journal import Journal, done_with
from tonne.measure.readings import fields_of, is_number, states, terms, terms_at, unread
from tonne.measure.window_lines import WindowLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from tonne.measure.integration import Integral
    from tonne.measure.models.load import Load
    from tonne.measure.readings import State
    from tonne.measure.sensors.protocol import Missing, Reading, Sensor
    from tonne.measure.spans import Spans, Sums

    Opener = Callable[[], "tuple[Sequence[Sensor], Sequence[Missing]]"]

NS_PER_S = 1e9
PACE = 0.98  # of the interval: a crash loses no more than it, also where the thread wakes late
START_PATIENCE_S = 0.02  # of start(), for the first reading
EARLY_S = 0.1  # from the first reading to the second: the power that fills the time before a slow driver's first one
PATIENCE_S = 0.05  # a driver that hangs must not hold up the user's program for longer
GAP_INTERVALS = 3.0  # power may be bridged over so many intervals
EVERY_TICKS = 600  # a line says what they add up to, see milestones.py
SHARE_OF_TIME = 0.05  # windows may be as short as they like: sensors are read between ticks for that share of it
USE_EVERY_S, USE_SHARE = 5.0, 0.2  # CPU time and memory of processes are asked for that often, or a fifth of the time
PROGRESS_EVERY_S, PROGRESS_SHARE = 30.0, 0.01  # steps, and windows that another process adds up
LAST_LINE_S = 5.0  # of the thread, for whoever ends it to write the last line
SYNC_SHARE = 0.2  # share of the time that may go into waiting for the disk


class Collector:
    """Reads sensors for one run in one process."""

    def __init__(
        self,
        journal: Journal,
        node_lock: NodeLock,
        interval_s: float,
        open_sensors: Opener,
        watched_pid: int | None = None,
        spans: dict[str, Spans] | None = None,
    ) -> None:
        """A collector that does nothing before `start`.

        Args:
            journal: Where readings are written; its header is written already.
            node_lock: Held by the one process that reads this node's sensors for this run.
            interval_s: Time between two readings [s].
            open_sensors: Opens the drivers; called in the thread.
            watched_pid: Process tree whose CPU time is the run's; left out, this process's.
            spans: Windows of this process that ended before it.
        """
        self.journal, self.interval_s = journal, interval_s
        self.windows = WindowLines(self._is_time_for_loose, spans)
        self.progress: dict[str, Any] | None = None
        self.on_tick: Callable[[], None] | None = None
        self.watched_pid = watched_pid
        self._complained = False
        self._node_lock, self._open_sensors = node_lock, open_sensors
        self._sensors: Sequence[Sensor] = ()
        self._integrals: list[Integral] = []
        self._reading = Lock()  # sensors, sums and the order of lines
        self._left = -1  # the journal's file, that the thread closes
        self._wake, self._ticked = Flag(), Event()
        self._ended = False
        self._begun_ns = self._first_ns = self._last_ns = 0  # the run's begin, the first and the last reading
        self._patience_s = PATIENCE_S
        self._before: list[State] = []  # of the sums before the last reading, where windows may ask
        self._cost_ns = 0.0  # of reading all sensors once, in the mean
        self._synced_s = 0.0
        self._thread: Thread | None = None
        self.is_reader = False
        self._boards = BoardUse()
        self._group = group_of(watched_pid)
        self._load: Load | None = None  # how busy the node was, since this process reads
        self._node_s: tuple[int, float, float] | None = None
        self._due_ns: dict[str, int] = {}
        self._ticks = 0
        self._knows_facts = True  # of the machine: only who reads tells them

    @property
    def reads(self) -> bool:
        """Whether this process reads the node's sensors now."""
        return bool(self._integrals)

    @property
    def begun_ns(self) -> int:
        """When it began to read, of time.monotonic_ns()."""
        return self._begun_ns

    def start(self) -> None:
        """Begin to read.

        Drivers are opened by the thread. Those that are quick are waited for: what they count up to the return of this
        call is the meter's own start, and not the run's. Time before the reading of a slow one is counted at the power
        after it.
        """
        self._ended = False
        self._thread = Thread(target=self._run, name="tonne", daemon=True)
        self._thread.start()
        self._ticked.wait(START_PATIENCE_S)
        can_write = self._hold()
        try:
            self._begun_ns = time.monotonic_ns()
            for integral in self._integrals:
                integral.start_at(self._begun_ns)
            self.journal.add({"kind": "start", "t": self._begun_ns, "unix_s": time.time()})
        finally:
            if can_write:
                self._reading.release()

    def sums(self, at_ns: int) -> Sums | None:
        """Energy by sensor from the beginning up to a time just now; None where another process reads."""
        if not self._integrals or not self._hold():
            return None
        try:
            if not self._integrals:  # it ended while we waited
                return None
            was_read_since = at_ns < self._last_ns and bool(self._before)  # by the thread, while we waited for it
            if not was_read_since and (at_ns - self._last_ns) * SHARE_OF_TIME <= self._cost_ns:
                return [terms(integral, at_ns, self._begun_ns) for integral in self._integrals]
            if not was_read_since:
                self._read(written=False)
            return terms_at(self._before, self._integrals, at_ns, self._begun_ns)
        finally:
            self._reading.release()

    def _hold(self) -> bool:
        """Whether the sensors are this thread's now; a driver that hung is not waited for again until it is back."""
        held = self._reading.acquire(timeout=self._patience_s)
        self._patience_s = PATIENCE_S if held else 0.0
        return held

    def end(self, line: dict[str, Any]) -> None:
        """Read for the last time, write a last line that says when the run ended, and let another process read."""
        self._ended = True
        can_read = self._hold()
        if not (self.is_reader or self._ticked.is_set()) and self._node_lock.take():
            self.is_reader, self._knows_facts = True, False  # over before anybody read: what the machine is can be told
        try:
            facts = self._facts(slices=can_read)  # may take long: the last reading comes after it
            tick = self._tick(read=can_read)
            news = self._news(all_of_it=True, boards=can_read)
            self.journal.add(tick, *facts, *news, line)
        finally:
            if can_read:
                self._integrals = []
                self._reading.release()
        self._left = self.journal.release()
        self._node_lock.give()
        self._wake.set()

    def flush(self) -> None:
        """Write what is known now, so that the journal says all of it."""
        if self._hold():
            try:
                self.journal.add(self._tick(read=True), *self._facts(), *self._news(all_of_it=True))
                self._knows_facts = True
            finally:
                self._reading.release()

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's, and so are its locks, its drivers and its file."""
        self._reading, self._wake, self.is_reader = Lock(), Flag(), False
        self._integrals, self._before, self._sensors, self._thread, self._ended = [], [], (), None, True
        self.windows = WindowLines(self._is_time_for_loose, self.windows.spans)
        self._node_lock.give()
        self.journal.close()

    @waited_for
    def _run(self) -> None:
        """The thread: a tick an interval, in step with the clock that never jumps."""
        self._guarded_tick()
        with self._reading:
            if not self._ended:
                self.journal.add(*self._facts())
                self._knows_facts = True
        due = time.monotonic()
        self._wake.wait(min(EARLY_S, self.interval_s))
        while not self._ended:
            self._guarded_tick()
            due = max(due + PACE * self.interval_s, time.monotonic())
            self._wake.wait(due - time.monotonic())
        self._wake.wait(LAST_LINE_S)
        done_with(self._left)
        for sensor in self._sensors:
            sensor.close()
        self._boards.close()

    def _guarded_tick(self) -> None:
        """One tick. Whatever goes wrong in it is told once and never reaches the user's program."""
        try:
            self._take_over()
            with self._reading:
                if self._ended:
                    return
                self.journal.add(*self._lines())
            self._ticked.set()
            self._sync()
            if self.on_tick is not None:
                self.on_tick()
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say once that something went wrong here; the user's program never sees it."""
        if not self._complained:
            self._complained = True
            from logging import getLogger  # noqa: PLC0415 - only where there is something to say

            getLogger(__name__).warning("tonne: measuring goes on with a gap: %s: %s", type(error).__name__, error)

    def _take_over(self) -> None:
        """Open the sensors where this process is, or has just become, the one that reads them."""
        if self.is_reader or self._ended or not self._node_lock.take():
            return
        if self._ended:  # meanwhile: nobody else would give the lock back
            self._node_lock.give()
            return
        self.is_reader, self._knows_facts = True, False
        from tonne.measure import inbox as inbox  # noqa: PLC0415 - for the end, which must not wait for a module
        from tonne.measure.integration import Integral  # noqa: PLC0415 - not needed by who does not read
        from tonne.measure.models.load import Load  # noqa: PLC0415 - as above
        from tonne.measure.sensors.missing import warn_of_own_meters  # noqa: PLC0415 - as above
        from tonne.measure.sensors.protocol import NODE, Description, Missing, reading_interval_s  # noqa: PLC0415 - as above

        sensors: Sequence[Sensor] = ()
        try:
            sensors, missing = self._open_sensors()
        except Exception as error:
            missing = [Missing(NODE, f"its sensors cannot be opened: {type(error).__name__}: {error}")]
            self._complain(error)
        warn_of_own_meters(missing)
        described = [Description.of(sensor) for sensor in sensors]
        gap_s = GAP_INTERVALS * self.interval_s
        self.interval_s = reading_interval_s(described, self.interval_s)  # a counter that soon wraps is read oftener
        with self._reading:
            self._sensors = sensors
            if self._ended:
                return
            self._load = Load()
            self._boards.open([of.name for of in described])
            self._integrals = [Integral(of, gap_s, self._begun_ns or None) for of in described]
            line = {
                "kind": "sensors",
                "t": time.monotonic_ns(),
                "sensors": [of.as_dict() for of in described],
                "missing": [[one.part, one.reason, one.mend, one.device] for one in missing],
            }
            self.journal.add(line)
            self._knows_facts = False  # of slices nobody knew before

    def _facts(self, *, slices: bool = True) -> list[dict[str, Any]]:
        """What the machine is, until it is in the journal: after the first reading, for looking takes longer.

        Args:
            slices: Whether to ask the boards' driver too; not while it hangs.
        """
        if self._knows_facts:
            return []
        try:
            from tonne.measure.environment import roots_from_environment  # noqa: PLC0415 - not needed by other ranks
            from tonne.measure.facts import node_facts  # noqa: PLC0415 - as above

            facts = node_facts(roots_from_environment()).as_dict()
            return [{"kind": "facts", "facts": facts, "slices": self._boards.slices() if slices else {}}]
        except Exception as error:
            self._complain(error)
            return []

    def _read(self, *, written: bool = True) -> dict[str, Any]:
        """Read every sensor; the fields that say so."""
        begun, told = time.monotonic_ns(), self.progress
        is_told = told is not None and "j" not in told
        needed = is_told or not written or self.windows.are_used
        before = self._before = states(self._integrals, self._begun_ns) if needed else []
        readings = [self._reading_of(sensor) for sensor in self._sensors]
        self._first_ns = self._first_ns or min((reading.time_ns for reading in readings), default=time.monotonic_ns())
        for integral, reading in zip(self._integrals, readings, strict=True):
            integral.start_ns = integral.start_ns or self._begun_ns or self._first_ns  # who is read late has a gap
            integral.add(reading if is_number(reading) else unread(reading))
        self._last_ns = time.monotonic_ns()
        if told is not None and is_told and self._energy_j() is not None:  # the step was told between two readings
            at_told = terms_at(before, self._integrals, told["t"], self._begun_ns)
            told["j"] = sum(energy_j for energy_j, *_ in at_told)
        self._cost_ns += ((self._last_ns - begun) - self._cost_ns) / (8 if self._cost_ns else 1)
        return fields_of(readings, begun) if written else {}

    def _reading_of(self, sensor: Sensor) -> Reading:
        """What a sensor says; one that raises, against its promise, has no number."""
        try:
            return sensor.read()
        except Exception as error:
            from tonne.measure.sensors.protocol import Reading  # noqa: PLC0415 - seldom needed

            self._complain(error)
            return Reading(time.monotonic_ns(), None, f"{type(error).__name__}: {error}")

    def _lines(self) -> list[dict[str, Any]]:
        """What the thread writes after an interval; after many of them also what they add up to."""
        self._ticks += 1
        if self._ticks % EVERY_TICKS:
            return [self._tick(read=True, whole=False), *self._news()]
        from tonne.measure.milestones import line_of  # noqa: PLC0415 - seldom needed

        news, tick = self._news(all_of_it=True), self._tick(read=True)
        return [*news, tick, self.windows.all(), line_of(self._last_ns or tick["t"], self._integrals, self._load)]

    def _is_due(self, what: str, every_s: float, share: float) -> bool:
        """Whether something is to be written again: after so long, or so short a share of the time that went on."""
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns.get(what, 0):
            return False
        went_on_ns = now_ns - self._begun_ns if self._begun_ns else 0
        self._due_ns[what] = now_ns + min(int(every_s * NS_PER_S), int(share * went_on_ns))
        return True

    def _tick(self, *, read: bool, whole: bool = True) -> dict[str, Any]:
        """A line that says: alive now, the readings, and now and then (or `whole`) CPU time and memory in use."""
        line: dict[str, Any] = {"t": time.monotonic_ns()}
        whole = self._is_due("use", USE_EVERY_S, USE_SHARE) or whole
        if whole:
            cpu_s, held_bytes, pids = processes.tree_use(self.watched_pid or os.getpid())
            self._boards.saw(pids)
            line["p"] = [round(cpu_s, 3), held_bytes]
            if self._group is not None and self._group.is_job:
                line["g"] = self._group.cpu_s()
        if read and self._integrals:
            line.update(self._read())
        if whole and self.is_reader:  # also where there is no sensor: models ask for it all the more
            line["c"] = self._node_use(line["t"])
        return line

    def _node_use(self, time_ns: int) -> list[float] | None:
        """CPU time of everybody on the node, and with the idle time [s]; None where nobody tells."""
        node = processes.node_cpu_s()
        if node is None:
            return None
        now, last = (time_ns, *node), self._node_s
        if self._load is not None and last is not None:
            now = self._load.count(last, now, (time_ns - last[0]) / NS_PER_S)
        self._node_s = now
        return [round(node[0], 2), round(node[1], 2)]

    def _news(self, *, all_of_it: bool = False, boards: bool = True) -> list[dict[str, Any]]:
        """Lines about windows that ended and steps that were taken since the last ones.

        Args:
            all_of_it: Also of what is not due.
            boards: Whether to ask the boards' driver too; not while it hangs.
        """
        found = [*(self._boards.lines() if boards else ()), *self.windows.new(self.interval_s, all_of_it=all_of_it)]
        if self.progress is None or not (self._is_due("progress", PROGRESS_EVERY_S, PROGRESS_SHARE) or all_of_it):
            return found
        progress, self.progress = self.progress, None
        energy_j = progress.get("j", self._energy_j(progress["t"]))
        return [*found, {**progress, "j": None if energy_j is None else round(energy_j, 3)}]

    def _is_time_for_loose(self) -> bool:
        return self._is_due("loose", PROGRESS_EVERY_S, PROGRESS_SHARE)

    def _energy_j(self, at_ns: int | None = None) -> float | None:
        """What all sensors added up to at the last reading, or at a time after it [J]; None where one cannot say."""
        totals = [integral.total(at_ns).energy_j for integral in self._integrals]
        return sum(total or 0.0 for total in totals) if totals and None not in totals else None

    def _sync(self) -> None:
        """Have the disk hold the lines; seldom where the disk is slow."""
        begun = time.monotonic()
        if self._synced_s > SYNC_SHARE * self.interval_s:
            self._synced_s -= SYNC_SHARE * self.interval_s
            return
        self.journal.sync()
        self._synced_s = time.monotonic() - begun
