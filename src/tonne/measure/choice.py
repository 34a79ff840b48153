"""Which sensors count: each part of a node once, whoever tells of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tonne.estimate import Basis, Estimate, propagate, weakest
from tonne.measure.sensors.protocol import ACCELERATOR, Description
from tonne.measure.tally import Total

OWN = "own"  # drivers that the user chose
MOSTLY = 0.99  # a value is called measured where so much of it was read
Read = tuple[Description, Total]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What sensors told of one part: its energy, what of it was read, and which other parts are in it."""

    name: str
    energy_j: Estimate
    measured_j: float
    error_fraction: float
    covers: frozenset[str]
    sensors: tuple[str, ...]


def parts_of(read: Sequence[Read]) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Each part that sensors told of, once, and notes on sensors that failed.

    Of several drivers that tell of one part, the user's own meter comes first, then counters, then power. All sensors
    of the chosen driver are added: two packages are one part, "cpu".
    """
    notes: list[str] = []
    groups: dict[str, dict[str, list[Read]]] = {}
    for described, total in read:
        groups.setdefault(described.part, {}).setdefault(_driver(described), []).append((described, total))
    parts: dict[str, Part] = {}
    for name, drivers in groups.items():
        for _, group in sorted(drivers.items(), key=lambda item: _rank(item[1][0][0])):
            silent = [described.name for described, total in group if total.energy_j is None]
            if not silent:
                parts[name] = _part(name, group)
                break
            notes.append(f"{', '.join(silent)} gave no number that could be used")
    return parts, tuple(notes)


def _driver(described: Description) -> str:
    return described.name.partition(":")[0]


def _rank(described: Description) -> tuple[int, str]:
    driver = _driver(described)
    return (0 if driver == OWN else 1 if described.kind == "counter" else 2), driver


def _part(name: str, group: Sequence[Read]) -> Part:
    energies = {described.name: estimate_j(described, total) for described, total in group}
    measured_j = sum(total.measured_j for _, total in group)
    return Part(
        name=name,
        energy_j=together(energies),
        measured_j=measured_j,
        error_fraction=max(described.error_fraction for described, _ in group),
        covers=frozenset(part for described, _ in group for part in described.covers),
        sensors=tuple(energies),
    )


def estimate_j(described: Description, total: Total) -> Estimate:
    """Energy of a sensor with the interval of its gaps and of its own error [J]."""
    value, high = total.energy_j or 0.0, total.high_j or 0.0
    basis = Basis.MEASURED if total.measured_j >= MOSTLY * value else Basis.MODELLED
    return Estimate(
        value=value,
        low=total.low_j * (1 - described.error_fraction),
        high=high * (1 + described.error_fraction),
        basis=basis,
        sources=(described.name,),
    )


def together(parts: dict[str, Estimate]) -> Estimate:
    """The sum of what sensors of one make told: their errors are of the make, and go the same way."""
    return Estimate(
        value=sum(part.value for part in parts.values()),
        low=sum(part.low for part in parts.values()),
        high=sum(part.high for part in parts.values()),
        basis=weakest(part.basis for part in parts.values()),
        sources=tuple(dict.fromkeys(source for part in parts.values() for source in part.sources)),
    )


def summed(parts: dict[str, Estimate]) -> Estimate:
    """The sum of parts whose errors have nothing to do with one another."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    found = propagate(lambda values: {"sum": sum(values.values())}, parts).outputs["sum"]
    assert found is not None
    return found


def difference(whole: Estimate, parts: dict[str, Estimate]) -> Estimate:
    """What is left of a whole without its parts; never below nothing.

    Equation: E = E_whole - sum_i E_i; the steps to either end are added in squares, not as factors: a difference may be
    near zero.
    """
    value = whole.value - sum(part.value for part in parts.values())
    down_j = math.hypot(whole.value - whole.low, *(part.high - part.value for part in parts.values()))
    up_j = math.hypot(whole.high - whole.value, *(part.value - part.low for part in parts.values()))
    return Estimate(
        value=max(value, 0.0),
        low=max(value - down_j, 0.0),
        high=max(value + up_j, 0.0),
        basis=weakest([whole.basis, *(part.basis for part in parts.values())]),
        sources=tuple(dict.fromkeys(s for e in (whole, *parts.values()) for s in e.sources)),
    )


def accelerators_in(parts: dict[str, Part]) -> dict[str, Part]:
    """The parts that are accelerators; one that covers two stands for both."""
    return {name: part for name, part in parts.items() if name.startswith(ACCELERATOR)}
