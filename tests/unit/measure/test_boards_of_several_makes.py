"""Machines with accelerators of several makes: each driver counts from zero, and every board counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tonne.measure.choice import parts_of
from tonne.measure.integration import Integral
from tonne.measure.sensors import opening
from tonne.measure.sensors.opening import open_sensors
from tonne.measure.sensors.protocol import Description, Missing, Readable, Reading

NS_PER_S = 1_000_000_000


def board(driver, index, watts, covers=()):
    return Readable(
        name=f"{driver}:{index}", part=f"accelerator:{index}", covers=covers, kind="power", unit="W",
        source=lambda: watts, clock=lambda: 0,
    )  # fmt: skip


@pytest.fixture
def drivers(monkeypatch):
    """Lets drivers find these boards."""

    def find(**found):
        for name, (sensors, missing) in found.items():
            monkeypatch.setattr(opening, f"_{name}", lambda *_, told=(sensors, missing): told)

    find(nvidia=([], []), amd=([], []), others=([], []), powercap=([], []))
    return find


def parts(found):
    return {sensor.name: sensor.covers for sensor in found}


def chip(root, number, name, watts):
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("power1_average", watts * 1_000_000), ("power1_cap", 300_000_000)):
        (folder / file).write_text(f"{text}\n")


def test_boards_of_nvidia_and_amd_are_added(bare, drivers):
    """2 x 300 W and 2 x 500 W for 10 s: 16 kJ."""
    drivers(
        nvidia=([board("nvml", i, 300.0) for i in range(2)], []),
        amd=([board("amdsmi", i, 500.0) for i in range(2)], []),
    )
    sensors, _ = open_sensors(bare)
    assert [sensor.part for sensor in sensors] == [f"accelerator:{i}" for i in range(4)]
    read = []
    for sensor in sensors:
        integral = Integral(Description.of(sensor), 100.0)
        for time_s in (0, 10):
            integral.add(Reading(time_s * NS_PER_S, sensor.read().value))
        read.append((integral.of, integral.total()))
    found, _ = parts_of(read)
    assert sum(part.energy_j.value for part in found.values()) == pytest.approx(16_000)


def test_dies_of_a_package_keep_together_after_boards_without_a_sensor(bare, drivers):
    lacks = [Missing("accelerator:0, accelerator:1", "no binding")]
    drivers(nvidia=([], lacks), amd=([board("amdsmi", 0, 500.0, ("accelerator:0", "accelerator:1"))], []))
    sensors, missing = open_sensors(bare)
    assert parts(sensors) == {"amdsmi:0": ("accelerator:2", "accelerator:3")}
    assert missing[0] == lacks[0]


def test_boards_that_nothing_reads_are_told_beside_those_that_are_read(bare, drivers):
    drivers(
        nvidia=([board("nvml", 0, 300.0)], []),
        amd=([], [Missing("accelerator:0", "no binding")]),
        others=([], [Missing("accelerator:0", "of Gaudi")]),
    )
    told = [(m.part, m.reason) for m in open_sensors(bare)[1] if m.part.startswith("accelerator")]
    assert told == [("accelerator:1", "no binding"), ("accelerator:2", "of Gaudi")]


def test_boards_of_amd_that_hwmon_tells_of_stand_for_those_of_its_library(bare, drivers, tmp_path):
    """The second board of AMD and the one of Intel are further ones."""
    for number, name in enumerate(["xe", "amdgpu", "amdgpu"]):
        chip(tmp_path, number, name, 100 + number)
    drivers(nvidia=([board("nvml", 0, 300.0)], []), amd=([], [Missing("accelerator:0", "no binding")]))
    sensors, missing = open_sensors(replace(bare, hwmon=tmp_path))
    assert {sensor.part: sensor.read().value for sensor in sensors} == {
        "accelerator:0": 300.0, "accelerator:1": 101.0, "accelerator:2": 100.0, "accelerator:3": 102.0,
    }  # fmt: skip
    assert not [m for m in missing if m.part.startswith("accelerator")]


def test_meter_of_the_users_own_keeps_the_number_that_it_is_given(bare, drivers, tmp_path):
    file = tmp_path / "meters.toml"
    file.write_text('[[meter]]\nname = "rail"\npart = "accelerator:1"\nunit = "W"\nfile = "f"\n')
    drivers(nvidia=([board("nvml", 0, 300.0)], []), amd=([board("amdsmi", 0, 500.0)], []))
    sensors, _ = open_sensors(replace(bare, meters=file))
    assert parts(sensors) == {
        "own:rail": ("accelerator:1",), "nvml:0": ("accelerator:0",), "amdsmi:0": ("accelerator:1",),
    }  # fmt: skip
