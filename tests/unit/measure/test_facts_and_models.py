"""What a machine is, and the models of what has no sensor; expected values are worked out beside each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tonne.estimate import Basis, Estimate
from tonne.measure.environment import Roots
from tonne.measure.facts import NodeFacts, node_facts
from tonne.measure.models.board import board_energy_j
from tonne.measure.models.cpu import (
    calibrated_machine_factor,
    cpu_energy_j,
    cpu_power_w,
    curve,
    design_power,
    guest_rise,
)
from tonne.measure.models.host import rest_energy_j, rest_of_machine_j
from tonne.measure.models.load import CpuTimes, Load, cpu_times, utilisation
from tonne.measure.models.memory import memory_energy_j, memory_power_w

EPYC = "AMD EPYC 7763 64-Core Processor"  # 280 W, 64 cores, 128 threads
CPUINFO = """processor\t: {0}
model name\t: AMD EPYC 7763 64-Core Processor
physical id\t: {1}
flags\t\t: fpu vme{2}

"""


def machine(tmp_path, *, flags="", edac=True):
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    (proc / "self").mkdir(parents=True)
    (proc / "cpuinfo").write_text("".join(CPUINFO.format(i, i // 2, flags) for i in range(4)))
    (proc / "meminfo").write_text("MemTotal:       131072 kB\nMemFree: 1 kB\n")
    (proc / "stat").write_text("cpu  100 20 30 800 50 5 5 7 60 0\ncpu0 1 2 3\n")
    for number, size in enumerate([16384, 0, 16384] if edac else []):
        folder = sys / f"devices/system/edac/mc/mc0/dimm{number}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{size}\n")
    return proc, sys


def test_facts_of_a_machine(tmp_path, bare):
    proc, sys = machine(tmp_path)
    facts = node_facts(replace(bare, proc=proc, sys=sys))
    assert facts == NodeFacts(cpu=EPYC, sockets=2, threads=4, memory_bytes=134_217_728, modules=2)
    assert NodeFacts.from_dict({**facts.as_dict(), "of_a_later_version": 1}) == facts


def test_virtual_machines_and_containers_are_known_as_such(tmp_path, bare):
    proc, sys = machine(tmp_path, flags=" hypervisor", edac=False)
    (proc / "self/cgroup").write_text("0::/kubepods/burstable/pod1\n")
    facts = node_facts(replace(bare, proc=proc, sys=sys))
    assert (facts.virtual, facts.container, facts.modules) == (True, True, None)


def test_facts_of_a_machine_that_tells_nothing(bare):
    facts = node_facts(bare)
    assert (facts.cpu, facts.memory_bytes, facts.sockets) == ("", 0, 1)
    assert facts.threads >= 1


def test_memory_without_the_files_of_linux(monkeypatch):
    monkeypatch.setattr("tonne.measure.facts._text", lambda path: "")
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 16384}
    monkeypatch.setattr("tonne.measure.facts.os.sysconf", pages.__getitem__)
    assert node_facts(Roots()).memory_bytes == 16_384_000


def test_busy_and_idle_time(tmp_path, monkeypatch):
    proc, _ = machine(tmp_path)
    monkeypatch.setattr("tonne.measure.models.load.os.sysconf", lambda name: 100)
    times = cpu_times(proc)
    assert times == CpuTimes(busy_s=1.6, idle_s=8.5)  # 100+20+30+5+5 and 800+50 ticks of 10 ms
    assert utilisation(times, CpuTimes(2.6, 9.5)) == 0.5
    assert utilisation(times, times) is None
    assert cpu_times(tmp_path / "nowhere") is None


def test_load_keeps_time_by_utilisation():
    load = Load()
    for share in (0.0, 0.51, 0.53, 1.0):
        load.add(10.0, share)
    assert load.shares() == [(10.0, 0.0), (20.0, pytest.approx(0.52)), (10.0, 1.0)]
    assert load.time_s == 40.0
    assert Load.from_dict(load.as_dict()) == load


def test_curve_of_a_processor_runs_from_idle_to_full():
    assert curve(0.0, 1.79) == 0.0
    assert curve(1.0, 1.79) == 1.0
    assert curve(0.5, 1.79) == pytest.approx((1 - math.exp(-0.895)) / (1 - math.exp(-1.79)))
    assert cpu_power_w(200.0, 1.0, 1.0, 0.14, 0.58) == pytest.approx(144.0)  # 200 x 0.72
    assert cpu_power_w(200.0, 0.0, 1.5, 0.14, 0.58) == pytest.approx(42.0)  # 200 x 1.5 x 0.14


def test_guest_has_its_share_of_its_hosts_rise():
    assert guest_rise(0.5, 0.5, 1.79) == curve(0.5, 1.79)
    assert guest_rise(0.25, 0.5, 1.79) == curve(0.5, 1.79) / 2


def test_two_idle_processors_draw_their_idle_power():
    facts = NodeFacts(cpu=EPYC, sockets=2, threads=256)
    energy, note = cpu_energy_j(facts, Load.steady(100.0, 0.0), 100.0)
    assert energy.value == pytest.approx(2 * 280 * 0.14 * 100)
    assert energy.low == pytest.approx(energy.value * 0.553)
    assert energy.high == pytest.approx(energy.value * 1.808)
    assert energy.basis == Basis.MODELLED
    assert note == "processor AMD EPYC 7763: 280 W of design power for each of 2"


def test_processor_that_nobody_looked_at_has_the_whole_spread_of_loads():
    facts = NodeFacts(cpu=EPYC, sockets=1, threads=128)
    looked, _ = cpu_energy_j(facts, Load.steady(10.0, 0.5), 10.0)
    unseen, _ = cpu_energy_j(facts, None, 10.0)
    assert unseen.value == pytest.approx(looked.value)  # 0.5 is what machines have in the mean
    assert unseen.high > looked.high
    assert unseen.low < looked.low
    assert unseen.basis == Basis.ASSUMED


def test_virtual_machine_pays_for_its_threads():
    facts = NodeFacts(cpu=EPYC, sockets=2, threads=16, virtual=True)  # 16 of 128 threads: an eighth of 280 W
    energy, _ = cpu_energy_j(facts, Load.steady(1.0, 0.0), 1.0)
    assert energy.value == pytest.approx(35.0 * 0.14)
    assert design_power(facts).watts.value == 35.0


def test_unknown_processor_is_one_of_servers_by_the_thread():
    known = design_power(NodeFacts(cpu="QEMU Virtual CPU version 2.5+", threads=8))
    assert not known.known
    assert known.watts.basis == Basis.ASSUMED
    assert known.watts.low < known.watts.value < known.watts.high
    double = design_power(NodeFacts(cpu="QEMU Virtual CPU version 2.5+", threads=16))
    assert double.watts.value == 2 * known.watts.value
    assert "cpus.csv does not know the processor 'QEMU Virtual CPU version 2.5+'" in known.note


def test_machine_factor_from_one_reading():
    factor = calibrated_machine_factor(100.8, 1.0, 280.0)  # the curve says 280 x 0.72 = 201.6 W
    assert factor.value == pytest.approx(0.5)
    assert factor.low == pytest.approx(0.375)
    assert factor.high == pytest.approx(0.625)


def test_memory_draws_by_the_module():
    assert memory_power_w(32, 3.0) == 96.0
    energy, note = memory_energy_j(NodeFacts(modules=32, memory_bytes=1), 10.0)
    assert (energy.value, energy.low) == (960.0, pytest.approx(640.0))  # 3 W each, 2 W at the least
    assert energy.high == pytest.approx(2880.0)
    assert note == "memory: 32 modules of 3 W"


def test_memory_of_unknown_modules_is_in_modules_of_a_common_size():
    energy, _ = memory_energy_j(NodeFacts(memory_bytes=2**36), 1.0)  # 64 GiB
    assert energy.value == 6.0
    virtual, _ = memory_energy_j(NodeFacts(memory_bytes=2**34, virtual=True), 1.0)  # half of one
    assert virtual.value == 1.5
    real, _ = memory_energy_j(NodeFacts(memory_bytes=2**34), 1.0)  # a machine has one at the least
    assert real.value == 3.0
    assert memory_energy_j(NodeFacts(), 1.0)[0] is None


def test_rest_of_a_machine_without_accelerators():
    assert rest_of_machine_j(60.0, 1.0, 0.2, 100.0) == 80.0
    cpu = Estimate.exact(1000.0)
    energy, note = rest_energy_j(NodeFacts(threads=8), 10.0, [cpu], [cpu], [])
    assert energy.value == pytest.approx(60 * 10 + 0.2 * 1000)
    assert energy.basis == Basis.ASSUMED
    assert note == "rest of the host: 60 W and 20% of what is in it"
    guest, _ = rest_energy_j(NodeFacts(threads=8, virtual=True), 10.0, [cpu], [cpu], [])
    assert guest.value == pytest.approx(60 * 10 * 8 / 128 + 0.2 * 1000)


def test_rest_around_known_accelerators_is_their_servers_host_less_what_is_known_of_it():
    cpu, memory = Estimate.exact(200.0 * 10), Estimate.exact(100.0 * 10)
    energy, note = rest_energy_j(NodeFacts(), 10.0, [cpu, memory], [cpu, memory], ["NVIDIA H100 80GB HBM3"] * 8)
    assert energy.value == pytest.approx((8 * 300 - 200 - 100) * 10)  # 300 W for each H100, of the table
    assert note == "rest of the host: servers of NVIDIA H100 80GB HBM3, less processors and memory"
    busy = Estimate.exact(3000.0 * 10)
    least, _ = rest_energy_j(NodeFacts(), 10.0, [busy], [busy], ["NVIDIA H100 80GB HBM3"] * 8)
    assert least.value == pytest.approx(0.2 * 3000 * 10)  # never below what supplies lose


def test_board_without_a_sensor_draws_as_its_family_does():
    energy, note = board_energy_j("NVIDIA H100 80GB HBM3", 10.0)
    assert energy.value == pytest.approx(0.88 * 700 * 10)
    assert (energy.low, energy.high) == (pytest.approx(0.15 * 700 * 10), pytest.approx(0.96 * 700 * 10))
    assert energy.basis == Basis.ASSUMED
    assert note.startswith("accelerator NVIDIA H100 80GB HBM3: 88% of its 700 W")
    nothing, why = board_energy_j("a board of tomorrow", 10.0)
    assert nothing is None
    assert "no table knows it" in why


@pytest.mark.parametrize(
    ("maker", "product", "virtual"),
    [("Amazon EC2", "c7g.large", True), ("Amazon EC2", "c7g.metal", False), ("QEMU", "KVM Virtual Machine", True),
     ("Supermicro", "ARS-221GL-NHIR", False)],
)  # fmt: skip
def test_guest_on_a_processor_of_arm_is_known_by_its_board(tmp_path, maker, product, virtual):
    """A small guest must not be given the fans of a whole server."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nFeatures : fp asimd\n")
    board = tmp_path / "class/dmi/id"
    board.mkdir(parents=True)
    (board / "sys_vendor").write_text(f"{maker}\n")
    (board / "product_name").write_text(f"{product}\n")
    facts = node_facts(Roots(proc=tmp_path / "proc", sys=tmp_path))
    assert (facts.virtual, facts.has_counters) == (virtual, False)
