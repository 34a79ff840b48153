"""Energy of a node by part: nothing twice, nothing zero that is unknown."""

from __future__ import annotations

from itertools import combinations

import pytest

from tonne.estimate import Basis
from tonne.measure.choice import parts_of
from tonne.measure.facts import NodeFacts
from tonne.measure.models.load import Load
from tonne.measure.parts import Node, node_energy
from tonne.measure.sensors.protocol import Description
from tonne.measure.tally import Total

FACTS = NodeFacts(cpu="AMD EPYC 7763 64-Core Processor", sockets=1, threads=128, modules=8, memory_bytes=2**38)
KWH = 3.6e6


def read(name, part, kwh, *, covers=(), error=0.0, kind="counter"):
    described = Description(
        name=name, part=part, kind=kind, unit="J", covers=covers, error_fraction=error, device="NVIDIA H100 80GB HBM3"
    )
    joules = kwh * KWH
    total = Total(energy_j=joules, low_j=joules, high_j=joules, measured_j=joules, measured_s=3600.0)
    return described, total


def silent(name, part):
    return Description(name=name, part=part, kind="counter", unit="J"), Total(energy_j=None, high_j=None, gap_s=3600.0)


def energy(*sensors, facts=FACTS, time_s=3600.0, **more):
    load = Load.steady(time_s, 0.5)
    return node_energy(Node(read=sensors, facts=facts, load=load, time_s=time_s, **more))


BOARDS = [read(f"nvml:{i}", f"accelerator:{i}", 0.5) for i in range(8)]
PACKAGE = read("rapl:package-0", "cpu", 0.2)
DRAM = read("rapl:dram-0", "memory", 0.05)
PSYS = read("rapl:psys", "host", 0.4, covers=("host", "cpu", "memory"))
PLUG = read("own:plug", "node", 5.0)


def values(use):
    names = ("accelerators_kwh", "cpu_kwh", "memory_kwh", "host_rest_kwh", "hosts_kwh", "servers_kwh", "measured_kwh")
    return {name.removesuffix("_kwh"): None if (e := getattr(use, name)) is None else e.value for name in names}


def test_every_part_measured_and_the_whole_too():
    use, notes = energy(*BOARDS, PACKAGE, DRAM, PSYS, PLUG)
    assert values(use) == pytest.approx(
        {"accelerators": 4.0, "cpu": 0.2, "memory": 0.05, "host_rest": 0.75, "hosts": 1.0, "servers": 5.0,
         "measured": 5.0}
    )  # fmt: skip
    assert use.accelerators_kwh.value + use.hosts_kwh.value == pytest.approx(use.servers_kwh.value)
    assert use.coverage == 1.0
    assert notes == ()


def test_plug_tells_the_host_where_nothing_else_does():
    use, _ = energy(*BOARDS, PACKAGE, DRAM, PLUG)
    assert use.hosts_kwh.value == pytest.approx(1.0)
    assert use.host_rest_kwh.value == pytest.approx(0.75)
    assert use.host_rest_kwh.basis == Basis.MEASURED
    assert use.coverage == 1.0


def test_platform_counter_is_not_added_to_its_packages():
    use, _ = energy(PACKAGE, DRAM, PSYS)
    assert use.servers_kwh.value == pytest.approx(0.4)
    assert use.measured_kwh.value == pytest.approx(0.4)
    assert use.host_rest_kwh.value == pytest.approx(0.15)
    assert use.accelerators_kwh.value == 0.0


def test_platform_counter_that_says_less_than_its_packages_is_left_out():
    use, notes = energy(PACKAGE, DRAM, read("rapl:psys", "host", 0.1, covers=("host", "cpu", "memory")))
    assert use.measured_kwh.value == pytest.approx(0.25)
    assert use.host_rest_kwh.value == pytest.approx(0.06 + 0.2 * 0.25)  # 60 W for an hour, and a fifth
    assert "rapl:psys told 0.1 kWh of the whole host, less than the 0.25 kWh" in notes[0]


def test_what_is_not_measured_is_modelled_and_coverage_says_how_much_was():
    use, notes = energy(*BOARDS, PACKAGE)
    assert use.memory_kwh.value == pytest.approx(0.024)  # 8 modules of 3 W
    assert use.memory_kwh.basis == Basis.ASSUMED
    assert use.host_rest_kwh.value == pytest.approx(8 * 0.3 - 0.2 - 0.024)  # hosts of H100: 300 W each
    assert use.servers_kwh.value == pytest.approx(4.0 + 2.4)
    assert use.coverage == pytest.approx(4.2 / 6.4)
    assert use.cpu_kwh.basis == Basis.MEASURED
    assert [note.partition(":")[0] for note in notes] == ["memory", "rest of the host"]


def test_node_without_any_sensor_is_never_zero():
    use, notes = energy()
    assert use.servers_kwh.value == pytest.approx(use.cpu_kwh.value + use.memory_kwh.value + use.host_rest_kwh.value)
    assert use.cpu_kwh.value > 0.03
    assert use.servers_kwh.low < use.servers_kwh.value < use.servers_kwh.high
    assert (use.measured_kwh.value, use.coverage) == (0.0, 0.0)
    assert len(notes) == 3


def test_node_of_no_time_took_nothing():
    use, _ = node_energy(Node(read=[], facts=FACTS, load=None, time_s=0.0))
    assert (use.servers_kwh.value, use.servers_kwh.high, use.coverage) == (0.0, 0.0, None)


def test_sensor_that_never_spoke_gives_way_to_the_model():
    use, notes = energy(silent("rapl:package-0", "cpu"), DRAM)
    assert use.cpu_kwh.basis == Basis.MODELLED
    assert notes[0] == "rapl:package-0 gave no number that could be used"


def test_one_silent_package_of_two_makes_the_processors_unknown_to_sensors():
    use, _ = energy(PACKAGE, silent("rapl:package-1", "cpu"))
    assert use.cpu_kwh.basis == Basis.MODELLED
    assert use.measured_kwh.value == 0.0


def still(name, part, *, kind="counter", device="", **more):
    """A sensor that told the same all the time: a counter that did not move, or a power of zero."""
    described = Description(name=name, part=part, kind=kind, unit="J", device=device, **more)
    return described, Total(measured_s=3600.0)


def test_board_whose_sensor_gave_no_number_is_modelled_and_not_zero():
    """Lost on the first reading, or over before the driver had counted once: it was there all the same."""
    lost = (Description(name="nvml:1", part="accelerator:1", kind="counter", unit="J", device="NVIDIA H100 80GB HBM3"),
            Total(energy_j=None, high_j=None, gap_s=3600.0))  # fmt: skip
    for other in (lost, still("nvml:1", "accelerator:1", device="NVIDIA H100 80GB HBM3")):
        use, notes = energy(BOARDS[0], other)
        assert use.accelerators_kwh.value == pytest.approx(0.5 + 0.88 * 0.7)  # 88 % of 700 W for an hour
        assert use.accelerators_kwh.low == pytest.approx(0.5 + 0.15 * 0.7)
        assert use.accelerators_kwh.basis == Basis.ASSUMED
        assert use.measured_kwh.value == pytest.approx(0.5)
        assert "nvml:1 gave no number that could be used" in notes


def test_modelled_board_is_no_more_than_a_meter_of_the_whole_leaves_for_it():
    """A plug of 450 W, of which the package counted 200 and 8 modules have 24: 226 W are left, not 616."""
    lost = still("nvml:0", "accelerator:0", device="NVIDIA H100 80GB HBM3")
    use, notes = energy(lost, PACKAGE, read("own:plug", "node", 0.45))
    assert use.accelerators_kwh.value == pytest.approx(0.226)
    assert (use.accelerators_kwh.low, use.accelerators_kwh.high) == pytest.approx((0.105, 0.45))
    assert use.accelerators_kwh.value + use.hosts_kwh.value == pytest.approx(use.servers_kwh.value)
    assert "modelled accelerators fitted to what the meter of the whole told" in notes


def test_board_without_a_name_whose_sensor_gave_no_number_leaves_the_machine_unknown():
    use, _ = energy(still("hwmon:xe-0", "accelerator:0"))
    assert (use.accelerators_kwh, use.servers_kwh) == (None, None)


def test_graphics_that_draw_nothing_may_say_so():
    use, _ = energy(still("apple:gpu", "accelerator:0", kind="power", device="Apple silicon"))
    assert (use.accelerators_kwh.value, str(use.accelerators_kwh.basis)) == (0.0, "measured")


@pytest.mark.parametrize(
    ("sensor", "part"),
    [(still("hwmon:server-0", "node", kind="power"), "servers"), (still("rapl:psys", "host"), "hosts"),
     (still("rapl:dram-0", "memory"), "memory"), (still("own:clip", "cpu", kind="power"), "cpu")],
)  # fmt: skip
def test_nothing_that_runs_draws_nothing(sensor, part):
    """A meter that says zero all along is not set up; what it is about is then what the models say without it."""
    use, notes = energy(sensor)
    without, _ = energy()
    assert values(use) == pytest.approx(values(without))
    assert values(use)[part] > 0
    assert notes[0] == f"{sensor[0].name} gave no number that could be used"


def test_host_of_a_board_is_known_by_its_driver_though_the_user_meters_it():
    """The user's meter has the name of a file; the host of an H100 draws 300 W, once."""
    clip = Description(name="own:riser", part="accelerator:0", kind="power", unit="W", device="cat /run/riser")
    use, _ = energy(BOARDS[0], (clip, BOARDS[0][1]))
    assert use.hosts_kwh.value == pytest.approx(0.3)


def test_memory_that_is_metered_inside_of_the_processor_is_counted_once():
    grace = read("hwmon:grace-0", "cpu", 0.3, covers=("cpu", "memory"), kind="power")
    use, _ = energy(grace, read("own:memory", "memory", 0.06))
    assert (use.cpu_kwh.value, use.memory_kwh.value) == pytest.approx((0.24, 0.06))
    assert use.measured_kwh.value == pytest.approx(0.3)
    assert use.hosts_kwh.value == pytest.approx(0.3 + 0.06 + 0.2 * 0.3)  # 60 W for an hour, and a fifth


MANY = [
    BOARDS[0],
    still("nvml:1", "accelerator:1", device="NVIDIA H100 80GB HBM3"),
    PACKAGE,
    DRAM,
    PSYS,
    read("hwmon:grace-0", "cpu", 0.3, covers=("cpu", "memory"), kind="power", error=0.1),
    read("own:plug", "node", 1.4, error=0.05),
    read("hwmon:server-0", "node", 0.45, kind="power", error=0.1),
    read("own:clip", "memory", 0.06, kind="power"),
    read("own:riser", "host", 0.5, covers=("host", "cpu", "memory")),
]


@pytest.mark.parametrize("count", range(5))
def test_parts_add_up_and_nothing_is_measured_twice_whatever_sensors_there_are(count):
    for sensors in combinations(MANY, count):
        use, _ = energy(*sensors)
        told = {name: value or 0.0 for name, value in values(use).items()}
        names = [described.name for described, _ in sensors]
        assert told["accelerators"] + told["hosts"] == pytest.approx(told["servers"]), names
        assert told["cpu"] + told["memory"] + told["host_rest"] == pytest.approx(told["hosts"]), names
        assert told["measured"] <= told["servers"] * (1 + 1e-9), names
        assert 0.0 <= use.coverage <= 1.0


def test_own_meter_comes_before_the_driver():
    parts, _ = parts_of([read("nvml:0", "accelerator:0", 0.5), read("own:riser", "accelerator:0", 0.55, kind="power")])
    assert parts["accelerator:0"].sensors == ("own:riser",)
    assert parts["accelerator:0"].energy_j.value == pytest.approx(0.55 * KWH)


def test_processor_that_holds_its_memory_is_not_given_another():
    use, notes = energy(read("hwmon:grace-0", "cpu", 0.3, covers=("cpu", "memory")))
    assert use.memory_kwh is None
    assert use.hosts_kwh.value == pytest.approx(0.3 + 0.06 + 0.2 * 0.3)
    assert "the sensor of the processors holds the memory" in notes


def test_error_of_a_sensor_is_its_interval():
    use, _ = energy(read("own:plug", "node", 2.0, error=0.05))
    assert (use.servers_kwh.low, use.servers_kwh.high) == (pytest.approx(1.9), pytest.approx(2.1))
    assert use.measured_kwh.high == pytest.approx(2.1)


def test_errors_of_eight_boards_of_one_make_go_the_same_way():
    use, _ = energy(*(read(f"nvml:{i}", f"accelerator:{i}", 0.5, error=0.05) for i in range(8)))
    boards = use.accelerators_kwh
    assert (boards.value, boards.low, boards.high) == pytest.approx((4.0, 3.8, 4.2))
    assert use.measured_kwh.high == pytest.approx(4.2)


def test_errors_of_different_sensors_add_in_squares():
    use, _ = energy(read("nvml:0", "accelerator:0", 1.0, error=0.05), read("own:host", "host", 1.0, error=0.05))
    assert use.servers_kwh.high == pytest.approx(2 + (2 * 0.05**2) ** 0.5, rel=1e-3)


def test_model_gives_way_to_the_meter_of_the_whole():
    use, notes = energy(read("own:plug", "node", 0.06))
    assert use.hosts_kwh.value == pytest.approx(0.06)
    assert use.cpu_kwh.value + use.memory_kwh.value + use.host_rest_kwh.value == pytest.approx(0.06)
    assert "modelled cpu and memory fitted to what the meter of the whole told" in notes


def test_accelerator_without_a_sensor_is_modelled_or_unknown_but_never_left_out():
    use, _ = energy(silent_accelerators=("NVIDIA H100 80GB HBM3",))
    assert use.accelerators_kwh.value == pytest.approx(0.616)  # 0.88 x 700 W
    unknown, notes = energy(silent_accelerators=("a board of tomorrow",))
    assert (unknown.accelerators_kwh, unknown.servers_kwh, unknown.coverage) == (None, None, None)
    assert "no table knows it" in notes[0]


def test_gap_is_in_the_energy_and_not_in_what_was_measured():
    described, _ = PACKAGE
    total = Total(
        energy_j=0.2 * KWH, low_j=0.15 * KWH, high_j=0.3 * KWH, measured_j=0.1 * KWH, measured_s=1800.0, gap_s=1800.0
    )
    use, _ = energy((described, total))
    assert (use.cpu_kwh.value, use.cpu_kwh.low, use.cpu_kwh.high) == pytest.approx((0.2, 0.15, 0.3))
    assert use.measured_kwh.value == pytest.approx(0.1)
    assert use.cpu_kwh.basis == Basis.MODELLED
