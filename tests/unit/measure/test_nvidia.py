"""NVIDIA's sensors through its own Python binding, before a library that stands in for its driver."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("pynvml")

from tonne.measure.sensors.nvidia import open_nvidia
from tonne.measure.sensors.users import User, shares_of

pytestmark = pytest.mark.slow  # a library compiled, and interpreters of their own

H100 = """
    -1 count 1
    0 name NVIDIA H100 80GB HBM3
    0 uuid GPU-aaaa
    0 architecture 9
    0 energy_mj 5000000
    0 power_mw 350000
    0 limit_mw 700000
"""
OPEN = """
    import json, sys
    from pathlib import Path
    from tonne.measure.environment import Roots
    from tonne.measure.sensors.nvidia import open_nvidia, slices_of
    now = [0]
    sensors, missing = open_nvidia(Roots(sys=Path("/nowhere")), lambda: now[0])
    answers = Path(sys.argv[1])
"""
TELL = """
    print(json.dumps({"sensors": [s.as_dict() for s in sensors],
                      "missing": [[m.part, m.reason, m.mend, m.device] for m in missing],
                      "read": [[s.read().value, s.read().fault] for s in sensors]}))
"""


def told(with_boards, boards, code=TELL):
    return json.loads(with_boards(boards, OPEN + code))


def test_board_with_an_energy_counter(with_boards):
    found = told(with_boards, H100)
    assert found["missing"] == []
    assert found["read"] == [[5000.0, None]]  # 5,000,000 mJ
    assert found["sensors"] == [
        {"name": "nvml:0", "part": "accelerator:0", "kind": "counter", "unit": "J", "covers": ["accelerator:0"],
         "error_fraction": 0.05, "wrap_j": None, "window_s": 0.0, "ceiling_w": 1400.0, "step_j": 0.0,
         "device": "NVIDIA H100 80GB HBM3", "device_id": "GPU-aaaa"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "architecture", "window_s"),
    [
        ("Tesla P100-SXM2-16GB", 4, 0.0),  # before Ampere: the power of the moment
        ("NVIDIA A100-SXM4-80GB", 7, 0.0),  # GA100
        ("NVIDIA A30", 7, 0.0),
        ("NVIDIA A40", 7, 1.0),
        ("NVIDIA L40S", 8, 1.0),
    ],
)
def test_board_without_a_counter_tells_power_with_its_window(with_boards, name, architecture, window_s):
    boards = f"-1 count 1\n0 name {name}\n0 uuid GPU-b\n0 architecture {architecture}\n0 power_mw 250000\n"
    found = told(with_boards, boards)
    sensor = found["sensors"][0]
    assert (sensor["kind"], sensor["unit"], sensor["window_s"], sensor["ceiling_w"]) == ("power", "W", window_s, None)
    assert found["read"] == [[250.0, None]]


NOT_LOADED, NO_PERMISSION = 9, 4


@pytest.mark.parametrize(("refusal", "parts"), [(NOT_LOADED, []), (NO_PERMISSION, ["accelerator:0"])])
def test_library_on_a_machine_without_boards_is_no_accelerator_that_is_missing(with_boards, refusal, parts):
    """Clusters start all nodes from one image: those without boards hold the library too, and their energy is known."""
    found = told(with_boards, f"-1 init {refusal}\n")
    assert [part for part, *_ in found["missing"]] == parts


def test_driver_that_is_not_loaded_leaves_boards_of_the_bus_unknown(with_boards, tmp_path):
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    code = f"""
    sensors, missing = open_nvidia(Roots(sys=Path({str(tmp_path / "sys")!r})), lambda: 0)
    print(json.dumps([m.part for m in missing]))
    """
    assert told(with_boards, f"-1 init {NOT_LOADED}\n", code) == ["accelerator:0"]


def test_counter_that_stays_at_zero_is_not_used(with_boards):
    found = told(with_boards, H100.replace("energy_mj 5000000", "energy_mj 0"))
    assert found["sensors"][0]["kind"] == "power"


def test_board_that_tells_nothing_is_missing_and_the_others_are_read(with_boards):
    boards = H100.replace("count 1", "count 2") + "    1 name GRID V100\n    1 uuid GPU-c\n    1 architecture 5\n"
    found = told(with_boards, boards)
    assert [sensor["part"] for sensor in found["sensors"]] == ["accelerator:0"]
    assert found["missing"][0][:2] == ["accelerator:1", "the driver tells neither energy nor power: Not Supported"]
    assert "nvidia-smi" in found["missing"][0][2]
    assert found["missing"][0][3] == "GRID V100"


def test_eight_boards_add_up_exactly(with_boards):
    boards = "-1 count 8\n" + "".join(
        f"{i} name NVIDIA H100 80GB HBM3\n{i} uuid GPU-{i}\n{i} architecture 9\n{i} energy_mj 1000\n" for i in range(8)
    )
    code = """
    from tonne.measure.choice import accelerators_in, parts_of
    from tonne.measure.integration import Integral
    integrals = [Integral(s, gap_s=2.5) for s in sensors]
    for second in range(4):
        now[0] = second * 10**9
        energy = str(1000 + 300_000 * second)  # 300 W each
        answers.write_text(answers.read_text().replace(str(1000 + 300_000 * (second - 1)), energy))
        for s, i in zip(sensors, integrals): i.add(s.read())
    parts, _ = parts_of([(s, i.total()) for s, i in zip(sensors, integrals)])
    print(json.dumps([p.measured_j for p in accelerators_in(parts).values()]))
    """
    assert told(with_boards, boards, code) == [900.0] * 8


def test_board_that_falls_off_the_bus_is_a_fault_and_nothing_worse(with_boards):
    code = """
    answers.write_text(answers.read_text().replace("energy_mj 5000000", "energy_mj lost"))
    reading = sensors[0].read()
    print(json.dumps([reading.value, reading.fault]))
    """
    assert told(with_boards, H100, code) == [None, "NVMLError_GpuIsLost: GPU is lost"]


def test_driver_is_let_go_when_the_last_sensor_is_closed(with_boards):
    code = """
    import pynvml
    for s in sensors: s.close(); s.close()
    print(json.dumps(sensors[0].read().fault))
    """
    assert told(with_boards, H100, code).startswith("NVMLError_Uninitialized")


def test_slices_of_a_board_and_their_shares(with_boards):
    boards = H100 + "    0 mig 1\n    0 slices 7\n    0 slice_0 3\n    0 slice_2 2\n"
    boards += "    0 slice_uuid_0 MIG-x\n    0 slice_uuid_2 MIG-y\n"
    code = "    print(json.dumps([[s.uuid, s.fraction] for s in slices_of(0)]))\n"
    assert told(with_boards, boards, code) == [["MIG-x", 3 / 7], ["MIG-y", 2 / 7]]


def test_a_run_on_a_slice_has_its_share_of_the_board(with_boards):
    boards = H100 + "    0 mig 1\n    0 slices 7\n    0 slice_0 3\n    0 slice_uuid_0 MIG-x\n"
    code = """
    import os, time, tonne
    os.environ["CUDA_VISIBLE_DEVICES"] = "MIG-x"
    os.environ["TONNE_POWERCAP_ROOT"] = os.environ["TONNE_HWMON_ROOT"] = "/nowhere"
    journal = answers.parent / "run" / "journal.jsonl"
    def readings(): return journal.read_text().count('"v":') if journal.exists() else 0
    def wait_for_readings(count):
        wanted, until = readings() + count, time.monotonic() + 50
        while readings() < wanted and time.monotonic() < until: time.sleep(0.01)
    with tonne.track("sliced", interval_s=0.05, folder=str(answers.parent / "run")) as meter:
        for before, after in (("5000000", "5000001"), ("5000001", "5090000")):  # 1 mJ, for what came before; 90 J
            wait_for_readings(3)
            answers.with_name("new").write_text(answers.read_text().replace(before, after))
            answers.with_name("new").replace(answers)  # never read when half of it is written
        wait_for_readings(3)  # the last two readings agree, so that what follows them adds nothing
    whole, job = meter.account(), meter.account("job")
    pairs = [(job.accelerator_hours, whole.accelerator_hours)]
    pairs += [(job.energy.accelerators_kwh, whole.energy.accelerators_kwh)]
    print(json.dumps([3.6e6 * whole.energy.measured_kwh.value, *(a.value / b.value for a, b in pairs)]))
    """
    assert told(with_boards, boards, code) == [
        pytest.approx(90.0, rel=0.05),
        pytest.approx(3 / 7),
        pytest.approx(3 / 7),
    ]


def test_run_with_a_board_that_tells_nothing_has_its_hours_and_a_model_of_it(with_boards):
    boards = H100.replace("count 1", "count 2").replace("energy_mj 5000000", "watts 400")
    boards += "    1 name NVIDIA H100 80GB HBM3\n    1 uuid GPU-bbbb\n    1 architecture 9\n"
    code = """
    import os, time, tonne
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    os.environ["TONNE_POWERCAP_ROOT"] = os.environ["TONNE_HWMON_ROOT"] = "/nowhere"
    with tonne.track("lost", interval_s=0.05, folder=str(answers.parent / "run")) as meter:
        time.sleep(1.0)
    told = []
    for account in (meter.account(), meter.account("job")):
        energy, hours = account.energy, account.duration_s.value / 3600
        told.append([account.accelerator_hours.value / hours, energy.accelerators_kwh.value / hours,
                     str(energy.accelerators_kwh.basis)])
    print(json.dumps([*told, list(meter.account().notes)]))
    """
    *views, notes = told(with_boards, boards, code)
    for boards_held, power_kw, basis in views:
        assert boards_held == pytest.approx(2.0)
        assert power_kw == pytest.approx(0.4 + 0.88 * 0.7, rel=0.02)  # 400 W, and 88 % of 700 W
        assert basis == "assumed"
    assert any(note.startswith("accelerator:1 is not measured: the driver tells neither") for note in notes)


def test_whole_board_has_no_slices(with_boards):
    code = "    print(json.dumps(list(slices_of(0))))\n"
    assert told(with_boards, H100, code) == []  # it does not know of slices
    assert told(with_boards, H100 + "    0 mig 0\n    0 slices 7\n", code) == []


USERS = """
    from tonne.measure.sensors.users import BoardUsers
    board = BoardUsers(0)
    def told(): return [[u.pid, u.memory_bytes, u.busy_fraction] for u in board.read()]
"""


def test_processes_on_a_board_and_how_busy_each_keeps_it(with_boards):
    boards = H100 + "    0 processes 11:1000,12:2000\n    0 utilisation 11:500:60,12:500:20,11:900:80\n"
    code = (
        USERS
        + """
    first = told()
    print(json.dumps([first, told()]))
    """
    )
    first, later = told(with_boards, boards, code)
    assert first == [[11, 1000, 0.7], [12, 2000, 0.1]]  # two moments: (60 + 80) / 2 and 20 / 2
    assert later == [[11, 1000, 0.0], [12, 2000, 0.0]]  # nothing since


def test_processes_of_a_board_that_does_not_tell_how_busy_they_are(with_boards):
    boards = H100 + "    0 processes 11:1000\n"
    assert told(with_boards, boards, USERS + "    print(json.dumps(told()))\n") == [[11, 1000, None]]


def test_board_that_shows_no_processes(with_boards):
    code = USERS + "    print(json.dumps([told(), BoardUsers(5).read()])); board.close(); board.close()\n"
    assert told(with_boards, H100, code) == [[], []]


def test_shares_of_a_board_add_up_to_one():
    assert shares_of([User(1, 0, 0.6), User(2, 0, 0.2)]) == pytest.approx({1: 0.75, 2: 0.25})
    assert shares_of([User(1, 0, 0.0), User(2, 0, 0.0)]) == {1: 0.5, 2: 0.5}
    assert shares_of([User(1, 0, None), User(2, 0, 0.5)]) == {1: 0.5, 2: 0.5}
    assert shares_of([]) == {}


def test_board_on_the_bus_without_a_driver_is_told(tmp_path, bare, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr("tonne.measure.sensors.nvidia._has_library", lambda: False)
    device = tmp_path / "bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    sensors, missing = open_nvidia(replace(bare, sys=tmp_path), lambda: 0)
    assert sensors == []
    assert [m.part for m in missing] == ["unused board"]  # nothing can train on it
    (tmp_path / "module/nvidia").mkdir(parents=True)
    _, missing = open_nvidia(replace(bare, sys=tmp_path), lambda: 0)
    assert [m.part for m in missing] == ["accelerator:0"]  # something may: the energy of this machine is not known
    assert "libnvidia-ml.so.1" in missing[0].reason
    assert open_nvidia(bare, lambda: 0) == ([], [])  # no board, nothing missing
