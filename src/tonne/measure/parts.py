"""Energy of a node by part: what sensors read where there are any, models where there are none, nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.measure.choice import (
    Part,
    Read,
    accelerators_in,
    device_of,
    difference,
    parts_of,
    silent_accelerators,
    summed,
    together,
)
from tonne.measure.facts import NodeFacts
from tonne.measure.models.board import board_energy_j
from tonne.measure.models.cpu import cpu_energy_j
from tonne.measure.models.host import rest_energy_j
from tonne.measure.models.load import Load
from tonne.measure.models.memory import memory_energy_j
from tonne.measure.sensors.protocol import ACCELERATOR, CPU, HOST, MEMORY, NODE

JOULES_PER_KWH = 3.6e6
FITTED = " fitted to what the meter of the whole told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What was seen of one node over a time.

    Args:
        read: Its sensors and what each added up to.
        facts: What it is.
        load: How busy its processors were; None where nobody looked.
        time_s: How long [s].
        silent_accelerators: Names of accelerators without a sensor.
    """

    read: Sequence[Read]
    facts: NodeFacts
    load: Load | None
    time_s: float
    silent_accelerators: tuple[str, ...] = ()


def node_energy(node: Node) -> tuple[EnergyUse, tuple[str, ...]]:
    """Energy of a node by part, up to its servers' plugs, and notes on what was not measured.

    measured_kwh is what sensors read, no part of it twice, before any model; coverage is its share of the whole.
    """
    parts, notes = parts_of(node.read)
    boards, board_notes = _boards(node, parts)
    parts, contradictions = _without_contradictions(parts)
    inside, inside_notes = _processors_and_memory(node, parts)
    boards, boards_squeezed = _boards_that_fit(parts, boards, inside)
    hosts, rest, rest_notes = _hosts(node, parts, boards, inside)
    inside, squeezed = _fitting(inside, hosts, rest)
    servers = _servers(parts, boards, hosts)
    energies = {CPU: inside.get(CPU), MEMORY: inside.get(MEMORY)}
    measured = _measured(parts)
    return EnergyUse(
        accelerators_kwh=_kwh(boards),
        cpu_kwh=_kwh(energies[CPU]),
        memory_kwh=_kwh(energies[MEMORY]),
        host_rest_kwh=_kwh(rest),
        hosts_kwh=_kwh(hosts),
        servers_kwh=_kwh(servers),
        measured_kwh=_kwh(measured),
        coverage=None if servers is None or not servers.value else min(measured.value / servers.value, 1.0),
    ), (*notes, *board_notes, *contradictions, *inside_notes, *boards_squeezed, *rest_notes, *squeezed)


def _kwh(energy_j: Estimate | None) -> Estimate | None:
    if energy_j is None:
        return None
    return Estimate(
        value=energy_j.value / JOULES_PER_KWH,
        low=energy_j.low / JOULES_PER_KWH,
        high=energy_j.high / JOULES_PER_KWH,
        basis=energy_j.basis,
        sources=energy_j.sources,
    )


def _boards(node: Node, parts: dict[str, Part]) -> tuple[Estimate | None, list[str]]:
    """Energy of all accelerators [J]: zero where there are none, None where one of them cannot be known."""
    energies = {name: part.energy_j for name, part in accelerators_in(parts).items()}
    notes: list[str] = []
    silent = [*node.silent_accelerators, *silent_accelerators(node.read, parts).values()]
    for number, device in enumerate(silent):
        energy, note = board_energy_j(device, node.time_s)
        notes.append(note)
        if energy is None:
            return None, notes
        energies[f"silent {number}"] = energy
    if not energies:
        return Estimate.exact(0.0, source="no accelerator"), notes
    return together(energies), notes


def _without_contradictions(parts: dict[str, Part]) -> tuple[dict[str, Part], list[str]]:
    """The parts without a meter that says less than what is inside it: it is not set up, or covers something else."""
    kept, notes = dict(parts), []
    for name in (HOST, NODE):
        if name not in kept:
            continue
        hosts_j = max(_least_j(kept, CPU) + _least_j(kept, MEMORY), 0.0 if name == HOST else _least_j(kept, HOST))
        inside_j = hosts_j + (_least_j(kept, *accelerators_in(kept)) if name == NODE else 0.0)
        if kept[name].energy_j.high < inside_j:
            told_kwh, inside_kwh = kept[name].energy_j.value / JOULES_PER_KWH, inside_j / JOULES_PER_KWH
            notes.append(
                f"{', '.join(kept[name].sensors)} told {told_kwh:.3g} kWh of the whole {name}, less than the "
                f"{inside_kwh:.3g} kWh that sensors told of its parts: left out"
            )
            del kept[name]
    return kept, notes


def _least_j(parts: dict[str, Part], *names: str) -> float:
    """The low end of what sensors told of some parts [J]."""
    return float(sum(parts[name].energy_j.low for name in names if name in parts))


def _processors_and_memory(node: Node, parts: dict[str, Part]) -> tuple[dict[str, Estimate], list[str]]:
    """Energy of processors and of memory [J]; memory is absent where the processors' sensor holds it."""
    found, notes = {}, []
    if CPU in parts:
        found[CPU] = parts[CPU].energy_j
    else:
        found[CPU], note = cpu_energy_j(node.facts, node.load, node.time_s)
        notes.append(note)
    holds_both = CPU in parts and MEMORY in parts[CPU].covers
    if MEMORY in parts:
        found[MEMORY] = parts[MEMORY].energy_j
        found[CPU] = difference(found[CPU], {MEMORY: found[MEMORY]}) if holds_both else found[CPU]
    elif holds_both:
        notes.append("the sensor of the processors holds the memory")
    else:
        energy, note = memory_energy_j(node.facts, node.time_s)
        notes.append(note)
        if energy is not None:
            found[MEMORY] = energy
    return found, notes


def _boards_that_fit(
    parts: dict[str, Part], boards: Estimate | None, inside: dict[str, Estimate]
) -> tuple[Estimate | None, list[str]]:
    """Energy of all accelerators [J], made smaller where a model of some says more than a meter of the whole leaves."""
    if NODE not in parts or boards is None or boards.basis == Basis.MEASURED:
        return boards, []
    whole = parts[NODE].energy_j
    hosts_j = parts[HOST].energy_j.value if HOST in parts else sum(energy.value for energy in inside.values())
    read_j = sum(part.energy_j.value for part in accelerators_in(parts).values())
    most_j = max(whole.value - hosts_j, read_j)
    if boards.value <= most_j:
        return boards, []
    return _scaled(boards, most_j / boards.value, whole.high), ["modelled accelerators" + FITTED]


def _hosts(
    node: Node, parts: dict[str, Part], boards: Estimate | None, inside: dict[str, Estimate]
) -> tuple[Estimate, Estimate, list[str]]:
    """Energy of the host without accelerators, and of its rest [J].

    What a meter of the whole reads is divided among the parts, so that they add up to it; `psys` knows nothing of fans
    and supplies, and tells of the host where nothing tells of the whole.
    """
    if NODE in parts and boards is not None:
        hosts = difference(parts[NODE].energy_j, {"boards": boards})
        return hosts, difference(hosts, inside), []
    if HOST in parts:
        hosts = parts[HOST].energy_j
        return hosts, difference(hosts, inside), []
    told = dict.fromkeys(d.part for d, _ in node.read if d.part.startswith(ACCELERATOR))
    devices = [device_of(node.read, part) for part in told] + list(node.silent_accelerators)
    known = [*inside.values(), *([boards] if boards is not None and boards.value else [])]
    rest, note = rest_energy_j(node.facts, node.time_s, known, list(inside.values()), devices)
    return summed({**inside, "rest": rest}), rest, [note]


def _fitting(inside: dict[str, Estimate], hosts: Estimate, rest: Estimate) -> tuple[dict[str, Estimate], list[str]]:
    """Modelled processors and memory, made smaller where they say more than the whole host that was measured."""
    modelled = {name: energy for name, energy in inside.items() if energy.basis in {Basis.MODELLED, Basis.ASSUMED}}
    over_j = sum(energy.value for energy in inside.values()) + rest.value - hosts.value
    modelled_j = sum(energy.value for energy in modelled.values())
    if over_j <= 1e-9 * hosts.value or not modelled_j:
        return inside, []
    factor = max(1 - over_j / modelled_j, 0.0)
    smaller = {name: _scaled(energy, factor, hosts.high) for name, energy in modelled.items()}
    return {**inside, **smaller}, [f"modelled {' and '.join(modelled)}{FITTED}"]


def _scaled(energy_j: Estimate, factor: float, most_j: float) -> Estimate:
    value = energy_j.value * factor
    low, high = min(energy_j.low, value), max(min(energy_j.high, most_j), value)
    return Estimate(value=value, low=low, high=high, basis=energy_j.basis, sources=energy_j.sources)


def _servers(parts: dict[str, Part], boards: Estimate | None, hosts: Estimate) -> Estimate | None:
    if NODE in parts:
        return parts[NODE].energy_j
    return None if boards is None else summed({"boards": boards, "hosts": hosts})


def _measured(parts: dict[str, Part]) -> Estimate:
    """What sensors read of the node, nothing twice [J]."""
    if NODE in parts:
        chosen = [parts[NODE]]
    else:
        inside = [name for name in (CPU, MEMORY) if name in parts]
        if CPU in parts and MEMORY in parts[CPU].covers:
            inside = [CPU]
        hosts = [parts[name] for name in ([HOST] if HOST in parts else inside)]
        chosen = [*accelerators_in(parts).values(), *hosts]
    read = {
        part.name: Estimate(
            value=part.measured_j,
            low=max(part.measured_j - part.at_ends_j, 0.0) * (1 - part.error_fraction),
            high=(part.measured_j + part.at_ends_j) * (1 + part.error_fraction),
            basis=Basis.MEASURED,
            sources=part.sensors,
        )
        for part in chosen
    }
    return together(read) if read else Estimate.exact(0.0, source="no sensor")
