"""AMD, hwmon, Apple silicon and the user's own meters, each before something that stands in for its driver."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import ModuleType

import pytest

from tonne.errors import DescriptionError
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
    (sensor,) = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert (sensor.name, sensor.part, sensor.covers) == ("hwmon:server-0", "node", ("node",))
    assert (sensor.read().value, sensor.window_s) == (412.0, 1.0)
    assert sensor.error_fraction == pytest.approx(0.015)


def test_grace_tells_of_processor_and_memory_and_not_of_its_rails(bare, tmp_path):
    chip(tmp_path, 3, "power_meter", power1_average=90_000_000, power1_label="Grace Power Socket 0")
    chip(tmp_path, 4, "power_meter", power1_average=60_000_000, power1_label="CPU Power Socket 0")
    chip(tmp_path, 5, "power_meter", power1_average=600_000_000, power1_label="Module Power Socket 0")
    (sensor,) = open_hwmon(replace(bare, hwmon=tmp_path), clock)
    assert (sensor.name, sensor.part, sensor.covers) == ("hwmon:grace-0", "cpu", ("cpu", "memory"))
    assert sensor.error_fraction == 0.1  # it names no accuracy


def test_boards_are_read_through_hwmon_only_where_no_driver_does(bare, tmp_path):
    chip(tmp_path, 1, "amdgpu", power1_average=200_000_000, power1_cap=300_000_000)
    chip(tmp_path, 2, "xe", energy1_input=3_000_000, power1_input=1)
    roots = replace(bare, hwmon=tmp_path)
    first, second = open_hwmon(roots, clock)
    assert (first.part, first.kind, first.read().value) == ("accelerator:0", "power", 200.0)
    assert (second.part, second.kind, second.read().value) == ("accelerator:1", "counter", 3.0)
    assert open_hwmon(roots, clock, frozenset({"accelerator:0"})) == []


def test_graphics_inside_a_processor_are_no_board_of_their_own(bare, tmp_path):
    chip(tmp_path, 1, "amdgpu", power1_input=15_000_000)  # it has no limit of its own: its power is the whole chip's
    assert open_hwmon(replace(bare, hwmon=tmp_path), clock) == []


def test_chips_without_power_are_no_sensors(bare, tmp_path):
    chip(tmp_path, 0, "coretemp", temp1_input=45000)
    chip(tmp_path, 1, "ina3221", power1_input=5)
    assert open_hwmon(replace(bare, hwmon=tmp_path), clock) == []
    assert open_hwmon(bare, clock) == []


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


def test_number_in_a_text():
    assert number_in("draws -1.5e2 W") == -150.0
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
