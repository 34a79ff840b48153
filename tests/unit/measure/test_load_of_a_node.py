"""How busy a node was: what its models go by where nothing reads its power."""

from __future__ import annotations

import sys
import time
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

import tonne
from tonne.measure import collector, processes, replay
from tonne.measure.collector import Collector
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Missing
from tonne.measure.stretches import NodeReadings

sys.path.insert(0, str(Path(__file__).parent))
from metered import Constant, begun_s, ended_s, lines_of, opening, wait_for

S = 1_000_000_000


def readings(rows: list[tuple[float, float, float]], skipped=()) -> NodeReadings:
    """A node of which only the processors' time was read: when [s], busy [s], and with the idle time [s]."""
    columns = (array("q", [int(t * S) for t, _, _ in rows]), *(array("d", [row[i] for row in rows]) for i in (1, 2)))
    return NodeReadings([], None, (), 3.0, columns, [*skipped], {})


def load_of(one: NodeReadings, *stretches: tuple[float, float]) -> list[tuple[float, float]]:
    return one.load([(int(a * S), int(b * S)) for a, b in stretches]).shares()


def test_time_in_which_the_kernel_counted_nothing_belongs_to_what_it_counted_next():
    # two processors; a hypervisor ran neither from 11 to 12 s, of which the kernel knew a second later
    rows = [(10, 0.0, 0.0), (11, 1.0, 2.0), (12, 1.0, 2.0), (13, 2.0, 4.0), (14, 3.0, 6.0)]
    assert load_of(readings(rows), (10, 14)) == [(pytest.approx(4.0), pytest.approx(0.5))]


def test_idle_time_that_the_kernel_takes_back_is_not_a_share_of_its_own():
    rows = [(10, 0.0, 0.0), (11, 1.0, 2.0), (12, 1.0, 1.99), (13, 2.0, 6.0)]
    # from 11 to 13 s a second of four
    assert load_of(readings(rows), (10, 13)) == [
        (pytest.approx(2.0), pytest.approx(0.25)),
        (pytest.approx(1.0), pytest.approx(0.5)),
    ]


def test_counts_that_begin_anew_are_counted_from_there():
    rows = [(10, 100.0, 200.0), (11, 101.0, 202.0), (12, 0.5, 1.0), (13, 1.5, 3.0)]
    assert load_of(readings(rows), (10, 13)) == [(pytest.approx(2.0), pytest.approx(0.5))]


def test_a_pause_of_a_run_is_not_part_of_its_load():
    # busy for 10 s, an hour in which nothing ran, busy again for 10 s
    rows = [(0, 0.0, 0.0), (10, 20.0, 20.0), (3610, 20.0, 7220.0), (3620, 40.0, 7240.0)]
    assert load_of(readings(rows), (0, 10), (3610, 3620)) == [(pytest.approx(20.0), pytest.approx(1.0))]


def test_of_time_around_a_stretch_its_own_part_counts():
    rows = [(0, 0.0, 0.0), (10, 10.0, 20.0)]
    assert load_of(readings(rows), (4, 7)) == [(pytest.approx(3.0), pytest.approx(0.5))]


def test_what_a_milestone_holds_is_not_added_again():
    """The line comes some time after the tick whose count is the last one in it: as long as sensors take."""
    rows = [(0, 0.0, 0.0), (10, 5.0, 10.0), (610, 605.0, 610.0), (1210, 1205.0, 1210.0), (1220, 1210.0, 1220.0)]
    skipped = [(int(10.03 * S), int(1210.03 * S), Load.steady(1200.0, 1.0))]
    assert load_of(readings(rows, skipped), (0, 1220)) == [
        (pytest.approx(20.0), pytest.approx(0.5)),
        (pytest.approx(1200.0), pytest.approx(1.0)),
    ]


@pytest.fixture
def kernel(monkeypatch):
    """A kernel of 4,000 processors of which a quarter is busy, that counts only every 30 ms."""

    def counted() -> tuple[float, float]:
        now = round(time.monotonic() // 0.03 * 0.03, 2)
        return 1000.0 * now, 4000.0 * now

    monkeypatch.setattr(processes, "node_cpu_s", counted)


@pytest.mark.usefixtures("read_at_once", "kernel")
@pytest.mark.parametrize("sensors", [(), (Constant(),)], ids=["without a sensor", "with one"])
def test_all_of_a_run_has_a_load_also_where_milestones_are_read(tmp_path, monkeypatch, sensors):
    monkeypatch.setattr(collector, "EVERY_TICKS", 10)
    monkeypatch.setattr(Collector, "_is_due", lambda self, what, every_s, share: True)  # a count a tick
    opened = opening(*sensors) if sensors else lambda: ([], [Missing("cpu", "none")])
    with tonne.track("m", interval_s=0.01, folder=tmp_path, open_sensors=opened):
        wait_for(lambda: (tmp_path / "journal.jsonl").read_text().count("milestone") > 4)
    [quick] = replay.measured(str(tmp_path)).nodes
    monkeypatch.setattr(replay, "_needed_lines", replay._all_lines)
    [slow] = replay.measured(str(tmp_path)).nodes

    lines = lines_of(tmp_path)
    last_milestone = max(place for place, line in enumerate(lines) if line.get("kind") == "milestone")
    rows = [(place, line["t"] / S, line["c"][1]) for place, line in enumerate(lines) if line.get("c")]
    grown = [(later[0], later[1]) for row, later in pairwise(rows) if later[2] > row[2]]
    covered_s = min(grown[-1][1], ended_s(tmp_path)) - max(rows[0][1], begun_s(tmp_path))
    # what was not counted yet at the last milestone, but soon after it, is of a tick that is not read
    open_s = max(at for place, at, _ in rows if place < last_milestone)
    open_s -= max(at for place, at in grown if place < last_milestone)
    lost_s = open_s if grown[-1][0] > last_milestone else 0.0

    assert len(quick.sensors) == len(sensors)
    assert [share for _, share in quick.load.shares()] == [pytest.approx(0.25, abs=1e-5)]
    assert slow.load.shares() == [(pytest.approx(covered_s, abs=1e-6), pytest.approx(0.25, abs=1e-5))]
    assert quick.load.time_s == pytest.approx(covered_s - lost_s, abs=1e-6)


def counted_s() -> float:
    """CPU time of everybody on this machine but of guests and of idling [s], as proc(5) has it."""
    user, nice, system, _, _, interrupt, soft_interrupt = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + interrupt + soft_interrupt) / 100


@pytest.mark.skipif("not __import__('os').path.exists('/proc/stat')", reason="the kernel does not tell")
@pytest.mark.usefixtures("read_at_once")
def test_a_node_without_a_sensor_has_a_load(tmp_path):
    lacking = [Missing("cpu", "no counter"), Missing("memory", "no counter")]
    around_s = counted_s()
    with tonne.track("bare", interval_s=0.05, folder=tmp_path, open_sensors=lambda: ([], lacking)) as meter:
        within_s = counted_s()
        while counted_s() - within_s < 0.5:
            pass
    around_s = counted_s() - around_s
    [node] = replay.measured(meter.folder).nodes
    assert node.sensors == ()
    assert 0.0 < node.load.time_s <= node.lasted_s * (1 + 1e-6)
    assert 0.0 < sum(time_s * share for time_s, share in node.load.shares()) <= node.load.time_s
    assert 0.25 <= node.busy_cpu_s <= around_s + 0.02
    assert not any("CPU time of the other processes" in note for note in meter.account("job").notes)
