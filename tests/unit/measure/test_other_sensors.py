"""AMD, hwmon, Apple silicon and the user's own meters, each before something that stands in for its driver."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tonne.errors import DescriptionError
from tonne.measure.sensors import commands
from tonne.measure.sensors.amd import open_amd
from tonne.measure.sensors.apple import open_apple
from tonne.measure.sensors.commands import Command, number_in
from tonne.measure.sensors.hwmon import open_hwmon
from tonne.measure.sensors.opening import open_sensors
from tonne.measure.sensors.own import own_meters
from tonne.measure.sensors.protocol import ReadingError

PATIENCE_S = 20.0


def clock():
    return 7


def board_of_amd(sys_root):
    device = sys_root / "bus/pci/devices/0000:03:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x1002\n")
    (device / "class").write_text("0x120000\n")


class Amd(ModuleType):
    """amdsmi as far as it is used, of devices given as dictionaries."""

    def __init__(self, devices):
        super().__init__("amdsmi")
        self.devices, self.shut = devices, 0

    def amdsmi_init(self):
        self.shut = 0

    def amdsmi_shut_down(self):
        self.shut += 1

    def amdsmi_get_processor_handles(self):
        return self.devices

    def amdsmi_get_gpu_asic_info(self, device):
        return {"market_name": device["name"]}

    def amdsmi_get_gpu_device_uuid(self, device):
        return device["uuid"]

    def amdsmi_get_gpu_device_bdf(self, device):
        return device["bdf"]

    def amdsmi_get_energy_count(self, device):
        return {"energy_accumulator": device["ticks"], "counter_resolution": 15.3, "timestamp": 0}

    def amdsmi_get_power_info(self, device):
        return {"current_socket_power": "N/A", "average_socket_power": device["watts"]}

    def amdsmi_get_power_cap_info(self, device):
        return {"max_power_cap": device["cap"]}


def opened_amd(bare, tmp_path, monkeypatch, devices):
    board_of_amd(tmp_path)
    module = Amd(devices)
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    return module, *open_amd(replace(bare, sys=tmp_path), clock)


def test_amd_energy_is_ticks_times_their_size(bare, tmp_path, monkeypatch):
    board = {"name": "AMD Instinct MI300X", "uuid": "u", "ticks": 2_000_000, "watts": 400, "cap": 750_000_000}
    module, sensors, missing = opened_amd(bare, tmp_path, monkeypatch, [board])
    (sensor,) = sensors
    assert missing == []
    assert sensor.read().value == pytest.approx(30.6)  # 2e6 x 15.3 uJ
    assert (sensor.kind, sensor.ceiling_w, sensor.device_id) == ("counter", 1500.0, "u")
    sensor.close()
    sensor.close()
    assert module.shut == 1


def test_amd_power_where_nothing_counts(bare, tmp_path, monkeypatch):
    board = {"name": "AMD Instinct MI100", "uuid": "u", "ticks": 0, "watts": 290, "cap": 290}
    _, (sensor,), _ = opened_amd(bare, tmp_path, monkeypatch, [board])
    assert (sensor.kind, sensor.unit, sensor.read().value, sensor.ceiling_w) == ("power", "W", 290.0, 580.0)


def test_second_die_of_a_package_is_covered_by_the_first(bare, tmp_path, monkeypatch):
    first = {"name": "AMD Instinct MI250X", "uuid": "u", "ticks": 10, "watts": 500, "cap": 560}
    second = {**first, "ticks": 0, "watts": "N/A"}
    _, sensors, missing = opened_amd(bare, tmp_path, monkeypatch, [first, second])
    assert [sensor.covers for sensor in sensors] == [("accelerator:0", "accelerator:1")]
    assert missing == []


def test_partitions_of_a_board_are_one_board(bare, tmp_path, monkeypatch):
    """Each of eight shows what the whole board counts."""
    whole = {"name": "AMD Instinct MI300X", "uuid": "u", "ticks": 10, "watts": 500, "cap": 750}
    parts = [{**whole, "bdf": f"0000:0{board}:00.{part}"} for board in (5, 6) for part in range(8)]
    parts[3] = {**parts[3], "ticks": 0, "watts": "N/A"}
    module, sensors, missing = opened_amd(bare, tmp_path, monkeypatch, parts)
    assert [sensor.part for sensor in sensors] == ["accelerator:0", "accelerator:8"]
    assert sensors[1].covers == tuple(f"accelerator:{i}" for i in range(8, 16))
    assert missing == []
    for sensor in sensors:
        sensor.close()
    assert module.shut == 1


def test_graphics_of_a_processor_are_not_added_to_it_by_amdsmi(bare, tmp_path, monkeypatch):
    graphics = {"name": "AMD Radeon 780M", "uuid": "u", "ticks": 0, "watts": 28, "cap": 0}
    card = {"name": "AMD Radeon RX 7900 XTX", "uuid": "v", "ticks": 0, "watts": 300, "cap": 339}
    _, sensors, missing = opened_amd(bare, tmp_path, monkeypatch, [card, graphics])
    assert ([sensor.part for sensor in sensors], missing) == (["accelerator:0"], [])


def test_amd_board_that_tells_nothing_is_missing(bare, tmp_path, monkeypatch):
    silent = {"name": "AMD Instinct MI300X", "uuid": "u", "ticks": 0, "watts": "N/A", "cap": 0}
    _, sensors, missing = opened_amd(bare, tmp_path, monkeypatch, [silent])
    assert sensors == []
    assert missing[0].reason == "the driver tells neither energy nor power"


def test_amdsmi_that_raises_on_import_is_a_missing_sensor(bare, tmp_path, monkeypatch):
    """Without its driver, importing the binding raises KeyError."""
    board_of_amd(tmp_path)
    (tmp_path / "amdsmi.py").write_text("raise KeyError('ROCM_HOME')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "amdsmi", raising=False)
    sensors, missing = open_amd(replace(bare, sys=tmp_path), clock)
    assert sensors == []
    assert missing[0].reason == "amdsmi does not start: KeyError: 'ROCM_HOME'"


def test_board_that_hwmon_tells_of_is_not_missing(bare, tmp_path, monkeypatch):
    board_of_amd(tmp_path)
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    monkeypatch.setattr("tonne.measure.sensors.nvidia._has_library", lambda: False)
    chip(tmp_path / "hwmon", 1, "amdgpu", power1_average=200_000_000, power1_cap=300_000_000)
    roots = replace(bare, sys=tmp_path)
    assert next(m.part for m in open_sensors(roots)[1]) == "accelerator:0"
    sensors, missing = open_sensors(replace(roots, hwmon=tmp_path / "hwmon"))
    assert [s.name for s in sensors] == ["hwmon:amdgpu-0"]
    assert "accelerator:0" not in {m.part for m in missing}


def test_no_board_of_amd_is_nothing_missing(bare):
    assert open_amd(bare, clock) == ([], [])


def chip(root, number, name, **files):
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    for file, text in files.items():
        (folder / file).write_text(f"{text}\n")


def test_meter_of_a_server_covers_the_node_with_the_accuracy_that_it_names(bare, tmp_path):
    files = {"power1_average": 412_000_000, "power1_average_interval": 1000, "power1_accuracy": "98.5%"}
    chip(tmp_path, 0, "power_meter", **files)
    ((sensor,), missing) = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert missing == []
    assert (sensor.name, sensor.part, sensor.covers) == ("hwmon:server-0", "node", ("node",))
    assert (sensor.read().value, sensor.window_s) == (412.0, 1.0)
    assert sensor.error_fraction == pytest.approx(0.015)


def acpi_meter(root, number, old, **files):
    """A meter as the kernel's driver shows it: up to Linux 6.13 all of it is in the folder of the device."""
    chip(root, number, "power_meter", **({} if old else files))
    if old:
        (root / f"hwmon{number}/name").unlink()
        device = root / f"hwmon{number}/device"
        device.mkdir()
        for file, text in {"name": "power_meter", **files}.items():
            (device / file).write_text(f"{text}\n")


@pytest.mark.parametrize("old", [True, False])
def test_grace_tells_of_processor_and_memory_and_not_of_its_rails(bare, tmp_path, old):
    """Labels, intervals and accuracy as NVIDIA's firmware gives them: it claims 100 %, which no meter has."""
    watts = {"Module": 600, "Grace": 90, "CPU": 60, "SysIO": 12}
    for number, (of, power_w) in enumerate(watts.items(), 1):
        files = {"power1_average": power_w * 10**6, "power1_average_interval": 50, "power1_accuracy": "100.0%"}
        acpi_meter(tmp_path, number, old, power1_oem_info=f"{of} Power Socket 0", **files)
    (sensor,), missing = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert missing == []
    assert (sensor.name, sensor.part, sensor.covers) == ("hwmon:grace-0", "cpu", ("cpu", "memory"))
    assert (sensor.read().value, sensor.window_s, sensor.error_fraction) == (90.0, 0.05, 0.1)


@pytest.mark.parametrize("old", [True, False])
def test_meter_of_a_server_is_found_where_either_kernel_shows_it(bare, tmp_path, old):
    files = {"power1_average": 412_000_000, "power1_accuracy": "98.5%", "power1_is_battery": 0}
    acpi_meter(tmp_path, 0, old, power1_oem_info="Intel Node Manager", **files)
    acpi_meter(tmp_path, 1, old, power1_average=9_000_000, power1_is_battery=1)
    (sensor,), missing = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert (sensor.name, sensor.read().value, missing) == ("hwmon:server-0", 412.0, [])
    assert sensor.error_fraction == pytest.approx(0.015)


def test_two_meters_of_the_whole_machine_are_none(bare, tmp_path):
    """Two supplies, or one machine twice? Their sum may be double, either of them half."""
    for number in (0, 1):
        acpi_meter(tmp_path, number, old=True, power1_average=400_000_000)
    sensors, missing = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert (sensors, [m.part for m in missing]) == ([], ["node"])
    assert missing[0].reason.startswith("2 meters of the whole machine")


@pytest.mark.parametrize("driver", ["xe", "i915"])
def test_package_of_an_intel_board_is_not_added_to_its_card(bare, tmp_path, driver):
    files = {"energy1_input": 5_000_000, "energy1_label": "card", "energy2_input": 4_000_000, "energy2_label": "pkg"}
    chip(tmp_path, 2, driver, **files)
    (sensor,), _ = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert (sensor.name, sensor.part, sensor.read().value) == (f"hwmon:{driver}-0", "accelerator:0", 5.0)


def test_boards_are_read_through_hwmon_only_where_no_driver_does(bare, tmp_path):
    chip(tmp_path, 1, "amdgpu", power1_average=200_000_000, power1_cap=300_000_000)
    chip(tmp_path, 2, "xe", energy1_input=3_000_000, power1_input=1)
    roots = replace(bare, hwmon=tmp_path)
    (first, second), _ = open_hwmon(roots, clock)
    assert (first.part, first.kind, first.read().value) == ("accelerator:0", "power", 200.0)
    assert (second.part, second.kind, second.read().value) == ("accelerator:1", "counter", 3.0)
    assert open_hwmon(roots, clock, frozenset({"own"})) == ([], [])
    assert [s.name for s in open_hwmon(roots, clock, frozenset({"amdsmi"}))[0]] == ["hwmon:xe-0"]
    assert len(open_hwmon(roots, clock, frozenset({"nvml"}))[0]) == 2


def test_graphics_inside_a_processor_are_no_board_of_their_own(bare, tmp_path):
    chip(tmp_path, 1, "amdgpu", power1_input=15_000_000)  # it has no limit of its own: its power is the whole chip's
    assert open_hwmon(replace(bare, hwmon=tmp_path), clock) == ([], [])


def test_chips_without_power_are_no_sensors(bare, tmp_path):
    chip(tmp_path, 0, "coretemp", temp1_input=45000)
    chip(tmp_path, 1, "ina3221", power1_input=5)
    assert open_hwmon(replace(bare, hwmon=tmp_path), clock) == ([], [])
    assert open_hwmon(bare, clock) == ([], [])


def answer_of(sensor):
    """The reading of a command that runs beside."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        reading = sensor.read()
        if reading.value is not None or "not answered" not in (reading.fault or ""):
            return reading
        time.sleep(0.01)
    raise AssertionError("no answer")


def meters(tmp_path, text):
    file = tmp_path / "meters.toml"
    file.write_text(text)
    return own_meters(file, clock)


def test_own_meter_read_from_a_file(tmp_path):
    (tmp_path / "plug").write_text("energy: 1.25 kWh\n")
    (sensor,) = meters(
        tmp_path, f'[[meter]]\nname = "plug"\npart = "node"\nunit = "kWh"\nfile = "{tmp_path}/plug"\nwrap = 100\n'
    )
    assert (sensor.name, sensor.kind, sensor.unit) == ("own:plug", "counter", "J")
    assert sensor.read().value == 4.5e6  # 1.25 x 3.6e6 J
    assert (sensor.wrap_j, sensor.error_fraction) == (3.6e8, 0.05)


@pytest.mark.parametrize(
    ("text", "unit", "more", "step_j"),
    [("12.345", "kWh", "", 3600.0), ("energy: 12.3 kWh", "kWh", "", 360_000.0), ("7", "Wh", "", 3600.0),
     ("250300", "J", "", 1.0), ("12.345", "kWh", "step = 0.01", 36_000.0), ("12.345", "W", "", 0.0),
     ("", "kWh", "", 3.6e6)],
)  # fmt: skip
def test_step_of_a_counter_is_the_last_digit_that_it_shows(tmp_path, text, unit, more, step_j):
    (tmp_path / "plug").write_text(text)
    head = f'[[meter]]\nname = "plug"\npart = "node"\nunit = "{unit}"\n'
    (sensor,) = meters(tmp_path, f'{head}file = "{tmp_path}/plug"\n{more}\n')
    assert sensor.step_j == pytest.approx(step_j)


def test_two_plugs_of_two_supplies_are_added_where_their_owner_says_so(tmp_path):
    one = '[[meter]]\nname = "{}"\npart = "node"\nunit = "W"\nfile = "f"\nadds = true\n'
    assert [s.name for s in meters(tmp_path, one.format("left") + one.format("right"))] == ["own:left", "own:right"]


def test_own_meter_read_by_a_command(tmp_path):
    (sensor,) = meters(
        tmp_path,
        f"""[[meter]]
name = "bmc"
part = "host"
unit = "kW"
command = "{sys.executable} -c 'print(\\"sensor 3: 0.41 kW\\")'"
pattern = 'sensor 3: ([0-9.]+) kW'
error_fraction = 0.01
window_s = 2
""",
    )
    try:
        assert answer_of(sensor).value == pytest.approx(410.0)
        assert (sensor.covers, sensor.window_s) == (("host", "cpu", "memory"), 2)
    finally:
        sensor.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"must hold \[\[meter\]\] sections and nothing else; it holds \['x'\]"),
        ("[[meter]]\nname = 'a'", "meter 1 of .* lacks 'part'"),
        ("[[meter]]\nname = 'a'\npart = 'fan'\nunit = 'W'\nfile = 'f'", "part='fan'. Parts: node, host"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'A'\nfile = 'f'", "unit='A'. Units: W, mW"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'", "either 'file' or 'command'"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\nfile = 'f'\nfoo = 1", "unknown key 'foo'. Known: name"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\nfile = 'f'\nerror_fraction = 5", "from 0 to 1"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\nfile = 'f'\npattern = '('", "no regular expression"),
        ("[[", "cannot be read"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\ncommand = ['c', '1']", "it must be a text"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\ncommand = '\"c'", "as in a shell"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\ncommand = ''", "command=''; it must be a text"),
        ("[[meter]]\nname = 'a'\npart = 'cpu'\nunit = 'W'\nfile = 3", "file=3; it must be a text"),
        ("[[meter]]\nname = 'a'\npart = 'node'\nunit = 'kWh'\ncommand = 'c'", "does not say its step: .* step = 0.01"),
        (
            "[[meter]]\nname = 'bmc'\npart = 'node'\nunit = 'W'\ncommand = 'c'\n"
            "[[meter]]\nname = 'plug'\npart = 'node'\nunit = 'W'\nfile = 'f'\nadds = true",
            "2 meters of part='node': bmc, plug. Keep one; or, .* write adds = true in each",
        ),
        (
            "[[meter]]\nname = 'a'\npart = 'node'\nunit = 'W'\nfile = 'f'\nadds = true\n"
            "[[meter]]\nname = 'a'\npart = 'node'\nunit = 'W'\nfile = 'g'\nadds = true",
            "two meters of one name: a, a",
        ),
    ],
)
def test_meters_that_cannot_be_right_say_why(tmp_path, text, message):
    with pytest.raises(DescriptionError, match=message):
        meters(tmp_path, text)


def test_command_never_holds_up_its_reader():
    command = Command([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert command.read().fault == "the command has not answered yet"
        assert command.read().value is None
    finally:
        command.close()
    command.close()


def test_command_that_takes_too_long_is_ended():
    now = [0]
    command = Command([sys.executable, "-c", "import time; time.sleep(60)"], clock=lambda: now[0])
    command.read()
    now[0] = 31 * 10**9
    assert command.read().fault == "no answer within 30 s"
    command.close()


def test_command_that_fails_is_a_fault():
    command = Command([sys.executable, "-c", "raise SystemExit(3)"])
    try:
        assert answer_of(command).fault == f"{sys.executable} ended with status 3"
    finally:
        command.close()
    assert answer_of(Command(["/nowhere/meter"])).fault == "/nowhere/meter: No such file or directory"


def test_same_answer_keeps_its_time_until_the_next():
    """Read oftener than it answers, a slow command must not look like a meter that tells the same again."""
    command = Command([sys.executable, "-c", "print(5)"])
    try:
        command.read()
        command.words = [sys.executable, "-c", "import time; time.sleep(60)"]  # the next answer takes its time
        first = answer_of(command)
        assert first.value == 5.0
        assert command.read() is first
    finally:
        command.close()


def test_children_of_a_command_neither_hold_it_up_nor_outlive_it(tmp_path):
    """A shell that is killed leaves its child, which holds the output that would be waited for."""
    file = tmp_path / "child"
    command = Command(["sh", "-c", f"sleep 1000 & echo $! > {file}; wait"])
    command.read()
    until = time.monotonic() + PATIENCE_S
    while not (file.exists() and file.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.01)
    command.close()  # would take a thousand seconds
    assert is_gone(int(file.read_text()))


def test_answer_of_a_command_that_leaves_a_child_behind_is_taken(tmp_path):
    """It is asked again while it is closed, so that every child adds its name: the first is there by its answer."""
    file = tmp_path / "children"
    command = Command(["sh", "-c", f"sleep 1000 & echo $! >> {file}; echo 5"])
    try:
        assert answer_of(command).value == 5.0
    finally:
        command.close()
    children = [int(line) for line in file.read_text().splitlines()]
    assert children
    assert all(is_gone(child) for child in children)


def test_answer_is_taken_however_long_a_child_that_was_left_behind_holds_the_output(tmp_path, monkeypatch):
    """As where a process that was killed stands still: it is not waited for."""
    monkeypatch.setattr(commands, "_end_group", lambda running: None)
    go = tmp_path / "go"
    command = Command(["sh", "-c", f"(until [ -e {go} ]; do sleep 0.05; done) & echo 5"])
    try:
        assert answer_of(command).value == 5.0
    finally:
        go.touch()
        command.close()


MANY_LINES = "i=0; while [ $i -lt 3000 ]; do echo 'the temperature of a fan that nobody asked for'; i=$((i+1)); done"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("(sleep 0.2; echo 7.5) &", id="a child that outlives its shell"),
        pytest.param(f"{MANY_LINES}; echo 'power 7.5'", id="more than a pipe holds"),
    ],
)
def test_answer_that_comes_late_is_waited_for(program):
    command = Command(["sh", "-c", program])
    try:
        assert answer_of(command).value == 7.5
    finally:
        command.close()


def is_gone(pid):
    """Whether a process has ended, or is about to be taken away by who started it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("text", ["12,5", "1,234 W", "1.234,56 kWh"])
def test_number_with_a_comma_is_a_fault_and_not_its_first_digits(text):
    with pytest.raises(ReadingError, match="a comma in the number"):
        number_in(text)
    with pytest.raises(ReadingError, match="a comma in the number"):
        number_in(f"power {text}", re.compile(r"power ([\d.]+)"))


def test_number_in_a_text():
    assert number_in("draws -1.5e2 W") == -150.0
    assert number_in("power1 of CPU0: .25 kW") == 0.25  # not the digits of a name
    with pytest.raises(ReadingError, match="no number in 'none'"):
        number_in("none")


POWERMETRICS = """#!/bin/sh
echo "*** Sampled system activity ***"
echo "CPU Power: 4210 mW"
echo "GPU Power: 12500 mW"
echo "ANE Power: 0 mW"
echo "Combined Power (CPU + GPU + ANE): 16710 mW"
exec sleep 60
"""


def test_apple_silicon_by_its_own_program(bare, tmp_path):
    program = tmp_path / "powermetrics"
    program.write_text(POWERMETRICS)
    program.chmod(0o755)
    sensors, missing = open_apple(replace(bare, powermetrics=program), clock, system="darwin", user=0)
    cpu, gpu = sensors
    try:
        assert (answer_of(cpu).value, answer_of(gpu).value) == (4.21, 12.5)
        assert [(s.part, s.unit, s.window_s) for s in sensors] == [("cpu", "W", 1.0), ("accelerator:0", "W", 1.0)]
        assert missing == []
    finally:
        cpu.close()
        gpu.close()
    assert cpu.read().fault == "the program has ended"


def test_apple_silicon_without_root_is_told(bare):
    sensors, missing = open_apple(bare, clock, system="darwin", user=501)
    assert sensors == []
    assert [(m.part, m.reason) for m in missing] == [
        ("cpu", "powermetrics needs root"),
        ("accelerator:0", "powermetrics needs root"),
    ]
    assert open_apple(bare, clock, system="linux") == ([], [])
