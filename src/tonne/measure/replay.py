"""A run's journal, read again: what its sensors said on each node while the run went on, and what its processes used.

All files of a run's folder are one run. Nothing here depends on who asks, so that every rank finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tonne.errors import MeasurementError
from tonne.grid.hours import by_hour
from tonne.measure import journal, milestones, status
from tonne.measure.facts import NodeFacts
from tonne.measure.journal import Line
from tonne.measure.members import Member, Stretch, member_of
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Description, Missing
from tonne.measure.steps import steps_told
from tonne.measure.stretches import NodeReadings, merged, overlap, sums_of
from tonne.measure.tally import Total
from tonne.measure.windows import CALLS

NS_PER_S = 1e9
SAME_TIME = 0.1  # of the shorter one's time, from which on two nodes count as going on together


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorUse:
    """What one sensor read while a run, or a window of it, went on."""

    of: Description
    total: Total


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """One node's part of a run: its sensors' sums, its time, and the CPU time that was spent on it by all."""

    node: str
    facts: NodeFacts
    lasted_s: float  # while any process of the run went on
    sensors: tuple[SensorUse, ...]
    missing: tuple[Missing, ...]
    members: tuple[Member, ...]
    busy_cpu_s: float | None  # of everybody on the node, while the run went on
    load: Load | None  # how busy its processors were
    baseline_w: Mapping[str, float]  # by sensor, idle
    board_s: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # sensor -> process -> its time [s]
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # sensor -> slice -> share of the board
    begun_unix_s: float = 0.0
    ended_unix_s: float = 0.0
    hours: Mapping[int, float] = field(default_factory=dict)  # hours since 1970 -> time of the run in them [s]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A run as its journal has it."""

    run: str
    name: str
    folder: str
    site: Any
    status: str | None
    begun_unix_s: float
    header: Mapping[str, Any]
    nodes: tuple[NodeUse, ...]
    windows: Mapping[str, int] = field(default_factory=dict)  # name -> how often, over all processes
    progress: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lasted_s(self) -> float:
        """Time of the run [s]: nodes that went on together count once, those one after the other are added."""
        together: list[list[NodeUse]] = []
        for node in sorted(self.nodes, key=lambda node: node.begun_unix_s):
            before = together[-1] if together else []
            if any(_overlap(node, other) for other in before):
                before.append(node)
            else:
                together.append([node])
        return sum(max(node.lasted_s for node in nodes) for nodes in together)


def _overlap(node: NodeUse, other: NodeUse) -> bool:
    """Whether two nodes went on at the same time; clocks of nodes may differ by some of it."""
    both_s = min(node.ended_unix_s, other.ended_unix_s) - max(node.begun_unix_s, other.begun_unix_s)
    shorter_s = min(one.ended_unix_s - one.begun_unix_s for one in (node, other))
    return both_s >= SAME_TIME * shorter_s


def measured(folder: str, *, own: tuple[str | None, list[Line]] | None = None, window: str | None = None) -> Measured:
    """The run in a folder.

    Args:
        folder: Of the run.
        own: Path of this process's file and the lines of it that are not on disk.
        window: Count only the windows of this name.

    Raises:
        MeasurementError: There is no journal, or none of that window.
    """
    members = _members(folder, own, window)
    if not members:
        raise MeasurementError(
            f"{folder} holds no journal of a run. Give the folder of a run: `tonne runs` lists those that are known."
        )
    names = {name: 0 for member in members for name in member.windows}
    for member in members:
        for name, spans in member.windows.items():
            names[name] += spans.count
    if window == CALLS and window not in names and any(member.header.get("calls") for member in members):
        window = None  # the first call goes on, or was cut off: so far it is all of the run
    if window is not None and window not in names:
        raise MeasurementError(
            f"no window of the name {window!r} has ended in this run. There are: {', '.join(sorted(names)) or 'none'}."
        )
    first = min(members, key=lambda member: member.header["unix_s"])
    nodes = dict.fromkeys(member.header["node"] for member in members)
    return Measured(
        run=str(first.header["run"]),
        name=str(first.header["name"]),
        folder=folder,
        site=next((m.header["site"] for m in members if m.header.get("site") is not None), None),
        status=status.status_of(folder),
        begun_unix_s=float(first.header["unix_s"]),
        header=first.header,
        nodes=tuple(node_use([m for m in members if m.header["node"] == node], window) for node in nodes),
        windows=names,
        progress=steps_told(members),
    )


def _members(folder: str, own: tuple[str | None, list[Line]] | None, window: str | None) -> list[Member]:
    """The processes of a run. Ticks between milestones are passed over where nothing asks for them."""
    own_path, kept = own or (None, [])
    found: list[Member] = []
    for lines in (_needed_lines, _all_lines):
        found = [
            member_of(header, lines(path, kept if path == own_path else []), path)
            for path, header in status.headers(folder)
        ]
        if not _ask_for_ticks(found, window):
            break
    if kept and kept[0].get("kind") == "run":  # not even the header reached the disk
        found.append(member_of(kept[0], kept, ""))
    return found


def _ask_for_ticks(members: list[Member], window: str | None) -> bool:
    """Whether readings are told apart one by one: of two readers at once, and around windows without sums."""
    if any(window in one.windows and one.windows[window].loose for one in members if window is not None):
        return True
    nodes = {member.header["node"] for member in members}
    return any(overlap([m for m in members if m.header["node"] == node]) for node in nodes)


def _needed_lines(path: str, kept: list[Line]) -> Iterator[Line]:
    with open(path, "rb") as file:
        yield from milestones.needed(file)
    yield from kept


def _all_lines(path: str, kept: list[Line]) -> Iterator[Line]:
    """All that says what happened; nothing that was added up."""
    for line in chain(journal.lines(path), kept):
        if line.get("kind") != milestones.KIND:
            yield line


def node_use(members: list[Member], window: str | None) -> NodeUse:
    """One node's part of a run, from the files of its processes."""
    readings = NodeReadings.of(members)
    stretches = merged(member.stretches for member in members)
    totals = sums_of(readings, stretches) if window is None else readings.of_window(members, window)
    lasted_s = sum(end - begin for begin, end in stretches) / NS_PER_S
    if window is not None:
        lasted_s = max((m.windows[window].lasted_s for m in members if window in m.windows), default=0.0)
    return NodeUse(
        node=str(members[0].header["node"]),
        facts=readings.facts,
        lasted_s=lasted_s,
        sensors=tuple(SensorUse(of=of, total=total) for of, total in totals),
        missing=readings.missing,
        members=tuple(members),
        busy_cpu_s=readings.busy_cpu_s(stretches),
        load=readings.load(stretches),
        baseline_w=readings.baseline_w,
        board_s=_board_s(members),
        slices={name: slices for member in members for name, slices in member.slices.items()},
        begun_unix_s=members[0].unix_s(stretches[0][0]) if stretches else 0.0,
        ended_unix_s=members[0].unix_s(stretches[-1][1]) if stretches else 0.0,
        hours=_hours(members[0].header, stretches),
    )


def _board_s(members: list[Member]) -> dict[str, dict[int, float]]:
    """Time of each board by process, over all who read it."""
    found: dict[str, dict[int, float]] = {}
    for member in members:
        for sensor, by_process in member.board_s.items():
            seconds = found.setdefault(sensor, {})
            for pid, time_s in by_process.items():
                seconds[pid] = seconds.get(pid, 0.0) + time_s
    return found


def _hours(header: Line, stretches: list[Stretch]) -> dict[int, float]:
    """Time of a run by hour, of the clock that the header read when it was written."""
    found: dict[int, float] = {}
    for begin, end in stretches:
        unix_s = [header["unix_s"] + (at - header["t"]) / NS_PER_S for at in (begin, end)]
        for hour, lasted_s in by_hour(*unix_s).items():
            found[hour] = found.get(hour, 0.0) + lasted_s
    return found
