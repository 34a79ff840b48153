"""What one process wrote about its part of a run: when it went on, what it read, its windows, its CPU time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any

from tonne.measure import status
from tonne.measure.journal import Line
from tonne.measure.sensors.protocol import Description
from tonne.measure.spans import Sums

Stretch = tuple[int, int]  # begin and end, of time.monotonic_ns() on the process's node

NS_PER_US = 1000
NS_PER_S = 1e9


@dataclass(slots=True)
class WindowUse:
    """The windows of one name in one process."""

    count: int = 0
    lasted_s: float = 0.0
    sums: Sums | None = None
    sensors: tuple[str, ...] = ()  # of which the sums are
    loose: list[tuple[float, int, int]] = field(default_factory=list)  # without sums: time [s], begin and end [ns]


@dataclass(slots=True)
class Section:
    """Readings of one set of sensors by one process; none between its first and its last milestone."""

    sensors: tuple[Description, ...]
    line: Line  # that says what there is and what is missing
    times_ns: tuple[array[int], ...] = ()
    values: tuple[array[float], ...] = ()
    milestones: list[Line] = field(default_factory=list)  # the first and the last

    def __post_init__(self) -> None:
        """No reading yet."""
        self.times_ns = tuple(array("q") for _ in self.sensors)
        self.values = tuple(array("d") for _ in self.sensors)

    def add(self, line: Line) -> None:
        """Take in a tick; a sensor without a number has NaN."""
        for i, (value, offset_us) in enumerate(zip(line["v"], line["o"], strict=True)):
            self.times_ns[i].append(line["t"] + offset_us * NS_PER_US)
            self.values[i].append(nan if value is None else value)


@dataclass(slots=True)
class Member:
    """One process of a run."""

    header: Line
    path: str
    state: str = status.RUNNING
    stretches: list[Stretch] = field(default_factory=list)
    cpu_s: float = 0.0  # of its process tree, while the run went on
    held_bytes: float = 0.0  # memory of its process tree, in the mean
    ticks: int = 0
    windows: dict[str, WindowUse] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    node_cpu: tuple[array[int], array[float], array[float]] = field(
        default_factory=lambda: (array("q"), array("d"), array("d"))
    )
    progress: list[Line] = field(default_factory=list)
    baselines: list[Line] = field(default_factory=list)
    pids: frozenset[int] = frozenset()  # of its process tree
    board_s: dict[str, dict[int, float]] = field(default_factory=dict)  # sensor -> process -> time of the board [s]
    facts: dict[str, Any] = field(default_factory=dict)  # of its machine, where it read the sensors
    slices: dict[str, dict[str, float]] = field(default_factory=dict)  # sensor -> slice -> its share of the board
    group_s: float = 0.0  # CPU time of everything in its control group, where that is a job
    fields: dict[str, Any] = field(default_factory=dict)  # of the line with which it left
    open_windows: list[list[Any]] = field(default_factory=list)  # name, begin [ns], whether it is not counted yet
    _begun_ns: int | None = None
    _last_ns: int = 0
    _cpu_first_s: float | None = None
    _cpu_last_s: float = 0.0
    _group_s: tuple[float, float] | None = None  # first and last of a stretch

    @property
    def stamp(self) -> str:
        """What tells this process from the others."""
        return str(self.header["stamp"])

    @property
    def identity(self) -> list[int]:
        """Number and start of the process."""
        process: Mapping[str, Any] = self.header["process"]
        return [process["pid"], process["started"]]

    def unix_s(self, time_ns: int) -> float:
        """A time of time.monotonic_ns() by the clock that the header read when it was written [s]."""
        return float(self.header["unix_s"] + (time_ns - self.header["t"]) / NS_PER_S)

    @property
    def is_rank(self) -> bool:
        """Whether it does the run's work, and does not only watch it."""
        return bool(self.header.get("role", "rank") == "rank")

    def take(self, line: Line) -> None:
        """Take in a line of its file; lines of kinds that a later version writes are passed over."""
        takers = {
            None: self._tick,
            "start": self._start,
            "leave": self._leave,
            "sensors": self._sensors,
            "windows": self._windows,
            "loose": self._windows,
            "open": self._take_open,
            "milestone": self._milestone,
            "facts": self._take_facts,
            "progress": self.progress.append,
            "baseline": self.baselines.append,
            "pids": self._take_pids,
            "boards": self._take_boards,
        }
        taker = takers.get(line.get("kind"))
        if taker is not None:
            taker(line)

    def end(self) -> None:
        """All lines were taken in: what did not end went on up to the last one."""
        self._close()

    def _start(self, line: Line) -> None:
        self._close()
        self._begun_ns, self._last_ns = line["t"], line["t"]

    def _leave(self, line: Line) -> None:
        self._last_ns = line["t"]  # the last tick comes after it
        self.fields = line
        self._close()

    def _sensors(self, line: Line) -> None:
        self.sections.append(Section(tuple(Description.from_dict(fields) for fields in line["sensors"]), line))

    def _take_facts(self, line: Line) -> None:
        self.facts = line["facts"]
        self.slices = {name: dict(slices) for name, slices in line.get("slices", {}).items()}

    def _take_pids(self, line: Line) -> None:
        self.pids |= frozenset(line["pids"])

    def _take_boards(self, line: Line) -> None:
        self.board_s = {name: {int(pid): s for pid, s in use.items()} for name, use in line["seconds"].items()}

    def _tick(self, line: Line) -> None:
        self._last_ns = max(self._last_ns, line["t"] + max(line.get("o") or (0,)) * NS_PER_US)
        if line.get("p") is not None:
            cpu_s, held_bytes = line["p"]
            self._cpu_first_s = cpu_s if self._cpu_first_s is None else self._cpu_first_s
            self._cpu_last_s = max(cpu_s, self._cpu_last_s)  # a child that nobody waited for takes its time with it
            self.ticks += 1
            self.held_bytes += (held_bytes - self.held_bytes) / self.ticks
        if line.get("g") is not None:
            self._group_s = (line["g"] if self._group_s is None else self._group_s[0], line["g"])
        if line.get("v") is not None and self.sections:
            self.sections[-1].add(line)
        if line.get("c") is not None:
            times, busy, whole = self.node_cpu
            times.append(line["t"])
            busy.append(line["c"][0])
            whole.append(line["c"][1])

    def _milestone(self, line: Line) -> None:
        if self.sections:
            section = self.sections[-1]
            section.milestones = [*section.milestones[:1], line]

    def _close(self) -> None:
        if self._begun_ns is not None:
            self.stretches.append((self._begun_ns, max(self._last_ns, self._begun_ns)))
            self._begun_ns = None
        if self._cpu_first_s is not None:
            self.cpu_s += self._cpu_last_s - self._cpu_first_s
        if self._group_s is not None:
            self.group_s += self._group_s[1] - self._group_s[0]
        self._cpu_first_s, self._cpu_last_s, self._group_s = None, 0.0, None

    def _windows(self, line: Line) -> None:
        sensors = tuple(of.name for of in self.sections[-1].sensors) if self.sections else ()
        for name, (count, lasted_s, sums, loose) in line["windows"].items():
            found = self.windows.setdefault(name, WindowUse())
            found.count, found.lasted_s = count, lasted_s
            if sums is not None:
                found.sums, found.sensors = sums, sensors
            if loose is not None:
                found.loose.append((loose[0], loose[1], loose[2]))

    def _take_open(self, line: Line) -> None:
        self.open_windows = line["windows"]

    def cut_windows(self) -> None:
        """What was open when the process was cut off went on up to its last line."""
        for name, begun_ns, is_new in self.open_windows:
            ended_ns = max(self._last_ns, begun_ns)
            found = self.windows.setdefault(name, WindowUse())
            found.count += bool(is_new)
            found.lasted_s += (ended_ns - begun_ns) / NS_PER_S
            found.loose.append(((ended_ns - begun_ns) / NS_PER_S, begun_ns, ended_ns))


def member_of(header: Line, lines: Iterable[Line], path: str) -> Member:
    """The process that wrote these lines."""
    member = Member(header, path)
    for line in lines:
        member.take(line)
    member.end()
    member.state = status.state_of(path, header) if path else str(member.fields.get("status", status.RUNNING))
    if member.state != status.RUNNING:
        member.cut_windows()
    return member
