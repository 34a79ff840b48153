"""The readings of one node, from whichever processes took them, and their sums over the time that a run went on."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from math import isnan

from tonne.measure.facts import NodeFacts
from tonne.measure.integration import SILENT, Integral
from tonne.measure.journal import Line
from tonne.measure.members import Member, Section, Stretch, WindowUse
from tonne.measure.milestones import Skip
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Description, Missing, Reading
from tonne.measure.tally import UNSEEN_FACTOR, Total

NS_PER_S = 1e9
GAP_INTERVALS = 3.0  # power may be bridged over so many intervals
UNREAD = "no reading"
READING_NS = 1_000_000_000  # a run begins after its first reading and ends before its last, by less
READER_SHARE = 0.5  # a reading process whose windows took that share of the longest ones speaks for its node


@dataclass(slots=True)
class Series:
    """All readings of one sensor in the order of their times."""

    of: Description
    times_ns: array[int]
    values: array[float]
    skips: list[Skip] = field(default_factory=list)

    def total(self, stretch: Stretch, after_ns: int, gap_s: float) -> Total:
        """The sum over a stretch, from the readings in it and the one just before that no earlier stretch holds."""
        begin_ns, end_ns = stretch
        integral, unseen = Integral(self.of, gap_s, begin_ns), Total()
        from_ns = max(after_ns, begin_ns - READING_NS)
        for skip in self.skips:
            if skip.lies_in(max(begin_ns, from_ns), end_ns):
                self._add(integral, from_ns, skip.from_ns)
                integral, more = skip.over(integral, self.of)
                unseen, from_ns = unseen.plus(more), skip.to_ns
        self._add(integral, from_ns, end_ns)
        for reading in islice(self.readings(end_ns, end_ns + READING_NS), 1):  # by which a run is seen to end
            integral.end_at(end_ns, reading)
        return integral.total(end_ns).plus(unseen)

    def _add(self, integral: Integral, after_ns: int, to_ns: int) -> None:
        """Take in the readings after a time and up to another."""
        for reading in self.readings(after_ns, to_ns):
            integral.add(reading)

    def readings(self, after_ns: int, end_ns: int) -> Iterator[Reading]:
        """Readings after a time, and up to another."""
        for i in range(bisect_right(self.times_ns, after_ns), bisect_right(self.times_ns, end_ns)):
            value = self.values[i]
            yield Reading(self.times_ns[i], None, SILENT) if isnan(value) else Reading(self.times_ns[i], value)


@dataclass(slots=True)
class NodeReadings:
    """Everything that was read on one node."""

    series: list[Series]
    facts: NodeFacts
    missing: tuple[Missing, ...]
    gap_s: float
    node_cpu: tuple[array[int], array[float], array[float]]
    skipped: list[tuple[int, int, Load]]  # time between milestones, and how busy the node was in it
    baseline_w: Mapping[str, float]

    @classmethod
    def of(cls, members: list[Member]) -> NodeReadings:
        """The readings in some processes' files; two that read at the same time (in two containers) count once."""
        sections = sorted((s for m in members for s in m.sections), key=_first_ns)
        told = [m.facts for m in members if m.facts] + [s.line["facts"] for s in sections if s.line.get("facts")]
        columns = max((m.node_cpu for m in members), key=lambda columns: len(columns[0]))
        baselines = [line for m in members for line in m.baselines]
        return cls(
            series=_series(sections),
            facts=NodeFacts.from_dict(told[0]) if told else _facts_without_any(members),
            missing=_missing(sections),
            gap_s=GAP_INTERVALS * max(float(m.header["interval_s"]) for m in members),
            node_cpu=_joined([m.node_cpu for m in members]) if len(columns[0]) else columns,
            skipped=[(a["t"], b["t"], _load_between(a, b)) for s in sections for a, b in _milestones(s)],
            baseline_w=dict(baselines[-1]["watts"]) if baselines else {},
        )

    def busy_cpu_s(self, stretches: list[Stretch]) -> float | None:
        """CPU time of everybody on the node during some stretches [s]; None where nobody looked."""
        times, busy, _ = self.node_cpu
        if len(times) < 2:
            return None
        return sum(_at(times, busy, end) - _at(times, busy, begin) for begin, end in stretches)

    def load(self, stretches: list[Stretch]) -> Load | None:
        """How busy the node's processors were during some stretches; None where nobody looked."""
        times = self.node_cpu[0]
        held = {row for a, b, _ in self.skipped for row in range(bisect_right(times, a), bisect_right(times, b))}
        load, last = Load(), None
        for i, now in enumerate(zip(*self.node_cpu, strict=True)):
            if last is None or i in held:
                last = now
            else:
                last = load.count(last, now, _overlap_ns(stretches, (last[0], now[0])) / NS_PER_S)
        for _, _, more in self.skipped:
            load = load.plus(more)
        return load if load.time_s > 0 else None

    def of_window(self, members: list[Member], window: str) -> list[tuple[Description, Total]]:
        """Energy of the windows of one name. Ranks of a node pass through a window together: one speaks for all."""
        uses = [m.windows[window] for m in members if window in m.windows]
        if not uses:
            return []
        longest = max(uses, key=lambda use: use.lasted_s)
        readers = [use for use in uses if use.sums is not None and use.lasted_s >= READER_SHARE * longest.lasted_s]
        use = readers[0] if readers else longest
        return [(one.of, _with_sums(use, one.of.name).plus(self._loose(one, use))) for one in self.series]

    def _loose(self, series: Series, use: WindowUse) -> Total:
        """Energy of windows without sums of their own, at the mean power of the time around them."""
        if not use.loose:
            return Total()
        times, sums = _curve(series, self.gap_s)
        if len(times) < 2:
            return Total(energy_j=None, high_j=None, gap_s=sum(s for s, _, _ in use.loose))
        energy_j = 0.0
        for lasted_s, begin_ns, end_ns in use.loose:
            whole_s = max((end_ns - begin_ns) / NS_PER_S, 1e-9)
            mean_w = (_beyond(times, sums, end_ns) - _beyond(times, sums, begin_ns)) / whole_s
            energy_j += mean_w * lasted_s
        lasted_s = sum(s for s, _, _ in use.loose)
        return Total(energy_j=energy_j, low_j=energy_j, high_j=energy_j, measured_j=energy_j, measured_s=lasted_s)


def _facts_without_any(members: list[Member]) -> NodeFacts:
    """What is known of a machine that nobody looked at: how many processors the run's processes saw."""
    return NodeFacts(threads=max(int(m.header.get("cpus") or 1) for m in members))


def merged(stretches: Iterable[Iterable[Stretch]]) -> list[Stretch]:
    """Stretches of time of several processes as one list in which none overlap."""
    found: list[Stretch] = []
    for begin, end in sorted(stretch for some in stretches for stretch in some):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _overlap_ns(stretches: list[Stretch], of: Stretch) -> int:
    """How much of a time lies in some stretches."""
    return sum(max(0, min(end, of[1]) - max(begin, of[0])) for begin, end in stretches)


def sums_of(readings: NodeReadings, stretches: list[Stretch]) -> list[tuple[Description, Total]]:
    """Energy of each sensor over some stretches."""
    found: list[tuple[Description, Total]] = []
    for series in readings.series:
        totals, after_ns = [], -1
        for stretch in stretches:
            totals.append(series.total(stretch, after_ns, readings.gap_s))
            after_ns = stretch[1]
        found.append((series.of, _sum(totals, [(end - begin) / NS_PER_S for begin, end in stretches])))
    return found


def _sum(totals: list[Total], times_s: list[float]) -> Total:
    """Of several stretches; one that was over before it was read is a gap at the mean power of the others."""
    read = [(one.energy_j, time_s) for one, time_s in zip(totals, times_s, strict=True) if one.energy_j is not None]
    read_s = sum(time_s for _, time_s in read)
    whole = Total()
    for one, time_s in zip(totals, times_s, strict=True):
        if one.energy_j is None and read_s > 0:
            energy_j = sum(energy_j for energy_j, _ in read) / read_s * time_s
            ends = {"low_j": energy_j / UNSEEN_FACTOR, "high_j": energy_j * UNSEEN_FACTOR}
            whole = whole.plus(Total(energy_j=energy_j, **ends, gap_s=time_s, gaps={UNREAD: time_s}, faults=one.faults))
        else:
            whole = whole.plus(one)
    return whole


def _first_ns(section: Section) -> int:
    return min((times[0] for times in section.times_ns if times), default=section.line["t"])


def _last_ns(section: Section) -> int:
    return max((times[-1] for times in section.times_ns if times), default=section.line["t"])


def _series(sections: list[Section]) -> list[Series]:
    """One series a sensor; of what two sections read at the same time, the first's readings."""
    found: dict[str, Series] = {}
    for section in sections:
        for of, times, values in zip(section.sensors, section.times_ns, section.values, strict=True):
            series = found.setdefault(of.name, Series(of, array("q"), array("d")))
            begin = bisect_right(times, series.times_ns[-1]) if series.times_ns else 0
            series.times_ns.extend(times[begin:])
            series.values.extend(values[begin:])
        for a, b in _milestones(section):
            for i, of in enumerate(section.sensors):
                found[of.name].skips.append(Skip(a["t"], b["t"], a["sums"][i], b["sums"][i]))
    return list(found.values())


def _milestones(section: Section) -> list[tuple[Line, Line]]:
    """The first and the last milestone, where there are two."""
    return [(section.milestones[0], section.milestones[1])] if len(section.milestones) > 1 else []


def _load_between(first: Line, last: Line) -> Load:
    """How busy the node was between two milestones."""
    if first["load"] is None or last["load"] is None:
        return Load()
    return Load.from_dict(last["load"]).minus(Load.from_dict(first["load"]))


def overlap(members: list[Member]) -> bool:
    """Whether two processes of one node read its sensors at the same time, as in two containers."""
    spans = sorted((_first_ns(s), _last_ns(s)) for m in members for s in m.sections)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def _missing(sections: list[Section]) -> tuple[Missing, ...]:
    lines = [fields for section in sections for fields in section.line["missing"]]
    return tuple(dict.fromkeys(Missing(*fields) for fields in lines))


def _joined(
    columns: list[tuple[array[int], array[float], array[float]]],
) -> tuple[array[int], array[float], array[float]]:
    """Rows of several tables in the order of their times."""
    rows = sorted(row for one in columns for row in zip(*one, strict=True))
    return array("q", (t for t, _, _ in rows)), array("d", (b for _, b, _ in rows)), array("d", (w for _, _, w in rows))


def _at(times: array[int], values: array[float], time_ns: int) -> float:
    """A growing quantity at a time, between the readings around it; before the first and after the last, theirs."""
    i = bisect_left(times, time_ns)
    if i == 0 or i == len(times):
        return values[min(i, len(times) - 1)]
    share = (time_ns - times[i - 1]) / (times[i] - times[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])


def _beyond(times: array[int], values: array[float], time_ns: int) -> float:
    """As `_at`, but growing on at the mean rate before the first reading and after the last."""
    rate = (values[-1] - values[0]) / (times[-1] - times[0])
    outside = min(time_ns - times[0], 0) + max(time_ns - times[-1], 0)
    return _at(times, values, time_ns) + rate * outside


def _curve(series: Series, gap_s: float) -> tuple[array[int], array[float]]:
    """The sum of a sensor after each of its readings."""
    integral = Integral(series.of, gap_s)
    times, sums = array("q"), array("d")
    for reading in series.readings(-1, series.times_ns[-1] if series.times_ns else -1):
        integral.add(reading)
        energy_j = integral.total().energy_j
        if energy_j is not None and reading.fault is None:
            times.append(reading.time_ns)
            sums.append(energy_j)
    return times, sums


def energies_j(readings: NodeReadings, times_ns: Iterable[int]) -> list[float] | None:
    """What all sensors of a node added up to at some times [J]; None where not all readings are at hand."""
    curves = [_curve(series, readings.gap_s) for series in readings.series]
    if not curves or any(len(times) < 2 for times, _ in curves) or any(series.skips for series in readings.series):
        return None
    return [sum(_beyond(times, sums, at_ns) for times, sums in curves) for at_ns in times_ns]


def _with_sums(use: WindowUse, sensor: str) -> Total:
    if use.sums is None or sensor not in use.sensors:
        return Total()
    energy_j, low_j, high_j, measured_s, gap_s = use.sums[use.sensors.index(sensor)]
    low_j, high_j = min(low_j, energy_j), max(high_j, energy_j)
    return Total(energy_j=energy_j, low_j=low_j, high_j=high_j, measured_j=energy_j, measured_s=measured_s, gap_s=gap_s)
