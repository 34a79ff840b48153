"""What a machine could do at best: peaks, memory, links and network of one accelerator of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.describe.hardware import Cluster
from tonne.reference.accelerators import AcceleratorRecord
from tonne.reference.nodes import NodeRecord, nodes_with
from tonne.reference.step_constants import step_constant

BYTES_PER_GB = 1e9
BITS_PER_BYTE = 8
FLOP_PER_TFLOP = 1e12
BRIDGE, BRIDGED = "NVLink bridge", 2  # joins two cards
SAME_SERVERS = {  # sold in the servers of another
    "nvidia-a800-sxm4-80gb": "nvidia-a100-sxm4-80gb",
    "nvidia-h800-sxm5-80gb": "nvidia-h100-sxm5-80gb",
    "nvidia-h20-96gb": "nvidia-h100-sxm5-80gb",
    "nvidia-b100": "nvidia-b200-sxm",
    "nvidia-p100-sxm2": "nvidia-v100-sxm2-32gb",
    "nvidia-v100-sxm2-16gb": "nvidia-v100-sxm2-32gb",
    "amd-mi325x": "amd-mi300x",
    "amd-mi350x": "amd-mi355x",
}
GRACE = ("nvidia-gh", "nvidia-gb")
PODS = "ICI"  # links of a TPU that reach through all of its pod
CARDS = ("PCIe", BRIDGE)  # a workstation in the tables does not say how many of these one server holds
ON_CHIP = "SRAM"  # memory that holds no model: weights stream from outside, which the tables do not describe
ULTRA = ("nvidia-b300", "nvidia-gb300")  # Blackwell Ultra: more watts for the same nominal 16-bit and 8-bit peaks
LOW_PRECISIONS = {"fp8": 1.0, "fp4": 0.5}
SPARE_PEAKS = {
    "fp32": ("fp32",),
    "tf32": ("tf32", "fp32"),
    "bf16": ("bf16", "fp16"),
    "fp16": ("fp16", "bf16"),
    "fp8": ("fp8", "bf16", "fp16"),
    "fp4": ("fp4", "fp8", "bf16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One accelerator: nominal rates, one direction where there are two.

    ``domain``: accelerators joined by fast links. ``host_beside``: 1 where the processor sits behind PCIe, 0 where it
    shares the accelerator's module (Grace). ``vector_flop_per_s``: 32-bit, what is no matrix product. ``ultra``: 1 for
    Blackwell Ultra.
    """

    peak_flop_per_s: float
    peak_16_bit_flop_per_s: float
    vector_flop_per_s: float
    memory_bytes_per_s: float
    link_bytes_per_s: float
    network_bytes_per_s: float
    domain: float
    matrix_width_bytes: float
    host_beside: float
    ultra: float


def machine_of(cluster: Cluster, precision: str) -> Machine | None:
    """The machine of a cluster at a precision; None where the tables lack peak or memory, or that is on the chip."""
    record = cluster.record
    peaks = record.peak_dense_tflop_per_s
    peak = next((peaks[p] for p in SPARE_PEAKS[precision] if p in peaks), None)
    plain = next((peaks[p] for p in SPARE_PEAKS["bf16"] if p in peaks), peak)
    if peak is None or plain is None or record.memory_bandwidth_gb_s is None or ON_CHIP in record.memory_type:
        return None
    node = _node(record)
    return Machine(
        peak_flop_per_s=peak * FLOP_PER_TFLOP,
        peak_16_bit_flop_per_s=plain * FLOP_PER_TFLOP,
        vector_flop_per_s=peaks.get("fp32", plain * step_constant("vector_share_of_peak")) * FLOP_PER_TFLOP,
        memory_bytes_per_s=record.memory_bandwidth_gb_s * BYTES_PER_GB,
        link_bytes_per_s=_link_gb_per_s(record) / 2 * BYTES_PER_GB,
        network_bytes_per_s=_network_gbit_per_s(cluster, node) / BITS_PER_BYTE * BYTES_PER_GB,
        domain=_domain(cluster, node),
        matrix_width_bytes=4.0 if precision in {"fp32", "tf32"} else LOW_PRECISIONS.get(precision, 2.0),
        host_beside=float(not record.id.startswith(GRACE)),
        ultra=float(record.id.startswith(ULTRA)),
    )


def machine_notes(cluster: Cluster) -> tuple[str, ...]:
    """What is assumed of a cluster's links and network because the tables do not show it."""
    record, notes = cluster.record, []
    domain, number = _domain(cluster, _node(record)), cluster.accelerators
    if not record.interconnect_gb_s_bidirectional and domain > 1:
        link = step_constant("link_gb_per_s_bidirectional")
        notes.append(f"the table has no links of {record.id}: PCIe of {link:g} GB/s both ways is assumed.")
    alone = _node(record) is None and cluster.network_gbit_per_s is None
    if alone and isinstance(number, int) and number > domain:
        rate = step_constant("network_gbit_per_s")
        notes.append(
            f"the table shows no server's network for {record.id}: {rate:g} Gbit/s for each is assumed. Give "
            f"[cluster] network_gbit_per_s."
        )
    return tuple(notes)


def _link_gb_per_s(record: AcceleratorRecord) -> float:
    """Links of one accelerator, both ways [GB/s]; PCIe where the table has none."""
    return record.interconnect_gb_s_bidirectional or step_constant("link_gb_per_s_bidirectional")


def _node(record: AcceleratorRecord) -> NodeRecord | None:
    """The maker's own server with the accelerator, where there is one: the first in the table with a network."""
    stands_for = SAME_SERVERS.get(record.id, record.id)
    known = [n for n in nodes_with(stands_for) if n.nic_gbit_per_s and n.accelerators]
    if record.interconnect.startswith(CARDS):
        known = [n for n in known if n.provider != "local"]
    return known[0] if known else None


def _network_gbit_per_s(cluster: Cluster, node: NodeRecord | None) -> float:
    """Network of one accelerator [Gbit/s]."""
    if cluster.network_gbit_per_s is not None:
        return cluster.network_gbit_per_s
    if node is None or node.nic_gbit_per_s is None or not node.accelerators:
        return step_constant("network_gbit_per_s")
    return node.nic_gbit_per_s / node.accelerators


def _domain(cluster: Cluster, node: NodeRecord | None) -> float:
    """Accelerators joined by fast links: a server, or the rack where the links leave the server."""
    if BRIDGE in cluster.record.interconnect:
        return float(BRIDGED)
    if cluster.record.interconnect == PODS:
        pods = [n.accelerators for n in nodes_with(cluster.record.id) if n.accelerators]
        return float(max(pods, default=cluster.accelerators_per_node))
    given = "accelerators_per_node" in cluster.model_fields_set
    if node is not None and node.accelerators and (not given or node.accelerators > 16):  # a rack
        return float(node.accelerators)
    return float(cluster.accelerators_per_node)
