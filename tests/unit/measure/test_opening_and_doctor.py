"""All sensors of a machine at once, and `tonne doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
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


def test_sensors_of_a_server_and_what_it_lacks(powercap, tree, bare):
    sensors, missing = open_sensors(replace(bare, powercap=powercap.two_packages(tree).root), tree.clock)
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
    sensors, missing = open_sensors(replace(bare, powercap=powercap.two_packages(tree).root), tree.clock)
    assert len(sensors) == 4
    assert (missing[0].part, missing[0].reason) == ("accelerator:NVIDIA", "KeyError: 'of a driver'")


def test_energy_of_a_machine_whose_drivers_break_is_unknown_and_not_that_of_no_accelerator(bare, monkeypatch):
    def broken(roots, clock):
        raise AttributeError("an old binding")

    monkeypatch.setattr(opening, "_nvidia", broken)
    found = diagnosis(bare, sleep=lambda _: None)
    assert (found.use.accelerators_kwh, found.use.servers_kwh) == (None, None)
    assert "accelerator:NVIDIA" in found.incomplete


@pytest.mark.parametrize(
    ("vendor", "device", "make"),
    [("0x1ae0", "0x0063", "TPU"), ("0x1d0f", "0x7364", "Neuron"), ("0x1da3", "0x1020", "Gaudi"),
     ("0x1d0f", "0xec20", None), ("0x1ae0", "0x0042", None)],
)  # fmt: skip
def test_accelerator_that_nothing_here_reads_leaves_the_machine_unknown(bare, tmp_path, vendor, device, make):
    """A machine of TPUs is none without accelerators; network cards of the same makers are none of them."""
    place = tmp_path / "bus/pci/devices/0000:00:04.0"
    place.mkdir(parents=True)
    (place / "vendor").write_text(f"{vendor}\n")
    (place / "device").write_text(f"{device}\n")
    found = diagnosis(replace(bare, sys=tmp_path), sleep=lambda _: None)
    told = [(m.part, m.reason) for m in found.missing if m.part.startswith("accelerator")]
    assert told == ([("accelerator:0", f"nothing here reads the energy of {make}")] if make else [])
    assert (found.use.servers_kwh is None) is (make is not None)


def test_graphics_of_a_jetson_are_on_no_bus(bare, tmp_path):
    (tmp_path / "module/nvgpu").mkdir(parents=True)
    roots = replace(bare, sys=tmp_path)
    assert "nothing here reads the energy of Jetson" in {m.reason for m in open_sensors(roots)[1]}
    file = tmp_path / "meters.toml"
    file.write_text('[[meter]]\nname = "rail"\npart = "accelerator:0"\nunit = "mW"\nfile = "f"\n')
    assert [m.part for m in open_sensors(replace(roots, meters=file))[1]] == ["cpu", "memory", "node"]


def test_processor_of_another_make_is_not_told_to_load_a_module_that_it_cannot(bare, tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nFeatures : fp asimd\n")
    missing = open_sensors(replace(bare, proc=tmp_path / "proc"))[1]
    assert (missing[0].part, missing[0].reason, missing[0].mend) == ("cpu", f"{bare.powercap} holds no counter", "")


def test_counters_of_root_are_not_asked_for_where_own_meters_tell_of_both_parts(powercap, tree, bare, monkeypatch):
    absent = Missing("cpu, memory", "its counters are readable by root alone")
    monkeypatch.setattr(opening, "_powercap", lambda roots, clock: ([], [absent]))
    clips = [
        Readable(name=f"own:{part}", part=part, kind="power", unit="W", source=lambda: 9.0)
        for part in ("cpu", "memory")
    ]
    monkeypatch.setattr(opening, "_own", lambda roots, clock: (clips[:1], []))
    assert absent in open_sensors(bare)[1]
    monkeypatch.setattr(opening, "_own", lambda roots, clock: (clips, []))
    assert [m.part for m in open_sensors(bare)[1]] == ["node"]


def test_one_package_of_two_that_fails_leaves_the_processors_incomplete(powercap, tree, bare):
    tree.move_to(1.0)
    roots = replace(bare, powercap=powercap.two_packages(tree).root)

    def broken(roots, clock):
        opened = open_sensors(roots, clock)
        tree.show("intel-rapl:1", "nothing")
        return opened

    found = diagnosis(roots, opener=broken, clock=tree.clock, sleep=moving(tree))
    assert found.incomplete == ("cpu",)
    assert found.use.cpu_kwh.basis != "measured"


def test_own_meter_of_the_whole_leaves_nothing_missing(powercap, tree, bare, tmp_path):
    (tmp_path / "plug").write_text("412")
    file = tmp_path / "meters.toml"
    file.write_text(f'[[meter]]\nname = "plug"\npart = "node"\nunit = "W"\nfile = "{tmp_path}/plug"\n')
    roots = replace(bare, powercap=powercap.two_packages(tree).root, meters=file)
    sensors, missing = open_sensors(roots, tree.clock)
    assert sensors[0].name == "own:plug"
    assert missing == []


def test_meters_that_cannot_be_right_are_told_and_nothing_else_suffers(powercap, tree, bare, tmp_path):
    file = tmp_path / "meters.toml"
    file.write_text("[[meter]]\n")
    roots = replace(bare, powercap=powercap.two_packages(tree).root, meters=file)
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
    powercap.two_packages(tree)
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
    roots = replace(bare, powercap=powercap.two_packages(tree).root)
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
def live(tmp_path, monkeypatch):
    """Where a program lets counters of one package and its memory follow the real clock."""
    spec = tmp_path / "spec.json"
    zones = {"intel-rapl:0": {"name": "package-0", "trace": ["constant", 100]},
             "intel-rapl:0:0": {"name": "dram", "trace": ["constant", 20]}}  # fmt: skip
    spec.write_text(json.dumps(zones))
    words = [sys.executable, str(Path(__file__).with_name("powercap.py")), str(tmp_path / "live"), str(spec)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as following:
        root = Path(following.stdout.readline().strip())
        zones = [root / zone / "energy_uj" for zone in zones]

        def sleep(time_s):
            """Until every counter has moved: on a busy machine, who lets them follow the clock comes late."""
            before, until = [zone.read_text() for zone in zones], time.monotonic() + 60
            time.sleep(time_s)
            while any(zone.read_text() == text for zone, text in zip(zones, before, strict=True)):
                assert time.monotonic() < until
                time.sleep(0.01)

        monkeypatch.setattr("tonne.cli.doctor.diagnosis", partial(diagnosis, sleep=sleep))
        yield root
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


@pytest.mark.parametrize("moved_kwh", [0.0, 0.001])
def test_plug_that_counts_in_steps_works_though_it_says_no_power_yet(bare, tmp_path, moved_kwh):
    """A step of 0.001 kWh in half a second would be 7200 W."""
    plug, file = tmp_path / "plug", tmp_path / "meters.toml"
    plug.write_text("12.345 kWh")
    file.write_text(f'[[meter]]\nname = "plug"\npart = "node"\nunit = "kWh"\nfile = "{plug}"\n')
    now = [0.0]

    def sleep(time_s):
        now[0] += time_s
        plug.write_text(f"{12.345 + moved_kwh:.3f} kWh")

    found = diagnosis(replace(bare, meters=file), clock=lambda: round(now[0] * 1e9), sleep=sleep)
    (tried,) = found.sensors
    assert (tried.fault, tried.power_w, found.incomplete) == (None, None, ())
    assert "own:plug moved less than two of its steps" in found.notes


def test_counter_that_does_not_move_is_no_sensor(bare, powercap, tree):
    found = diagnosis(
        replace(bare, powercap=powercap.two_packages(tree).root), clock=tree.clock, sleep=lambda _: tree.move_to(0.0)
    )
    assert {tried.fault for tried in found.sensors} == {"the counter does not move"}
    assert found.incomplete == ("cpu", "memory")
