"""Which sensors count: each part of a node once, whoever tells of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tonne.estimate import Basis, Estimate, propagate, weakest
from tonne.measure.sensors.protocol import ACCELERATOR, Description
from tonne.measure.tally import Total

OWN = "own"  # drivers that the user chose
FEWEST_STEPS = 2  # of a coarse counter; one step may have been all but full before, or all but empty after
MOSTLY = 0.99  # a value is called measured where so much of it was read
Read = tuple[Description, Total]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What sensors told of one part: its energy, what of it was read, and which other parts are in it."""

    name: str
    energy_j: Estimate
    measured_j: float
    error_fraction: float
    at_ends_j: float = 0.0
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
        groups.setdefault(described.part, {}).setdefault(driver_of(described), []).append((described, total))
    parts: dict[str, Part] = {}
    for name, drivers in groups.items():
        for _, group in sorted(drivers.items(), key=lambda item: _rank(item[1][0][0])):
            silent = [described.name for described, total in group if not tells(described, total)]
            if not silent:
                parts[name] = _part(name, group)
                break
            coarse = [described.name for described, total in group if described.step_j and total.energy_j is not None]
            why = "moved less than two of its steps" if silent == coarse else "gave no number that could be used"
            notes.append(f"{', '.join(silent)} {why}")
    return parts, tuple(notes)


def tells(described: Description, total: Total) -> bool:
    """Whether a sensor's number can be used.

    A counter that never moved tells nothing: its part drew something. So does a meter that says zero, but for boards,
    which may be switched off while nobody needs them. One that counts in coarse steps must have made some.
    """
    if total.energy_j is None or total.energy_j < FEWEST_STEPS * described.step_j:
        return False
    may_be_zero = described.kind == "power" and described.part.startswith(ACCELERATOR)
    return total.energy_j > 0 or may_be_zero


def driver_of(described: Description) -> str:
    """What reads a sensor, as "rapl" or "own"."""
    return described.name.partition(":")[0]


def _rank(described: Description) -> tuple[int, str]:
    driver = driver_of(described)
    return (0 if driver == OWN else 1 if described.kind == "counter" else 2), driver


def _part(name: str, group: Sequence[Read]) -> Part:
    energies = {described.name: estimate_j(described, total) for described, total in group}
    measured_j = sum(total.measured_j for _, total in group)
    return Part(
        name=name,
        energy_j=together(energies),
        measured_j=measured_j,
        error_fraction=max(described.error_fraction for described, _ in group),
        at_ends_j=sum(at_ends_j(described, total) for described, total in group),
        covers=frozenset(part for described, _ in group for part in described.covers),
        sensors=tuple(energies),
    )


def at_ends_j(described: Description, total: Total) -> float:
    """Energy that may be of the time before a run, or lack at its end: one step, or half a window of averaging [J].

    Equation: E = E_step + w P / 2, with w = window_s and P the mean power.
    """
    whole_s = total.measured_s + total.gap_s
    mean_w = (total.energy_j or 0.0) / whole_s if whole_s > 0 else 0.0
    return described.step_j + described.window_s * mean_w / 2


def estimate_j(described: Description, total: Total) -> Estimate:
    """Energy of a sensor with the interval of its gaps, of its ends and of its own error [J]."""
    value, high, ends_j = total.energy_j or 0.0, total.high_j or 0.0, at_ends_j(described, total)
    basis = Basis.MEASURED if total.measured_j >= MOSTLY * value else Basis.MODELLED
    return Estimate(
        value=value,
        low=max(total.low_j - ends_j, 0.0) * (1 - described.error_fraction),
        high=(high + ends_j) * (1 + described.error_fraction),
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


def silent_accelerators(read: Sequence[Read], parts: dict[str, Part]) -> dict[str, str]:
    """The accelerators whose sensors gave no number that could be used, and what each is called."""
    covered = {one for part in accelerators_in(parts).values() for one in part.covers}
    told = {d.part: device_of(read, d.part) for d, _ in read if d.part.startswith(ACCELERATOR)}
    return {part: device for part, device in told.items() if part not in covered}


def device_of(read: Sequence[Read], part: str) -> str:
    """What the hardware of a part is called: as its driver says, not the user's meter."""
    own_last = sorted((d for d, _ in read if d.part == part), key=lambda d: driver_of(d) == OWN)
    return next((d.device for d in own_last if driver_of(d) != OWN or len(own_last) == 1), "")


def accelerators_in(parts: dict[str, Part]) -> dict[str, Part]:
    """The parts that are accelerators; one that covers two stands for both."""
    return {name: part for name, part in parts.items() if name.startswith(ACCELERATOR)}
