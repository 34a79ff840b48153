"""Power of what nothing reads in a node: board, disks, fans, network cards, and what supplies and converters lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate
from tonne.measure.facts import NodeFacts
from tonne.reference.accelerators import accelerator
from tonne.reference.measuring import measuring_constant
from tonne.reference.power import power_family


def rest_of_machine_j(base_j: float, share_of_machine: float, loss_fraction: float, inside_j: float) -> float:
    """Energy of a machine beside its processors, memory and boards.

    Equation: E_rest = f E_base + l E_inside.

    Args:
        base_j: Board, disks, fans and network, E_base [J].
        share_of_machine: Share of the machine that is ours, f [1]; below 1 in a virtual machine.
        loss_fraction: Lost by supply and converters, l [1].
        inside_j: Processors, memory and boards, E_inside [J].

    Returns:
        Energy [J].
    """
    return share_of_machine * base_j + loss_fraction * inside_j


def rest_energy_j(
    facts: NodeFacts, time_s: float, inside: Sequence[Estimate], hosts: Sequence[Estimate], devices: Sequence[str]
) -> tuple[Estimate, str]:
    """Energy of the rest of a node over a run, and a note on what it rests on.

    Around accelerators whose servers were measured it is what those servers' hosts draw, less processors and memory;
    elsewhere a base and a loss.

    Args:
        facts: The machine.
        time_s: How long the run was [s].
        inside: Energy of everything in the node that is known [J].
        hosts: Of this, processors and memory [J].
        devices: Names of its accelerators.

    Returns:
        Energy [J].
    """
    by_family = [_host_w(name) for name in devices]
    known = {f"host_{i}": estimate for i, estimate in enumerate(by_family) if estimate is not None}
    loss, base = measuring_constant("host_rest_fraction"), measuring_constant("host_rest_base_w")
    inputs = {"loss": loss, "base": base, **{f"inside_{i}": estimate for i, estimate in enumerate(inside)}}
    if devices and len(known) == len(devices):
        inputs = {"loss": loss, **known, **{f"part_{i}": estimate for i, estimate in enumerate(hosts)}}
        note = f"rest of the host: servers of {', '.join(dict.fromkeys(devices))}, less processors and memory"
    else:
        note = f"rest of the host: {base.value:g} W and {loss.value:.0%} of what is in it"
        if facts.virtual:
            inputs["threads"] = measuring_constant("host_threads")

    def energy(values: Mapping[str, float]) -> dict[str, float]:
        if known and "base" not in values:
            hosts_j = sum(values[name] for name in known) * time_s
            parts_j = sum(value for name, value in values.items() if name.startswith("part_"))
            return {"energy_j": max(hosts_j - parts_j, values["loss"] * parts_j)}
        share = min(facts.threads / values["threads"], 1.0) if "threads" in values else 1.0
        inside_j = sum(value for name, value in values.items() if name.startswith("inside_"))
        return {"energy_j": rest_of_machine_j(values["base"] * time_s, share, values["loss"], inside_j)}

    found = propagate(energy, inputs).outputs["energy_j"]
    assert found is not None
    return found, note


def _host_w(device: str) -> Estimate | None:
    """Power of the host for each accelerator of a family [W]; None where its servers were not measured."""
    try:
        family = power_family(accelerator(device).record.id)
    except UnknownReferenceError:
        return None
    if family.host_w is None or family.host_low is None or family.host_high is None:
        return None
    return Estimate(
        value=family.host_w,
        low=family.host_low,
        high=family.host_high,
        basis=Basis.ASSUMED if family.basis == "assumed" else Basis.MODELLED,
        sources=(family.source,),
    )
