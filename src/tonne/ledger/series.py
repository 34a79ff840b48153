"""Watts of a measured run over its time, thinned: what a chart needs, whatever the number of readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tonne.ledger.records import Series
from tonne.measure.choice import parts_of
from tonne.measure.replay import NodeUse
from tonne.measure.sensors.protocol import ACCELERATOR
from tonne.measure.stretches import NodeReadings
from tonne.measure.stretches import Series as Readings

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = 500
NS_PER_S = 1e9
Watts = Mapping[str, tuple[float | None, ...]]


def power_series(nodes: Sequence[NodeUse], begun_unix_s: float, lasted_s: float) -> Series:
    """Mean watts by part in at most `POINTS` equal pieces of the time of a run; None where nothing was read.

    Accelerators are added up over a node, and parts over nodes, whose clocks are brought together by their headers.
    """
    if lasted_s <= 0:
        return Series()
    most = max((len(times) for node in nodes for times in _all_times(node)), default=0)
    points = min(POINTS, max(most - 1, 0))
    if not points:
        return Series()
    edges_s = np.linspace(0.0, lasted_s, points + 1)
    sums: dict[str, NDArray[np.float64]] = {}
    for node in nodes:
        for part, watts in _node_watts(node, begun_unix_s, edges_s).items():
            sums[part] = watts if part not in sums else _plus(sums[part], watts)
    middles = (edges_s[1:] + edges_s[:-1]) / 2
    return Series(
        time_s=tuple(float(f"{at:.6g}") for at in middles),
        power_w={part: tuple(None if np.isnan(w) else float(f"{w:.5g}") for w in sums[part]) for part in sums},
    )


def _all_times(node: NodeUse) -> list[Sequence[int]]:
    return [times for member in node.members for section in member.sections for times in section.times_ns]


def _plus(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum where either was read."""
    both = np.isnan(one) & np.isnan(other)
    return np.where(both, np.nan, np.nan_to_num(one) + np.nan_to_num(other))


def _node_watts(node: NodeUse, begun_unix_s: float, edges_s: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    parts, _ = parts_of([(use.of, use.total) for use in node.sensors])
    part_of = {sensor: name for name, part in parts.items() for sensor in part.sensors}
    header = node.members[0].header
    offset_ns = header["t"] + (begun_unix_s - header["unix_s"]) * NS_PER_S  # the run's begin, by the node's clock
    found: dict[str, NDArray[np.float64]] = {}
    for readings in NodeReadings.of(list(node.members)).series:
        part = part_of.get(readings.of.name)
        if part is None or len(readings.times_ns) < 2:
            continue
        name = "accelerators" if part.startswith(ACCELERATOR) else part
        watts = mean_watts(readings, edges_s * NS_PER_S + offset_ns)
        found[name] = watts if name not in found else _plus(found[name], watts)
    return found


def mean_watts(readings: Readings, edges_ns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power of a sensor between each two edges [W]; NaN where no reading stands on either side.

    A counter that wrapped once goes on; a step back of one that does not wrap tells nothing.
    """
    times = np.asarray(readings.times_ns, dtype=np.float64)
    values = np.asarray(readings.values, dtype=np.float64)
    good = np.isfinite(values) & (values >= 0)
    times, values = times[good], values[good]
    if len(times) < 2:
        return np.full(len(edges_ns) - 1, np.nan)
    passed_s = np.diff(times) / NS_PER_S
    if readings.of.kind == "counter":
        steps_j = np.diff(values)
        steps_j = np.where(steps_j < 0, steps_j + (readings.of.wrap_j or np.nan), steps_j)
        steps_j = np.where(np.isfinite(steps_j) & (steps_j >= 0), steps_j, 0.0)
    else:
        steps_j = (values[1:] + values[:-1]) / 2 * passed_s
    sums_j = np.concatenate([[0.0], np.cumsum(steps_j)])
    inside = np.clip(edges_ns, times[0], times[-1])
    read_s = np.diff(inside) / NS_PER_S
    energy_j = np.diff(np.interp(inside, times, sums_j))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(read_s > 0, energy_j / read_s, np.nan)
