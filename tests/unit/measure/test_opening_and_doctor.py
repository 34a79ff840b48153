"""All sensors of a machine at once, and `tonne doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.measure import environment
from tonne.measure.doctor import diagnosis
from tonne.measure.sensors import opening
from tonne.measure.sensors.opening import open_sensors
from tonne.measure.sensors.protocol import Missing, Readable, Reading, ReadingError, once

HEAVY = ("numpy", "pydantic", "typer", "rich", "torch", "altair", "pynvml", "amdsmi", "tomllib", "subprocess")


@pytest.fixture(autouse=True)
def _no_driver_of_this_machine(monkeypatch):
    """These tests hold on machines with accelerators too."""
    monkeypatch.setattr("tonne.measure.sensors.nvidia._has_library", lambda: False)


def two_packages(powercap, tree):
    for socket in (0, 1):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", powercap.constant(100))
        tree.add(f"intel-rapl:{socket}:0", "dram", powercap.constant(20))
    return tree


def test_sensors_of_a_server_and_what_it_lacks(powercap, tree, bare):
    sensors, missing = open_sensors(replace(bare, powercap=two_packages(powercap, tree).root), tree.clock)
    assert [s.name for s in sensors] == ["rapl:package-0", "rapl:dram-0", "rapl:package-1", "rapl:dram-1"]
    assert [m.part for m in missing] == ["node"]
    assert "TONNE_METERS" in missing[0].mend


def cpuinfo(tmp_path, flags):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    return tmp_path / "proc"


def test_why_there_is_no_counter_and_what_mends_it(bare, tmp_path):
    missing = open_sensors(replace(bare, proc=cpuinfo(tmp_path, "fpu")))[1]
    assert missing[0].part == "cpu"
    assert missing[0].reason == f"{bare.powercap} holds no counter"
    assert missing[0].mend == "sudo modprobe intel_rapl_msr"
    (tmp_path / "proc/cpuinfo").write_text("flags : fpu hypervisor\n")
    missing = open_sensors(replace(bare, proc=tmp_path / "proc"))[1]
    assert (missing[0].reason, missing[0].mend) == ("a virtual machine does not see its host's counters", "")


def test_processor_without_a_counter_of_its_memory_is_told_as_that(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    missing = open_sensors(replace(bare, powercap=tree.root), tree.clock)[1]
    assert missing[0] == Missing("memory", "this processor has no counter of its memory")


def test_driver_that_breaks_is_a_missing_sensor_and_the_others_are_there(powercap, tree, bare, monkeypatch):
    def broken(roots, clock):
        raise KeyError("of a driver")

    monkeypatch.setattr(opening, "_nvidia", broken)
    sensors, missing = open_sensors(replace(bare, powercap=two_packages(powercap, tree).root), tree.clock)
    assert len(sensors) == 4
    assert (missing[0].part, missing[0].reason) == ("NVIDIA accelerators", "KeyError: 'of a driver'")


def test_own_meter_of_the_whole_leaves_nothing_missing(powercap, tree, bare, tmp_path):
    (tmp_path / "plug").write_text("412")
    file = tmp_path / "meters.toml"
    file.write_text(f'[[meter]]\nname = "plug"\npart = "node"\nunit = "W"\nfile = "{tmp_path}/plug"\n')
    roots = replace(bare, powercap=two_packages(powercap, tree).root, meters=file)
    sensors, missing = open_sensors(roots, tree.clock)
    assert sensors[0].name == "own:plug"
    assert missing == []


def test_meters_that_cannot_be_right_are_told_and_nothing_else_suffers(powercap, tree, bare, tmp_path):
    file = tmp_path / "meters.toml"
    file.write_text("[[meter]]\n")
    roots = replace(bare, powercap=two_packages(powercap, tree).root, meters=file)
    sensors, missing = open_sensors(roots, tree.clock)
    assert len(sensors) == 4
    assert missing[0].part == "own meters"
    assert "lacks 'name'" in missing[0].reason


def test_environment_says_where_to_look(tmp_path):
    roots = environment.roots_from_environment({"TONNE_POWERCAP_ROOT": str(tmp_path), "TONNE_METERS": "m.toml"})
    assert (roots.powercap, str(roots.meters), str(roots.proc)) == (tmp_path, "m.toml", "/proc")


def test_whatever_a_driver_does_is_a_fault_of_the_reading():
    def broken():
        raise ReadingError("no number today")

    sensor = Readable(name="a:0", part="cpu", kind="power", unit="W", source=broken, clock=lambda: 5)
    assert sensor.read() == Reading(5, None, "ReadingError: no number today")
    sensor.close()


def test_reading_is_timed_half_way():
    times = iter([10, 20])
    sensor = Readable(name="a:0", part="cpu", kind="power", unit="W", source=lambda: 1.0, clock=lambda: next(times))
    assert sensor.read() == Reading(15, 1.0)


def test_once_runs_once():
    runs = []
    run = once(lambda: runs.append(1))
    run()
    run()
    assert runs == [1]


def test_sensors_load_nothing_that_costs(powercap, tree, bare):
    two_packages(powercap, tree)
    code = f"""
import sys
from pathlib import Path
from tonne.measure.environment import Roots
from tonne.measure.sensors import open_sensors
from tonne.measure.integration import Integral
nowhere = Path("/nowhere")
roots = Roots(powercap=Path({str(tree.root)!r}), hwmon=nowhere, proc=nowhere, sys=nowhere)
sensors, missing = open_sensors(roots)
integrals = [Integral(sensor, gap_s=2.5) for sensor in sensors]
for turn in range(3):
    for sensor, integral in zip(sensors, integrals): integral.add(sensor.read())
assert len(sensors) == 4 and not any(i.total().faults for i in integrals)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def moving(tree):
    """Lets the tree's time pass in place of waiting."""

    def sleep(time_s):
        tree.move_to(tree.time_s + time_s)

    return sleep


def test_diagnosis_tells_power_by_part(powercap, tree, bare):
    tree.move_to(1.0)
    roots = replace(bare, powercap=two_packages(powercap, tree).root)
    found = diagnosis(roots, clock=tree.clock, sleep=moving(tree))
    assert [tried.power_w for tried in found.sensors] == pytest.approx([100.0, 20.0, 100.0, 20.0])
    assert found.power_w("cpu_kwh")[0] == pytest.approx(200.0)
    assert found.power_w("memory_kwh")[0] == pytest.approx(40.0)
    assert found.power_w("host_rest_kwh")[0] == pytest.approx(60 + 0.2 * 240)
    assert found.use.coverage == pytest.approx(240 / 348)
    assert found.incomplete == ()


def test_part_whose_only_sensor_fails_is_incomplete(powercap, tree, bare):
    tree.add("intel-rapl:0", "package-0", powercap.constant(100))
    roots = replace(bare, powercap=tree.root)

    def broken(roots, clock):
        sensors, missing = open_sensors(roots, clock)
        tree.show("intel-rapl:0", "nan-sense")
        return sensors, missing

    found = diagnosis(roots, opener=broken, clock=tree.clock, sleep=moving(tree))
    assert found.incomplete == ("cpu", "memory")
    assert found.sensors[0].fault.startswith("ValueError")
    assert found.use.cpu_kwh.basis != "measured"


def doctor(monkeypatch, roots, *options):
    for field, variable in environment.VARIABLE_OF.items():
        value = getattr(roots, field)
        monkeypatch.setenv(variable, "" if value is None else str(value))
    monkeypatch.setattr("tonne.measure.doctor.LOOK_S", 0.05)
    return CliRunner().invoke(app, ["doctor", *options])


def test_doctor_prints_what_is_missing_and_the_command_that_mends_it(bare, monkeypatch, tmp_path):
    done = doctor(monkeypatch, replace(bare, proc=cpuinfo(tmp_path, "fpu")))
    assert done.exit_code == 0
    assert "Sensors\n  none\n" in done.stdout
    assert "mend: sudo modprobe intel_rapl_msr" in done.stdout
    assert "0% of the whole machine" in done.stdout


@pytest.fixture
def live(tmp_path):
    """Where a program lets counters of one package and its memory follow the real clock."""
    spec = tmp_path / "spec.json"
    zones = {"intel-rapl:0": {"name": "package-0", "trace": ["constant", 100]},
             "intel-rapl:0:0": {"name": "dram", "trace": ["constant", 20]}}  # fmt: skip
    spec.write_text(json.dumps(zones))
    words = [sys.executable, str(Path(__file__).with_name("powercap.py")), str(tmp_path / "live"), str(spec)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as following:
        yield Path(following.stdout.readline().strip())
        following.stdin.close()


def test_strict_doctor_exits_4_where_a_part_has_no_sensor(bare, monkeypatch, live):
    assert doctor(monkeypatch, bare, "--strict").exit_code == 4
    assert doctor(monkeypatch, replace(bare, powercap=live), "--strict").exit_code == 0


def test_doctor_as_one_document(bare, monkeypatch, live):
    told = json.loads(doctor(monkeypatch, replace(bare, powercap=live), "--json").stdout)
    assert told["schema_version"] == "1"
    assert told["complete"] is True
    assert [sensor["name"] for sensor in told["sensors"]] == ["rapl:package-0", "rapl:dram-0"]
    assert told["missing"][0]["part"] == "node"
    assert set(told["power"]) == {"accelerators_w", "cpu_w", "memory_w", "host_rest_w", "servers_w"}


def test_counter_that_does_not_move_is_no_sensor(bare, powercap, tree):
    found = diagnosis(
        replace(bare, powercap=two_packages(powercap, tree).root), clock=tree.clock, sleep=lambda _: tree.move_to(0.0)
    )
    assert {tried.fault for tried in found.sensors} == {"the counter does not move"}
    assert found.incomplete == ("cpu", "memory")
