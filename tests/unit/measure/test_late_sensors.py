"""Sensors that open or answer late, and runs that end meanwhile: nothing is missing without a word."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

import tonne
from tonne.measure import facts as facts_module
from tonne.measure.facts import node_facts
from tonne.measure.members import Member
from tonne.measure.spans import between
from tonne.measure.stretches import NodeReadings

sys.path.insert(0, str(Path(__file__).parent))
from metered import WATTS, Constant, counted_s, joules, lines_of, opening, read_s, wait_for, wait_for_readings

LATE_S = 0.04


class Late(Constant):
    """A counter whose first answer comes late."""

    def read(self):
        if not self.reads:
            time.sleep(LATE_S)
        return super().read()


class Hanging(Constant):
    """A counter that answers when it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def read(self):
        self.let_go.wait(60)
        return super().read()


def test_time_before_the_first_reading_is_in_the_total_and_not_in_what_was_measured(tmp_path):
    started, sensor = threading.Event(), Constant()

    def opened():
        started.wait(60)
        time.sleep(LATE_S)
        return [sensor], []

    with tonne.track("late", folder=tmp_path, open_sensors=opened) as meter:
        started.set()
        wait_for_readings(sensor)
    account, times_s = meter.account(), read_s(tmp_path)
    energy = account.energy.cpu_kwh
    assert times_s[0] - meter.collector.begun_ns / 1e9 >= LATE_S
    assert joules(energy) == pytest.approx(WATTS * account.duration_s.value, rel=2e-3)
    assert joules(account.energy.measured_kwh) == pytest.approx(WATTS * counted_s(tmp_path), rel=2e-3)
    assert energy.low < energy.value < energy.high


def test_a_sensor_that_is_first_read_late_counts_from_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.measure.collector.PATIENCE_S", 60.0)  # the thread may stand still for longer
    slow = Late("accelerator:0", 300.0)
    meter = tonne.track("late", folder=tmp_path, interval_s=0.05, open_sensors=opening(Constant(), slow)).start()
    wait_for_readings(slow)
    at_ns = time.monotonic_ns()
    quick, late = meter.collector.sums(at_ns)
    until_ns = time.monotonic_ns()
    least_s, most_s = ((ns - meter.collector.begun_ns) / 1e9 for ns in (at_ns, until_ns))
    meter.stop()
    for (energy_j, *_), watts in ((quick, WATTS), (late, 300.0)):
        assert watts * least_s * 0.999 <= energy_j <= watts * most_s * 1.001


def test_a_window_that_began_before_a_sensor_spoke_has_its_part_of_what_was_filled_in():
    """2 s of 8 s: the sensor spoke at last, and 800 J are of all the time; the other one's sums are subtracted."""
    silent, spoke = [0.0, 0.0, 0.0, 0.0, 6.0], [50.0, 50.0, 50.0, 6.0, 0.0]
    later = [[800.0, 700.0, 900.0, 2.0, 6.0], [90.0, 90.0, 90.0, 8.0, 0.0]]
    assert between([silent, spoke], later, 0.25) == [[200.0, 175.0, 225.0, 0.5, 1.5], [40.0, 40.0, 40.0, 2.0, 0.0]]


def test_a_window_in_which_a_sensor_never_spoke_is_left_to_the_readings_that_come_later():
    silent, spoke = [0.0, 0.0, 0.0, 0.0, 8.0], [50.0, 50.0, 50.0, 6.0, 0.0]
    assert between([silent, spoke], [silent, spoke], 0.25) is None
    idle = [0.0, 0.0, 0.0, 8.0, 0.0]  # it spoke, of no power
    assert between([idle], [idle], 0.25) == [[0.0] * 5]


def test_a_run_that_ends_while_its_sensors_open_says_what_the_machine_is(tmp_path):
    let_go = threading.Event()

    def opened():
        let_go.wait(60)
        return [Constant()], []

    with tonne.track("short", folder=tmp_path, open_sensors=opened) as meter:
        time.sleep(0.05)
    kinds = [line.get("kind") for line in lines_of(tmp_path)]
    let_go.set()
    assert kinds.count("facts") == 1
    assert kinds[-1] == "leave"
    assert any("was over before its sensors were open" in note for note in meter.account().notes)


def test_a_run_that_ends_while_a_sensor_hangs_says_what_the_machine_is(tmp_path):
    sensor = Hanging()
    with tonne.track("hangs", folder=tmp_path, open_sensors=opening(sensor)):
        time.sleep(0.05)
    kinds = [line.get("kind") for line in lines_of(tmp_path)]
    sensor.let_go.set()
    assert kinds.count("facts") == 1
    assert kinds[-1] == "leave"


def test_the_last_reading_comes_after_looking_at_the_machine(tmp_path, monkeypatch):
    """Else the time that looking takes would be filled from what two readings told, however near to each other."""
    looked_ns = []

    def slow_facts(roots):
        time.sleep(LATE_S)
        looked_ns.append(time.monotonic_ns())
        return node_facts(roots)

    meter = tonne.track("slow-facts", folder=tmp_path, open_sensors=opening()).start()
    wait_for(lambda: "facts" in {line.get("kind") for line in lines_of(tmp_path)})
    monkeypatch.setattr(facts_module, "node_facts", slow_facts)
    meter.collector._knows_facts = False  # as where the thread did not come to it
    meter.stop()
    assert read_s(tmp_path)[-1] >= looked_ns[0] / 1e9 - 1e-6


def test_a_machine_that_nobody_looked_at_has_the_processors_that_its_processes_saw():
    """Killed before its first reading: 64 threads are not one."""
    header = {"interval_s": 1.0, "cpus": 64, "unix_s": 0.0, "t": 0, "node": "n"}
    assert NodeReadings.of([Member(header, "")]).facts.threads == 64


def test_who_ended_before_its_thread_began_leaves_the_sensors_to_others(tmp_path):
    """The thread comes late, as on a busy machine: it must not keep the node's lock."""
    meter = tonne.track("late-thread", folder=tmp_path, open_sensors=opening()).start()
    collector = meter.collector
    meter.stop()
    collector._thread.join(30)
    collector.is_reader = False
    collector._take_over()
    assert not collector.is_reader
    assert collector._node_lock._descriptor < 0
