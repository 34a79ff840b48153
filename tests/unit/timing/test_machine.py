"""What a machine could do, from the tables: peaks, links, network and how many links join."""

from __future__ import annotations

import pytest

from tonne.describe.hardware import Cluster
from tonne.timing.machine import machine_notes, machine_of


def machine(name, precision="bf16", **own):
    found = machine_of(Cluster(accelerator=name, **own), precision)
    assert found is not None
    return found


def test_a100_of_a_dgx():
    # NVIDIA's data sheet: 312 TFLOP/s, 2039 GB/s, NVLink 600 GB/s both ways; DGX A100: 8 ports of 200 Gbit/s
    a100 = machine("A100-80GB")
    assert (a100.peak_flop_per_s, a100.peak_16_bit_flop_per_s) == (312e12, 312e12)
    assert (a100.memory_bytes_per_s, a100.link_bytes_per_s, a100.network_bytes_per_s) == (2039e9, 300e9, 25e9)
    assert (a100.domain, a100.matrix_width_bytes, a100.host_beside) == (8, 2, 1)
    assert (a100.vector_flop_per_s, a100.ultra) == (19.5e12, 0)


def test_h100_in_8_bits_has_twice_the_peak_and_half_the_width():
    # 989.4 and 1978.9 TFLOP/s dense, 900 GB/s both ways; DGX H100: 8 ports of 400 Gbit/s
    h100 = machine("H100", "fp8")
    assert h100.peak_flop_per_s == pytest.approx(2 * h100.peak_16_bit_flop_per_s, rel=1e-3)
    assert h100.peak_16_bit_flop_per_s == pytest.approx(989.4e12)
    assert (h100.link_bytes_per_s, h100.network_bytes_per_s, h100.matrix_width_bytes) == (450e9, 50e9, 1)


def test_a_rack_of_72_is_one_domain_however_many_stand_in_a_tray():
    for own in ({}, {"accelerators_per_node": 4}):
        gb200 = machine("GB200", "fp4", **own)
        assert (gb200.domain, gb200.link_bytes_per_s, gb200.network_bytes_per_s) == (72, 900e9, 50e9)
        assert (gb200.matrix_width_bytes, gb200.host_beside) == (0.5, 0)


@pytest.mark.parametrize(("name", "ultra"), [("B200", 0), ("GB200", 0), ("B300", 1), ("GB300", 1)])
def test_blackwell_ultra(name, ultra):
    assert machine(name).ultra == ultra


def test_grace_shares_the_module():
    assert machine("GH200").host_beside == 0


def test_what_the_plan_says_of_servers_and_network_counts():
    given = machine("H100", accelerators_per_node=4, network_gbit_per_s=100)
    assert (given.domain, given.network_bytes_per_s) == (4, 12.5e9)


def test_a_chip_with_slower_links_stands_in_the_same_servers():
    # H800: 400 GB/s both ways, the network of an H100's server
    h800 = machine("H800", "bf16")
    assert (h800.link_bytes_per_s, h800.network_bytes_per_s) == (200e9, 50e9)


def test_a_bridge_joins_two_cards():
    card = machine("A100 PCIe 80GB")
    assert (card.domain, card.link_bytes_per_s) == (2, 300e9)


def test_32_bit_numbers_are_four_bytes():
    tf32 = machine("A100-80GB", "tf32")
    assert (tf32.peak_flop_per_s, tf32.matrix_width_bytes) == (156e12, 4)
    assert tf32.peak_16_bit_flop_per_s == 312e12


def test_the_maker_s_server_stands_for_chips_that_were_sold_in_it():
    # DGX-1: eight V100 of 16 or 32 GB, four ports of 100 Gbit/s; not the 25 Gbit/s of a cloud's server
    for name in ("V100-SXM2-16GB", "V100-SXM2-32GB", "P100 SXM2"):
        assert machine(name, "fp16").network_bytes_per_s == 400e9 / 8 / 8
    assert machine("MI325X").network_bytes_per_s == machine("MI300X").network_bytes_per_s == 50e9


def test_links_of_a_tpu_reach_through_its_pod():
    # Jouppi et al. 2020 and 2023: 1,024 chips of v3, 4,096 of v4; 656 GB/s of links both ways
    assert (machine("TPU v3").domain, machine("TPU v4").domain, machine("TPU v5e").domain) == (1024, 4096, 256)
    assert machine("TPU v3").link_bytes_per_s == 328e9


def test_a_workstation_does_not_say_how_many_cards_a_server_holds():
    # RTX 4090: PCIe 4.0, 64 GB/s both ways; the tables show workstations of one and two
    card = machine("RTX 4090", accelerators=8)
    assert (card.domain, card.link_bytes_per_s, card.network_bytes_per_s) == (8, 32e9, 12.5e9)


def test_what_is_assumed_of_links_and_network_is_said():
    assert machine_notes(Cluster(accelerator="RTX 4090", accelerators=8)) == ()
    (note,) = machine_notes(Cluster(accelerator="RTX 4090", accelerators=16))
    assert "100 Gbit/s for each is assumed" in note
    assert machine_notes(Cluster(accelerator="RTX 4090", accelerators=16, network_gbit_per_s=25)) == ()
    assert machine_notes(Cluster(accelerator="H100", accelerators=1024)) == ()


def test_links_that_the_table_lacks_are_those_of_pcie(monkeypatch):
    import dataclasses

    cluster = Cluster(accelerator="A100-80GB", accelerators=8)
    monkeypatch.setattr(Cluster, "record", dataclasses.replace(cluster.record, interconnect_gb_s_bidirectional=None))
    assert machine_of(cluster, "bf16").link_bytes_per_s == 32e9  # PCIe 4.0: 64 GB/s both ways
    (note,) = machine_notes(cluster)
    assert "PCIe of 64 GB/s both ways is assumed" in note


def test_memory_on_the_chip_holds_no_model():
    assert machine_of(Cluster(accelerator="cerebras-wse2"), "bf16") is None


@pytest.mark.parametrize("column", ["memory_bandwidth_gb_s", "peak_dense_tflop_per_s"])
def test_what_the_tables_do_not_know_makes_no_machine(column, monkeypatch):
    import dataclasses

    cluster = Cluster(accelerator="A100-80GB")
    unknown = {} if column == "peak_dense_tflop_per_s" else None
    record = dataclasses.replace(cluster.record, **{column: unknown})
    monkeypatch.setattr(Cluster, "record", record)
    assert machine_of(cluster, "bf16") is None
