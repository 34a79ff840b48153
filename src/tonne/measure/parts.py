"""Energy of a node by part: what sensors read, and models for the parts that nothing reads.

Nothing is counted twice: a meter of the whole machine or of the host is the sum, and its rest is what no sensor within
it tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tonne.estimate import Basis, Estimate
from tonne.measure.models.cpu import cpu_energy_j
from tonne.measure.models.host import rest_energy_j
from tonne.measure.models.memory import memory_energy_j
from tonne.measure.replay import NodeUse, SensorUse
from tonne.measure.sensors.protocol import ACCELERATOR, CPU, HOST, MEMORY, NODE

ENOUGH_MEASURED = 0.9  # of the time: a sum with fewer readings is a model of what was between them
WORTH_A_NOTE = 0.001  # of the time without a reading
NO_ACCELERATOR = "no accelerator was found in this machine"


@dataclass(slots=True, kw_only=True)
class NodeParts:
    """One node's energy by part [J]; a part that nobody can tell is None."""

    accelerators: dict[str, Estimate] = field(default_factory=dict)  # by part, as "accelerator:0"
    devices: dict[str, str] = field(default_factory=dict)  # what they are called
    boards: dict[str, int] = field(default_factory=dict)  # accelerators that one sensor covers
    accelerators_known: bool = True
    cpu_j: Estimate | None = None
    memory_j: Estimate | None = None
    host_rest_j: Estimate | None = None  # None too where a whole is known, of which it is the rest
    host_j: Estimate | None = None  # all but the accelerators, from a meter of just that
    node_j: Estimate | None = None  # the machine, from a meter of all of it
    measured: dict[str, float] = field(default_factory=dict)  # part -> what sensors read of it [J]
    notes: list[str] = field(default_factory=list)


def parts_of(node: NodeUse) -> NodeParts:
    """The parts of a node, each from the best that is known of it."""
    found = NodeParts()
    chosen = _chosen(node.sensors)
    for part, uses in chosen.items():
        if part.startswith(ACCELERATOR):
            found.accelerators[part] = _measured_j(uses)
            found.devices[part] = uses[0].of.device
            found.boards[part] = len(uses[0].of.covers)
        found.notes += _gap_notes(uses)
    _add_unread_accelerators(node, found)
    found.cpu_j = _part(chosen.get(CPU, []), *_cpu_model(node), found)
    found.memory_j = _part(chosen.get(MEMORY, []), *memory_energy_j(node.facts, node.lasted_s), found)
    for part in (*found.accelerators, CPU, MEMORY):
        found.measured[part] = sum(use.total.measured_j for use in chosen.get(part, []))
    _add_rest(node, chosen, found)
    return found


def _chosen(sensors: Sequence[SensorUse]) -> dict[str, list[SensorUse]]:
    """Sensors by part that may be added; where two drivers tell of one part, the counter or the more exact one."""
    by_part: dict[str, dict[str, list[SensorUse]]] = {}
    for use in sensors:
        if use.total.energy_j is not None:
            by_part.setdefault(use.of.part, {}).setdefault(_driver(use), []).append(use)
    return {part: min(drivers.values(), key=_rank) for part, drivers in by_part.items()}


def _driver(use: SensorUse) -> str:
    return use.of.name.partition(":")[0]


def _rank(uses: list[SensorUse]) -> tuple[bool, float, str]:
    worst = max(use.of.error_fraction for use in uses)
    return any(use.of.kind != "counter" for use in uses), worst, uses[0].of.name


def _measured_j(uses: Iterable[SensorUse]) -> Estimate:
    """Sum of sensors of one kind, whose errors go the same way, with the interval of their gaps."""
    value = low = high = 0.0
    measured_s = gap_s = 0.0
    names: list[str] = []
    for use in uses:
        total, error = use.total, use.of.error_fraction
        energy_j = total.energy_j or 0.0
        value += energy_j
        low += min(total.low_j, energy_j) * (1 - error)
        high += max(total.high_j or energy_j, energy_j) * (1 + error)
        measured_s += total.measured_s
        gap_s += total.gap_s
        names.append(use.of.name)
    enough = gap_s <= (1 - ENOUGH_MEASURED) * (measured_s + gap_s)
    basis = Basis.MEASURED if enough else Basis.MODELLED
    return Estimate(value=value, low=low, high=high, basis=basis, sources=tuple(names))


def _gap_notes(uses: Iterable[SensorUse]) -> list[str]:
    notes = []
    for use in uses:
        whole_s = use.total.measured_s + use.total.gap_s
        if use.total.gap_s > WORTH_A_NOTE * whole_s:
            why = ", ".join(f"{reason} ({seconds:.1f} s)" for reason, seconds in use.total.gaps.items())
            notes.append(f"{use.of.name}: gap of {use.total.gap_s:.1f} s in {whole_s:.1f} s, interpolated: {why}.")
    return notes


def _cpu_model(node: NodeUse) -> tuple[Estimate | None, str]:
    if node.lasted_s <= 0:
        return None, "the run has not lasted yet"
    return cpu_energy_j(node.facts, node.load, node.lasted_s)


def _part(uses: list[SensorUse], model: Estimate | None, note: str, found: NodeParts) -> Estimate | None:
    """What sensors say of a part, else its model, and a note on that."""
    if uses:
        return _measured_j(uses)
    found.notes.append(f"no sensor read the {'memory' if note.startswith('memory') else 'processors'}: {note}.")
    return model


def _add_unread_accelerators(node: NodeUse, found: NodeParts) -> None:
    unread = {one.part: one for one in node.missing if one.part.startswith(ACCELERATOR)}
    for part, missing in unread.items():
        if part not in found.accelerators:
            found.accelerators_known = False
            mend = f" To mend it: {missing.mend}." if missing.mend else ""
            found.notes.append(f"{part} is not measured, so the total is not known: {missing.reason}.{mend}")


def _add_rest(node: NodeUse, chosen: Mapping[str, list[SensorUse]], found: NodeParts) -> None:
    """A meter of the machine or of the host, whose rest is what is not told within it; a model where there is none."""
    for part in (NODE, HOST):
        if part in chosen:
            whole = _measured_j(chosen[part])
            found.node_j, found.host_j = (whole, None) if part == NODE else (None, whole)
            found.measured = _measured_of_whole(chosen[part], part, found.measured)
            found.notes.append(f"the rest of the host is what {', '.join(whole.sources)} read beyond the parts.")
            return
    if node.lasted_s > 0:
        hosts = [one for one in (found.cpu_j, found.memory_j) if one is not None]
        devices = [name for name in found.devices.values() if name]
        inside = [*found.accelerators.values(), *hosts]
        found.host_rest_j, note = rest_energy_j(node.facts, node.lasted_s, inside, hosts, devices)
        found.notes.append(f"{note}.")


def _measured_of_whole(uses: list[SensorUse], part: str, measured: Mapping[str, float]) -> dict[str, float]:
    """What a meter of a whole read holds what the sensors within it read."""
    outside = {} if part == NODE else {name: j for name, j in measured.items() if name.startswith(ACCELERATOR)}
    return {**outside, part: sum(use.total.measured_j for use in uses)}
