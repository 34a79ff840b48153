"""Counters of powercap, on synthetic trees whose energy is known exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tonne.measure import integration
from tonne.measure.choice import parts_of
from tonne.measure.integration import Integral
from tonne.measure.sensors.powercap import LIMITED_TO_ROOT, open_powercap
from tonne.measure.sensors.protocol import reading_interval_s


def opened(tree, bare):
    return open_powercap(replace(bare, powercap=tree.root), tree.clock)


def measured(tree, bare, until_s, interval_s, *, at=None):
    """Sensors and integrals after reading all of a tree once an interval; `at` maps times to what happens there."""
    sensors, _ = opened(tree, bare)
    integrals = [Integral(sensor, gap_s=2.5 * interval_s) for sensor in sensors]
    steps = round(until_s / interval_s)
    for step in range(steps + 1):
        tree.move_to(step * interval_s)
        if at and step * interval_s in at:
            at[step * interval_s]()
        for sensor, integral in zip(sensors, integrals, strict=True):
            integral.add(sensor.read())
    return {sensor.name: integral.total() for sensor, integral in zip(sensors, integrals, strict=True)}


@pytest.mark.parametrize("interval_s", [1.0, 10.0])
@pytest.mark.parametrize(
    ("trace", "joules"),
    [
        (("constant", 100.0), 3000.0),
        (("ramp", 200.0 / 30), 3000.0),  # 0 to 200 W in 30 s
        (("square", 200.0, 0.0, 2.0), 3000.0),
        (("square", 200.0, 0.0, 7.0), 3100.0),  # four periods of 700 J, and 2 s of the fifth: 400 J; ends at 30 s
    ],
)
def test_energy_of_a_counter_is_exact_whatever_the_power_does(powercap, tree, bare, interval_s, trace, joules):
    if trace == ("square", 200.0, 0.0, 7.0):
        joules = 4 * 700.0 + 2 * 200.0
    tree.add("intel-rapl:0", "package-0", powercap.TRACES[trace[0]](*trace[1:]), start_uj=77_000_000)
    total = measured(tree, bare, 30.0, interval_s)["rapl:package-0"]
    assert total.energy_j == pytest.approx(joules, rel=1e-8)
    assert total.gap_s == 0.0


def test_core_inside_a_package_is_not_counted_again(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl:0:0", "core", powercap.constant(60))
    tree.add("intel-rapl:0:1", "uncore", powercap.constant(5))
    tree.add("intel-rapl:0:2", "dram", powercap.constant(20))
    totals = measured(tree, bare, 10.0, 1.0)
    assert {name: total.energy_j for name, total in totals.items()} == {"rapl:package-0": 1000.0, "rapl:dram-0": 200.0}


def test_two_packages_and_their_memories_are_four_counters(powercap, tree, bare):
    for socket in (0, 1):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", powercap.constant(100 + socket))
        tree.add(f"intel-rapl:{socket}:0", "dram", powercap.constant(10 + socket))
    sensors, missing = opened(tree, bare)
    assert [s.name for s in sensors] == ["rapl:package-0", "rapl:dram-0", "rapl:package-1", "rapl:dram-1"]
    assert [s.part for s in sensors] == ["cpu", "memory", "cpu", "memory"]
    assert missing == []


def test_platform_stands_beside_the_packages_and_covers_them(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl:1", "psys", powercap.constant(150))
    sensors, _ = opened(tree, bare)
    assert {s.name: s.covers for s in sensors} == {
        "rapl:package-0": ("cpu",),
        "rapl:psys": ("host", "cpu", "memory"),
    }


def test_memory_mapped_copy_is_not_counted_again(powercap, tree, bare):
    tree.add("intel-rapl-mmio:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    sensors, _ = opened(tree, bare)
    assert [s.name for s in sensors] == ["rapl:package-0"]


def test_dies_add_up_unless_they_show_the_same_counter(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0-die-0", powercap.constant(100), start_uj=1_000_000)
    tree.add("intel-rapl:1", "package-0-die-1", powercap.constant(100), start_uj=1_000_000)
    assert [s.name for s in opened(tree, bare)[0]] == ["rapl:package-0-die-0"]
    tree.add("intel-rapl:1", "package-0-die-1", powercap.constant(100), start_uj=5_000_000)
    assert len(opened(tree, bare)[0]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("wrap_s", [10.0, 2.5, 0.5])
def test_wraps_are_counted_at_any_rate_when_read_as_often_as_asked(powercap, tree, bare, wrap_s):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100), wrap_uj=round(wrap_s * 100e6))
    interval_s = reading_interval_s(opened(tree, bare)[0], 1.0)
    assert interval_s == min(wrap_s * 100 / (2 * 1000), 1.0)  # half a wrap at 1000 W, which no package exceeds
    total = measured(tree, bare, 30.0, interval_s)["rapl:package-0"]
    assert total.energy_j == pytest.approx(3000.0, rel=1e-6)
    assert total.gap_s == 0.0


def test_wraps_between_two_readings_are_flagged(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100), wrap_uj=50_000_000)
    total = measured(tree, bare, 30.0, 1.0)["rapl:package-0"]
    assert total.gaps == {integration.WRAPS: 30.0}
    assert (total.energy_j, total.measured_j) == (None, 0.0)  # 0, 50, 100 ... 1000 J a second: nobody knows


def test_wraps_between_two_readings_are_guessed_by_the_power_before(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(99), wrap_uj=50_000_000)
    sensors, _ = opened(tree, bare)
    integral = Integral(sensors[0], gap_s=2.5)
    for time_s in [*(step / 40 for step in range(400)), *(10.0 + second for second in range(31))]:
        tree.move_to(time_s)  # ten seconds as often as asked, then thirty once a second
        integral.add(sensors[0].read())
    total = integral.total()
    assert total.energy_j == pytest.approx(40 * 99.0, rel=1e-6)
    assert total.low_j < 40 * 99.0 < total.high_j
    assert total.gaps == {integration.WRAPS: pytest.approx(30.0)}


def test_sensor_that_says_nan_for_six_seconds_loses_nothing(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.square(200, 0, 7))
    at = {7.0: lambda: tree.show("intel-rapl:0", "nan"), 13.0: lambda: tree.show("intel-rapl:0", None)}
    total = measured(tree, bare, 28.0, 1.0, at=at)["rapl:package-0"]
    assert total.energy_j == pytest.approx(2800.0, rel=1e-8)
    assert total.faults == {integration.NOT_A_NUMBER: 6}


@pytest.mark.parametrize("text", ["-5", "", "garbage"])
def test_nonsense_is_a_fault(powercap, tree, bare, text):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    at = {4.0: lambda: tree.show("intel-rapl:0", text), 5.0: lambda: tree.show("intel-rapl:0", None)}
    total = measured(tree, bare, 10.0, 1.0, at=at)["rapl:package-0"]
    assert total.energy_j == pytest.approx(1000.0)
    assert sum(total.faults.values()) == 1


def test_counter_that_vanishes_is_a_gap_to_the_end(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    sensors, _ = opened(tree, bare)
    integral = Integral(sensors[0], gap_s=2.5)
    for second in range(21):
        tree.move_to(float(second))
        if second == 10:
            tree.remove("intel-rapl:0")
        integral.add(sensors[0].read())
    total = integral.total(tree.clock())
    assert total.energy_j == pytest.approx(2000.0)
    assert total.measured_j == 900.0
    assert total.gaps == {integration.SILENT: 11.0}
    assert [reason.split(":")[0] for reason in total.faults] == ["FileNotFoundError"]


def test_counter_that_was_reset_is_flagged(powercap, tree, bare):
    zone = tree.add("intel-rapl:0", "package-0", powercap.constant(100), start_uj=5_000_000_000)

    def reset():
        zone.start_uj = -1000_000_000  # at 10 s it shows 0 again
        tree.move_to(10.0)

    total = measured(tree, bare, 20.0, 1.0, at={10.0: reset})["rapl:package-0"]
    assert total.energy_j == pytest.approx(2000.0)
    assert total.gaps == {integration.RESET: 1.0}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_counters_of_root_are_told_with_the_command_that_opens_them(powercap, tree, bare):
    zone = tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    (zone.folder / "energy_uj").chmod(0)
    assert_closed(*opened(tree, bare), tree)


def test_counters_that_refuse_are_told_with_the_command_that_opens_them(powercap, tree, bare, monkeypatch):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl:0:0", "dram", powercap.constant(10))

    def refuse(path, flags):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("tonne.measure.sensors.powercap.os.open", refuse)
    sensors, missing = opened(tree, bare)
    assert_closed(sensors, missing, tree)
    assert missing[0].part == "cpu, memory"


def assert_closed(sensors, missing, tree):
    assert sensors == []
    assert missing[0].reason == LIMITED_TO_ROOT
    assert missing[0].mend == f"sudo chmod a+r {tree.root}/intel-rapl*/energy_uj"


def test_no_tree_is_no_sensor(bare):
    assert open_powercap(bare, lambda: 0) == ([], [])


def test_package_and_platform_are_two_parts_of_one_host(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl:1", "package-1", powercap.constant(50))
    sensors, _ = opened(tree, bare)
    totals = measured(tree, bare, 10.0, 1.0)
    parts, notes = parts_of([(sensor, totals[sensor.name]) for sensor in sensors])
    assert parts["cpu"].energy_j.value == 1500.0
    assert (parts["cpu"].energy_j.basis, notes) == ("measured", ())


def test_tree_that_follows_the_real_clock(tmp_path):
    """The script that programs are measured against from outside: what it shows is the energy of its trace."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"intel-rapl:0": {"name": "package-0", "trace": ["constant", 1000]}}))
    words = [sys.executable, str(Path(__file__).with_name("powercap.py")), str(tmp_path / "live"), str(spec)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as following:
        root = Path(following.stdout.readline().strip())
        epoch_ns = int((tmp_path / "live" / "epoch_ns").read_text())
        time.sleep(0.05)
        before_s = (time.monotonic_ns() - epoch_ns) / 1e9
        shown_s = int((root / "intel-rapl:0" / "energy_uj").read_text()) / 1e9  # 1000 W: a microjoule a nanosecond
        after_s = (time.monotonic_ns() - epoch_ns) / 1e9
        following.stdin.close()
    assert 0 <= shown_s <= after_s
    assert before_s > 0


def test_package_that_gives_no_number_takes_the_other_with_it(powercap, tree, bare):
    """Half of the processors must not pass for all of them."""
    powercap.two_packages(tree).remove("intel-rapl:1")
    sensors, missing = opened(tree, bare)
    assert [s.name for s in sensors] == ["rapl:dram-0", "rapl:dram-1"]
    assert [m.part for m in missing] == ["cpu"]
    assert missing[0].reason.startswith("package-1 gives no number")


def test_memory_that_only_root_may_read_takes_that_of_the_other_socket_with_it(powercap, tree, bare, monkeypatch):
    powercap.two_packages(tree)
    real = os.open

    def refuse(path, flags):
        if "intel-rapl:1:0/energy_uj" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr("tonne.measure.sensors.powercap.os.open", refuse)
    sensors, missing = opened(tree, bare)
    assert [s.name for s in sensors] == ["rapl:package-0", "rapl:package-1"]
    assert [m.part for m in missing] == ["memory"]
    assert "readable by root alone" in missing[0].reason


def test_memory_mapped_copy_stands_in_for_a_counter_without_a_number(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    tree.add("intel-rapl-mmio:0", "package-0", powercap.constant(100))
    tree.remove("intel-rapl:0")
    sensors, missing = opened(tree, bare)
    assert ([s.name for s in sensors], missing) == (["rapl:package-0"], [])
    tree.move_to(2.0)
    assert sensors[0].read().value == pytest.approx(200.0)


def test_platform_that_two_sockets_show_is_counted_once(powercap, tree, bare):
    for number, name in enumerate(("psys", "psys-1")):
        tree.add(f"intel-rapl:{number}", name, powercap.constant(300), start_uj=10**6)
    assert [s.name for s in opened(tree, bare)[0]] == ["rapl:psys"]


def test_each_socket_with_a_platform_of_its_own_is_counted(powercap, tree, bare):
    tree.add("intel-rapl:0", "psys", powercap.constant(300), start_uj=10**6)
    tree.add("intel-rapl:1", "psys-1", powercap.constant(200), start_uj=3 * 10**6)
    assert [s.name for s in opened(tree, bare)[0]] == ["rapl:psys", "rapl:psys-1"]
