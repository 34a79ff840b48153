"""Watts of a measured run over its time, thinned: what a chart needs, whatever the number of readings.

The journal is read apart from its account, and of a long one only every so many readings: a counter holds what came
between two of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tonne.ledger.records import Series
from tonne.measure.choice import parts_of
from tonne.measure.journal import parsed
from tonne.measure.members import Member
from tonne.measure.models.cpu import cpu_energy_j
from tonne.measure.models.load import Load
from tonne.measure.replay import NodeUse
from tonne.measure.sensors.protocol import ACCELERATOR, CPU, HOST, NODE, Description

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Watts = dict[str, NDArray[np.float64]]

POINTS = 500
LOOKED_AT = 10 * POINTS  # readings of a file, about
TICK_BYTES = 120  # of a line with a reading, about
TICK, SENSORS = b'{"t":', b'{"kind":"sensors"'
NS_PER_S = 1e9
LOAD_STEPS = 21  # of the curve from load to power


@dataclass(slots=True)
class Column:
    """What one sensor said, or the node's busy time [s], in the order of its times."""

    of: Description | None
    times_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def power_series(nodes: Sequence[NodeUse], begun_unix_s: float, lasted_s: float) -> Series:
    """Mean watts by part in at most `POINTS` equal pieces of the time of a run; None where nothing was read.

    Accelerators are added up over a node, and parts over nodes, whose clocks are brought together by their headers. A
    processor that no sensor tells of is modelled from how busy it was, as it is in the account.
    """
    read = [(node, _columns(node)) for node in nodes]
    most = max((len(column.times_ns) for _, columns in read for column in columns), default=0)
    points = min(POINTS, most - 1)
    if lasted_s <= 0 or points < 1:
        return Series()
    edges_s = np.linspace(0.0, lasted_s, points + 1)
    sums: Watts = {}
    for node, columns in read:
        _add(sums, _node_watts(node, columns, begun_unix_s, edges_s))
    middles = (edges_s[1:] + edges_s[:-1]) / 2
    return Series(
        time_s=tuple(float(f"{at:.6g}") for at in middles),
        power_w={part: tuple(None if np.isnan(w) else float(f"{w:.5g}") for w in sums[part]) for part in sums},
    )


def _add(sums: Watts, more: Watts) -> None:
    """Add up by part, where either was read."""
    for part, watts in more.items():
        if part in sums:
            both = np.isnan(sums[part]) & np.isnan(watts)
            sums[part] = np.where(both, np.nan, np.nan_to_num(sums[part]) + np.nan_to_num(watts))
        else:
            sums[part] = watts


def _columns(node: NodeUse) -> list[Column]:
    """Readings of a node by its processes, and how busy it was; of long files only some."""
    found: dict[str, Column] = {}
    for member in node.members:
        sensors: list[Description] = []
        for line in _some_lines(member):
            if line.get("kind") == "sensors":
                sensors = [Description.from_dict(fields) for fields in line["sensors"]]
            elif line.get("kind") is None:
                _take(found, sensors, line)
    return list(found.values())


def _take(found: dict[str, Column], sensors: Sequence[Description], line: dict[str, Any]) -> None:
    for of, value, offset_us in zip(sensors, line.get("v") or (), line.get("o") or (), strict=False):
        column = found.setdefault(of.name, Column(of))
        at = line["t"] + offset_us * 1000
        if value is not None and value >= 0 and (not column.times_ns or at > column.times_ns[-1]):
            column.times_ns.append(at)
            column.values.append(value)
    if line.get("c") is not None:
        for name, value in zip(("busy", "whole"), line["c"], strict=True):
            column = found.setdefault(name, Column(None))
            column.times_ns.append(line["t"])
            column.values.append(value)


def _some_lines(member: Member) -> Iterator[dict[str, Any]]:
    """Lines that say which sensors there are, and one of so many readings."""
    if not member.path:
        return
    every = max(os.stat(member.path).st_size // (TICK_BYTES * LOOKED_AT), 1)  # noqa: PTH116 - a text of the journal's
    count = 0
    with open(member.path, "rb") as file:  # noqa: PTH123 - as above
        for text in file:
            if text.startswith(TICK):
                count += 1
                if (count - 1) % every:
                    continue
            elif not text.startswith(SENSORS):
                continue
            line = parsed(text) if text.endswith(b"\n") else None
            if line is not None:
                yield line


def _node_watts(node: NodeUse, columns: Sequence[Column], begun_unix_s: float, edges_s: NDArray[np.float64]) -> Watts:
    parts, _ = parts_of([(use.of, use.total) for use in node.sensors])
    part_of = {sensor: name for name, part in parts.items() for sensor in part.sensors}
    header = node.members[0].header
    edges_ns = edges_s * NS_PER_S + header["t"] + (begun_unix_s - header["unix_s"]) * NS_PER_S
    went_on = _went_on(node, edges_ns)
    found: Watts = {}
    for column in columns:
        part = None if column.of is None else part_of.get(column.of.name)
        if part is not None and len(column.times_ns) > 1:
            name = "accelerators" if part.startswith(ACCELERATOR) else part
            _add(found, {name: np.where(went_on, mean_watts(column, edges_ns), np.nan)})
    if not {CPU, HOST, NODE} & set(found):
        _add(found, {name: np.where(went_on, w, np.nan) for name, w in _modelled(node, columns, edges_ns).items()})
    return found


def _went_on(node: NodeUse, edges_ns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a process of the run went on in each piece of time: a run that was gone on with has pauses."""
    found = np.zeros(len(edges_ns) - 1, dtype=bool)
    for member in node.members:
        for begin, end in member.stretches:
            found |= (edges_ns[1:] > begin) & (edges_ns[:-1] < end)
    return found


def mean_watts(column: Column, edges_ns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power of a sensor between each two edges [W]; NaN where no reading stands on either side.

    A counter that wrapped once goes on; a step back of one that does not wrap tells nothing.
    """
    assert column.of is not None
    times, values = np.asarray(column.times_ns, dtype=np.float64), np.asarray(column.values, dtype=np.float64)
    if column.of.kind == "counter":
        steps_j = np.diff(values)
        steps_j = np.where(steps_j < 0, steps_j + (column.of.wrap_j or np.nan), steps_j)
        steps_j = np.where(np.isfinite(steps_j) & (steps_j >= 0), steps_j, 0.0)
    else:
        steps_j = (values[1:] + values[:-1]) / 2 * np.diff(times) / NS_PER_S
    return _rate(times, np.concatenate([[0.0], np.cumsum(steps_j)]), edges_ns)


def _rate(times: NDArray[np.float64], sums: NDArray[np.float64], edges_ns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rise of a growing quantity between each two edges, by the second; NaN outside its times."""
    inside = np.clip(edges_ns, times[0], times[-1])
    read_s = np.diff(inside) / NS_PER_S
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(read_s > 0, np.diff(np.interp(inside, times, sums)) / read_s, np.nan)


def _modelled(node: NodeUse, columns: Sequence[Column], edges_ns: NDArray[np.float64]) -> Watts:
    """Power of processors from how busy they were; nothing where nobody looked."""
    told = [column for column in columns if column.of is None]
    if len(told) != 2 or len(told[0].times_ns) < 2:
        return {}
    times = np.asarray(told[0].times_ns, dtype=np.float64)
    order = np.argsort(times)
    busy, whole = (_rate(times[order], np.asarray(one.values)[order], edges_ns) for one in told)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(np.where(whole > 0, busy / whole, np.nan), 0.0, 1.0)
    shares = np.linspace(0.0, 1.0, LOAD_STEPS)
    watts = [cpu_energy_j(node.facts, Load.steady(1.0, float(u)), 1.0)[0].value for u in shares]
    return {CPU: np.interp(share, shares, watts)}
