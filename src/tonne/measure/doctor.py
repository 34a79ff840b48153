"""What this machine can measure: its sensors, each tried; what is missing, why, and what mends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tonne.energy.use import EnergyUse
from tonne.measure.choice import FEWEST_STEPS, driver_of, tells
from tonne.measure.environment import Roots, roots_from_environment
from tonne.measure.facts import NodeFacts, node_facts
from tonne.measure.integration import Integral
from tonne.measure.models.load import Load, cpu_times, utilisation
from tonne.measure.parts import Node, node_energy
from tonne.measure.sensors.opening import open_sensors
from tonne.measure.sensors.protocol import (
    ACCELERATOR,
    CPU,
    MEMORY,
    NODE,
    UNUSED,
    Clock,
    Description,
    Missing,
    Sensor,
    longest_interval_s,
)
from tonne.measure.tally import Total

NS_PER_S = 1e9
LOOK_S = 0.5  # two readings so far apart say what a counter's power is
PATIENCE_S = 5.0  # for the first answer of a command
PER_KWH_W = 3.6e6
STILL = "the counter does not move"
Opener = Callable[[Roots, Clock], tuple[Sequence[Sensor], Sequence[Missing]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A sensor, its power just now [W], the fault that it had, and how often it must be read [s]."""

    description: Description
    power_w: float | None
    fault: str | None
    longest_interval_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What there is and what is not. `use` is the energy of the time that was looked at, `notes` what it rests on."""

    sensors: tuple[Tried, ...]
    missing: tuple[Missing, ...]
    facts: NodeFacts
    use: EnergyUse
    time_s: float
    notes: tuple[str, ...]

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Parts that have no working sensor, of those that can have one: accelerators, processor, memory.

        Empty where a meter tells of the whole machine.
        """
        drivers: dict[tuple[str, str], list[Tried]] = {}
        for tried in self.sensors:
            drivers.setdefault((tried.description.part, driver_of(tried.description)), []).append(tried)
        groups = list(drivers.values())
        working = {part for group in groups if _all_work(group) for tried in group for part in tried.description.covers}
        if NODE in working:
            return ()
        broken = {part for group in groups if not _all_work(group) for one in group for part in one.description.covers}
        absent = {part for absence in self.missing for part in absence.parts}
        return tuple(sorted(({CPU, MEMORY} | absent | broken) - working - {NODE, UNUSED}))

    def power_w(self, name: str) -> tuple[float, float, float] | None:
        """Power of a part of `use` just now, with its interval [W]."""
        energy = getattr(self.use, name)
        if energy is None or not self.time_s:
            return None
        value, low, high = (end * PER_KWH_W / self.time_s for end in (energy.value, energy.low, energy.high))
        return value, low, high


def _all_work(group: Sequence[Tried]) -> bool:
    """Whether all sensors of a part and driver work: they are added, so that one that fails is missed in the sum."""
    return all(tried.fault is None for tried in group)


def diagnosis(
    roots: Roots | None = None,
    *,
    opener: Opener = open_sensors,
    clock: Clock = time.monotonic_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Diagnosis:
    """Try every sensor of this machine, for about half a second.

    Args:
        roots: Where to look; left out, where the kernel shows them or the environment says.
        opener: What opens the sensors.
        clock: Time of the readings.
        sleep: Waits between them [s].
    """
    roots = roots or roots_from_environment()
    sensors, missing = opener(roots, clock)
    try:
        return _tried(sensors, missing, roots, (clock, sleep))
    finally:
        for sensor in sensors:
            sensor.close()


def _tried(
    sensors: Sequence[Sensor], missing: Sequence[Missing], roots: Roots, time_: tuple[Clock, Callable[[float], None]]
) -> Diagnosis:
    clock, sleep = time_
    facts = node_facts(roots)
    _await_answers(sensors, clock, sleep)
    integrals = [Integral(sensor, gap_s=PATIENCE_S) for sensor in sensors]
    begun_ns, before = clock(), cpu_times(roots.proc)
    faults: list[str | None] = [None] * len(sensors)
    for turn in (0, 1):
        for number, (sensor, integral) in enumerate(zip(sensors, integrals, strict=True)):
            reading = sensor.read()
            integral.add(reading)
            faults[number] = reading.fault
        if turn == 0:
            sleep(LOOK_S)
    for number, (sensor, integral) in enumerate(zip(sensors, integrals, strict=True)):
        is_fine = sensor.kind == "counter" and not sensor.step_j  # a coarse one may move once in minutes
        if faults[number] is None and is_fine and not integral.total().measured_j:
            faults[number] = STILL
    time_s, after = (clock() - begun_ns) / NS_PER_S, cpu_times(roots.proc)
    busy = utilisation(before, after) if before is not None and after is not None else None
    totals = [_over(integral.total(), time_s, integral.of.step_j) for integral in integrals]
    load = None if busy is None else Load.steady(time_s, busy)
    silent = _silent(sensors, missing)
    read = [(Description.of(sensor), total) for sensor, total in zip(sensors, totals, strict=True)]
    use, notes = node_energy(Node(read=read, facts=facts, load=load, time_s=time_s, silent_accelerators=silent))
    tried = [
        Tried(
            description=description,
            power_w=None if fault or not tells(description, total) or not time_s else (total.energy_j or 0.0) / time_s,
            fault=fault,
            longest_interval_s=longest_interval_s(description),
        )
        for (description, total), fault in zip(read, faults, strict=True)
    ]
    return Diagnosis(
        sensors=tuple(tried), missing=tuple(missing), facts=facts, use=use, time_s=time_s, notes=tuple(notes)
    )


def _await_answers(sensors: Sequence[Sensor], clock: Clock, sleep: Callable[[float], None]) -> None:
    """Wait for commands that have not answered yet."""
    until_ns = clock() + round(PATIENCE_S * NS_PER_S)
    while clock() < until_ns and any("not answered yet" in (sensor.read().fault or "") for sensor in sensors):
        sleep(LOOK_S / 10)


def _over(total: Total, time_s: float, step_j: float) -> Total:
    """A total scaled to the whole time: the sensors are read one after the other."""
    if total.energy_j is not None and total.energy_j < FEWEST_STEPS * step_j:
        return total  # too few steps of a coarse counter to say a power
    if not total.energy_j or total.measured_s <= 0:
        return Total(energy_j=None, high_j=None, faults=total.faults)
    scale = time_s / total.measured_s
    joules = total.energy_j * scale
    return Total(energy_j=joules, low_j=joules, high_j=joules, measured_j=joules, measured_s=time_s)


def _silent(sensors: Sequence[Sensor], missing: Sequence[Missing]) -> tuple[str, ...]:
    covered = {part for sensor in sensors for part in sensor.covers}
    return tuple(
        absence.device for absence in missing if absence.part.startswith(ACCELERATOR) and absence.part not in covered
    )
