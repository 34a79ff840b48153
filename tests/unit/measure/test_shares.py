"""Whose energy it is, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tonne.estimate import Estimate
from tonne.measure.accounting import NOT_LOOKED_FOR, shared_use
from tonne.measure.attribution import Shares, idle_part, job_of, own_cpu_s, rank_of, sees, topmost
from tonne.measure.board_use import BoardUse
from tonne.measure.choice import Part, accelerators_in, parts_of
from tonne.measure.facts import NodeFacts
from tonne.measure.members import Member
from tonne.measure.models.load import Load
from tonne.measure.replay import NodeUse, SensorUse
from tonne.measure.sensors.protocol import Description, Missing
from tonne.measure.sensors.users import User
from tonne.measure.tally import Total


def member(pid: int, cpu_s: float, parents: list[int] = (), **header) -> Member:
    process = {"pid": pid, "started": pid, "parents": [[p, p] for p in parents], "session": 1, "namespace": "n"}
    fields = {"stamp": str(pid), "process": process, "cpus": 8, "cpus_allowed": 8, "devices": None, **header}
    found = Member(fields, "")
    found.cpu_s = cpu_s
    return found


def node(
    *members: Member, busy_cpu_s: float | None = 40.0, load: Load | None = None, sensors=(), baseline=()
) -> NodeUse:
    return NodeUse(
        node="n",
        facts=NodeFacts(),
        lasted_s=10.0,
        sensors=tuple(sensors),
        missing=(),
        members=members,
        busy_cpu_s=busy_cpu_s,
        load=load,
        baseline_w=dict(baseline),
    )


def boards(*joules: float) -> dict[str, Part]:
    names = [f"accelerator:{i}" for i in range(len(joules))]
    return {
        name: Part(
            name=name,
            energy_j=Estimate.exact(energy),
            measured_j=energy,
            error_fraction=0.0,
            covers=frozenset({name}),
            sensors=(name,),
        )
        for name, energy in zip(names, joules, strict=True)
    }


def test_a_job_bound_to_no_cores_has_its_share_of_cpu_time():
    shares = job_of(node(member(1, 10.0)), boards())
    assert shares.cpu == pytest.approx(0.25)  # 10 of 40 s
    assert (shares.memory, shares.host_rest) == pytest.approx((0.25, 0.25))


def test_a_job_bound_to_cores_has_their_share_of_what_idleness_takes():
    whole = node(member(1, 10.0, cpus_allowed=4), load=Load.steady(10.0, 0.5))
    # s(0.5) = (1 - exp(-0.895)) / (1 - exp(-1.79)); idle part = 0.14 / (0.14 + 0.58 s)
    rise = (1 - math.exp(-1.79 * 0.5)) / (1 - math.exp(-1.79))
    idle = 0.14 / (0.14 + 0.58 * rise)
    assert idle_part(whole.load) == pytest.approx(idle)
    assert job_of(whole, boards()).cpu == pytest.approx(0.5 * idle + 0.25 * (1 - idle))
    assert job_of(whole, boards()).memory == pytest.approx(0.5)


def test_a_baseline_says_what_idleness_took():
    sensor = SensorUse(
        of=Description(name="rapl:0", part="cpu", kind="counter", unit="J"), total=Total(energy_j=1000.0)
    )
    whole = node(member(1, 10.0, cpus_allowed=4), sensors=[sensor], baseline={"rapl:0": 20.0})
    # idle: 20 W for 10 s of 1000 J = 0.2
    assert job_of(whole, boards()).cpu == pytest.approx(0.5 * 0.2 + 0.25 * 0.8)


def test_a_job_that_sees_two_of_four_accelerators_has_those():
    shares = job_of(node(member(1, 10.0, devices="0,1")), boards(1.0, 1.0, 1.0, 1.0))
    assert [shares.accelerators[f"accelerator:{i}"] for i in range(4)] == [1.0, 1.0, 0.0, 0.0]
    assert shares.host_rest == pytest.approx(0.5)


def test_ranks_bound_to_the_same_cores_share_them():
    ranks = [member(i, 1.0, cpus_allowed=4, cpu_list=[0, 3]) for i in (1, 2)]
    assert job_of(node(*ranks), boards()).memory == pytest.approx(0.5)  # 4 of 8, not 8 of 8
    other = member(3, 1.0, cpus_allowed=2, cpu_list=[3, 3, 6, 6])
    assert job_of(node(*ranks, other), boards()).memory == pytest.approx(5 / 8)  # 0 to 3 and 6


def test_a_container_that_may_take_two_of_eight_cpus_is_bound_to_them():
    group = {"id": "x", "is_job": False, "cpus": 2.0, "memory_bytes": None}
    ranks = [member(i, 1.0, group=group) for i in (1, 2)]
    assert job_of(node(*ranks), boards()).memory == pytest.approx(0.25)
    limited = {**group, "memory_bytes": 2**30}
    whole = replace(node(member(1, 1.0, group=limited)), facts=NodeFacts(memory_bytes=2**33))
    shares = job_of(whole, boards())
    assert (shares.memory, shares.host_rest) == pytest.approx((1 / 8, 0.25))  # 1 of 8 GiB, 2 of 8 CPUs


def test_all_of_a_schedulers_job_is_the_jobs_also_what_no_rank_started():
    group = {"id": "x", "is_job": True, "cpus": None, "memory_bytes": None}
    ranks = [member(i, 5.0, group=group) for i in (1, 2)]
    for rank in ranks:
        rank.group_s = 20.0  # of the same group: not added
    assert job_of(node(*ranks), boards()).cpu == pytest.approx(0.5)  # 20 of 40 s, where the trees took 10
    alone = member(3, 10.0)
    assert job_of(node(*ranks, alone), boards()).cpu == pytest.approx(0.75)


def sliced(*devices: str | None) -> NodeUse:
    of = Description(name="nvml:0", part="accelerator:0", kind="counter", unit="J", device_id="GPU-aaaa")
    members = [member(i, 1.0, devices=told) for i, told in enumerate(devices, 1)]
    use = node(*members, sensors=[SensorUse(of=of, total=Total())])
    return replace(use, slices={"nvml:0": {"MIG-x": 3 / 7, "MIG-y": 2 / 7}}, board_s={"nvml:0": {1: 1.0, 9: 9.0}})


@pytest.mark.parametrize(
    ("devices", "share"),
    [
        ("MIG-x", 3 / 7),
        ("MIG-y", 2 / 7),
        ("MIG-x,MIG-y", 5 / 7),
        ("MIG-z", 0.0),
        (None, 5 / 7),
        ("0:1", 5 / 7),
        ("1", 0),
    ],
)
def test_a_job_on_a_slice_has_its_share_of_the_board(devices, share):
    assert job_of(sliced(devices), boards(70.0)).accelerators == {"accelerator:0": pytest.approx(share)}


def test_ranks_on_slices_share_the_board_as_their_slices_do():
    whole = sliced("MIG-x", "MIG-y")
    assert job_of(whole, boards(70.0)).accelerators == {"accelerator:0": pytest.approx(5 / 7)}
    for stamp, share in (("1", 3 / 5), ("2", 2 / 5)):  # the shares of all ranks are the node
        assert rank_of(whole, boards(70.0), stamp).accelerators == {"accelerator:0": pytest.approx(share)}


def test_what_is_left_adds_up_to_the_whole():
    shares = job_of(node(member(1, 10.0, devices="1")), boards(1.0, 1.0))
    rest = shares.rest()
    for one, other in ((shares.cpu, rest.cpu), (shares.memory, rest.memory), (shares.host_rest, rest.host_rest)):
        assert one + other == pytest.approx(1.0)
    assert all(shares.accelerators[b] + rest.accelerators[b] == 1.0 for b in shares.accelerators)


def test_cpu_time_that_nobody_counted_is_this_jobs_with_a_note():
    shares = job_of(node(member(1, 10.0), busy_cpu_s=None), boards())
    assert shares.cpu == 1.0
    assert "not known" in shares.notes[0]


def test_a_tree_is_counted_once():
    parent, child, grandchild = member(1, 30.0), member(2, 12.0, [1]), member(3, 5.0, [2, 1])
    members = [parent, child, grandchild]
    assert topmost(members) == [parent]
    assert own_cpu_s(parent, members) == pytest.approx(18.0)  # without the child's tree
    assert own_cpu_s(child, members) == pytest.approx(7.0)


def test_ranks_share_by_cpu_time_and_by_the_device_that_each_sees():
    one, two = member(1, 30.0, devices="0"), member(2, 10.0, devices="1")
    whole = node(one, two)
    first, second = (rank_of(whole, boards(5.0, 3.0), stamp) for stamp in ("1", "2"))
    assert first == Shares(
        accelerators={"accelerator:0": 1.0, "accelerator:1": 0.0}, cpu=0.75, memory=0.5, host_rest=0.5
    )
    assert second.cpu == 0.25
    assert second.accelerators == {"accelerator:0": 0.0, "accelerator:1": 1.0}
    assert rank_of(whole, boards(), "unknown") is None


def test_ranks_that_all_see_all_devices_have_equal_parts_of_each():
    whole = node(member(1, 1.0), member(2, 1.0))
    assert rank_of(whole, boards(8.0), "1").accelerators == {"accelerator:0": 0.5}


def test_a_watcher_is_no_rank():
    whole = node(member(1, 5.0, role="watcher"), member(2, 4.0, [1]))
    assert rank_of(whole, boards(), "2").cpu == 1.0
    assert rank_of(whole, boards(), "1") is None


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (None, True),
        ("all", True),
        ("0,2", True),
        ("1", False),
        ("", False),
        ("-1", False),
        ("void", False),
        ("GPU-abc", True),
        ("GPU-abcdef,GPU-1", True),
        ("GPU-f", False),
        ("MIG-GPU-1/2/3", True),
    ],
)
def test_visible_devices(devices, expected):
    of = Description(name="nvml:2", part="accelerator:2", kind="counter", unit="J", device_id="GPU-abcdef")
    whole = node(member(1, 1.0, devices=devices), sensors=[SensorUse(of=of, total=Total())])
    assert sees(whole.members[0], "accelerator:2", whole) is expected


def mixed(told: dict[str, str], *names: str) -> list[int]:
    """The numbers of the boards that a process sees, of a machine with these drivers' boards in their order."""
    ids = {"nvml": "GPU-n", "amdsmi": "aaaa-", "hwmon": "", "own": ""}
    of = [
        Description(name=name, part=f"accelerator:{i}", kind="counter", unit="J",
                    device_id=f"{ids[name.partition(':')[0]]}{i}")
        for i, name in enumerate(names)
    ]  # fmt: skip
    whole = node(member(1, 1.0, visible=told), sensors=[SensorUse(of=one, total=Total()) for one in of])
    return [i for i in range(len(of)) if sees(whole.members[0], f"accelerator:{i}", whole)]


BOTH = ("nvml:0", "nvml:1", "amdsmi:0", "amdsmi:1")  # the node counts them on: 2 and 3 are AMD's 0 and 1
AMDS = ("amdsmi:0", "amdsmi:1", "amdsmi:2", "amdsmi:3")


@pytest.mark.parametrize(
    ("told", "names", "seen"),
    [
        ({}, BOTH, [0, 1, 2, 3]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, BOTH, [1]),  # a program for CUDA: AMD's are not its
        ({"HIP_VISIBLE_DEVICES": "0"}, BOTH, [2]),  # AMD's first is not NVIDIA's first
        ({"ROCR_VISIBLE_DEVICES": "1"}, BOTH, [3]),
        ({"CUDA_VISIBLE_DEVICES": "2"}, BOTH, []),  # NVIDIA has no third
        ({"CUDA_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "1"}, BOTH, [0, 3]),
        ({"CUDA_VISIBLE_DEVICES": ""}, BOTH, [2, 3]),  # "not NVIDIA's" says nothing of AMD's
        ({"HIP_VISIBLE_DEVICES": "-1", "CUDA_VISIBLE_DEVICES": "GPU-n1"}, BOTH, [1]),
        ({"ROCR_VISIBLE_DEVICES": "aaaa-3"}, BOTH, [3]),
        ({"HIP_VISIBLE_DEVICES": "1"}, ("nvml:0", "nvml:1"), [0, 1]),  # of nothing that is here
        ({"CUDA_VISIBLE_DEVICES": "1"}, AMDS, [1]),  # HIP obeys it too
        ({"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "2"}, AMDS, [2]),  # but its own first
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, AMDS, [3]),  # the second of what ROCr left
        ({"ROCR_VISIBLE_DEVICES": "3,0", "CUDA_VISIBLE_DEVICES": "0"}, AMDS, [3]),
        ({"ROCR_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": "1"}, AMDS, []),
        ({"CUDA_VISIBLE_DEVICES": ""}, ("hwmon:xe-0",), [0]),
        ({"CUDA_VISIBLE_DEVICES": "0"}, ("nvml:0", "hwmon:xe-0"), [0]),
        ({"HIP_VISIBLE_DEVICES": "0"}, ("nvml:0", "hwmon:amdgpu-0"), [1]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ("nvml:0", "own:plug"), [1]),  # the user's meter of a board of the only make
    ],
)
def test_a_variable_selects_boards_of_its_own_make(told, names, seen):
    assert mixed(told, *names) == seen


@pytest.mark.parametrize(("devices", "share"), [("0", 0.5), ("1", 0.5), ("0,1", 1.0), ("2", 0.0), (None, 1.0)])
def test_a_job_on_one_die_of_two_has_half_of_their_package(devices, share):
    """The second die too, though the package's number is the first one's."""
    covers = ("accelerator:0", "accelerator:1")
    of = Description(name="amdsmi:0", part="accelerator:0", kind="counter", unit="J", covers=covers)
    whole = node(member(1, 1.0, devices=devices), sensors=[SensorUse(of=of, total=Total())])
    assert job_of(whole, boards(5.0)).accelerators == {"accelerator:0": share}


def test_two_dies_of_a_package_are_one_accelerator_of_the_tables():
    covers = ("accelerator:0", "accelerator:1")
    of = Description(name="amdsmi:0", part="accelerator:0", kind="counter", unit="J", covers=covers)
    total = Total(energy_j=5.0, low_j=5.0, high_j=5.0, measured_j=5.0, measured_s=1.0)
    whole = node(member(1, 1.0), sensors=[SensorUse(of=of, total=total)])
    use = shared_use(whole, accelerators_in(parts_of([(of, total)])[0]), Shares())
    assert use.accelerator_hours == pytest.approx(whole.lasted_s / 3600)


def test_a_board_that_others_use_too_goes_by_the_time_that_the_driver_counted():
    one, two = member(1, 1.0), member(2, 1.0)
    one.pids, two.pids = frozenset({1, 11}), frozenset({2})
    of = Description(name="nvml:0", part="accelerator:0", kind="counter", unit="J")
    whole = replace(
        node(one, two, sensors=[SensorUse(of=of, total=Total())]), board_s={"nvml:0": {11: 30.0, 2: 10.0, 99: 60.0}}
    )
    assert job_of(whole, boards(5.0)).accelerators == {"accelerator:0": pytest.approx(0.4)}  # 40 of 100 s
    assert rank_of(whole, boards(5.0), "1").accelerators == {"accelerator:0": pytest.approx(0.75)}  # 30 of 40 s
    assert rank_of(whole, boards(5.0), "2").accelerators == {"accelerator:0": pytest.approx(0.25)}


def test_the_reader_asks_the_driver_whose_time_a_board_had(monkeypatch):
    class Users:
        def __init__(self, index: int) -> None:
            assert index == 3

        def read(self) -> tuple[User, ...]:
            return (User(11, 1, 0.75), User(99, 1, 0.25))

        def close(self) -> None:
            pass

    now = [0.0]
    monkeypatch.setattr("tonne.measure.sensors.users.BoardUsers", Users)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    use = BoardUse()
    use.open(["rapl:0", "nvml:3"])
    use.saw({11, 12})
    assert use.lines() == [{"kind": "pids", "pids": [11, 12]}]
    now[0] = 4.0
    assert use.lines() == []  # it is asked every five seconds
    use.saw({11, 13})
    assert use.lines() == [{"kind": "pids", "pids": [13]}]  # those that are new
    now[0] = 8.0
    assert use.lines() == [{"kind": "boards", "seconds": {"nvml:3": {11: 6.0, 99: 2.0}}}]
    use.close()


def test_boards_without_a_sensor_count_once_and_by_their_names():
    """Two readers told of board 1, in words of their own; of board 0 the second had a sensor."""
    of = Description(name="nvml:0", part="accelerator:0", kind="counter", unit="J", device="NVIDIA H100 80GB HBM3")
    total = Total(energy_j=300.0, low_j=300.0, high_j=300.0, measured_j=300.0, measured_s=1.0)
    seen = node(member(1, 1.0), sensors=[SensorUse(of=of, total=total)])
    missing = [
        Missing(f"accelerator:{i}", why, "", of.device) for i, why in ((0, "lost"), (1, "lost"), (1, "still lost"))
    ]
    use = shared_use(replace(seen, missing=tuple(missing)), accelerators_in(parts_of([(of, total)])[0]), Shares())
    hours = seen.lasted_s / 3600
    assert use.accelerator_hours == pytest.approx(2 * hours)
    assert use.energy.accelerators_kwh.value == pytest.approx(300.0 / 3.6e6 + 0.88 * 0.7 * hours)
    assert use.devices == (of.device, of.device)
    assert len([note for note in use.notes if "is not measured" in note]) == 1


def test_account_says_that_own_meters_are_not_in_it():
    seen = replace(node(member(1, 1.0)), missing=(Missing("own meters", "m.toml cannot be read.", "correct m.toml"),))
    assert "own meters are not read: m.toml cannot be read.; correct m.toml" in shared_use(seen, {}, Shares()).notes


def test_accelerators_and_total_are_unknown_where_no_sensor_was_opened():
    use = shared_use(node(member(1, 0.0)), {}, Shares())  # neither a sensor nor a part said to have none
    parts = (use.energy.accelerators_kwh, use.energy.host_rest_kwh, use.energy.servers_kwh, use.energy.measured_kwh)
    assert parts == (None, None, None, None)
    assert use.energy.cpu_kwh is None or use.energy.cpu_kwh.basis == "assumed"  # a model's
    assert NOT_LOOKED_FOR in use.notes
