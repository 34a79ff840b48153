"""Every sensor of this machine, opened; and of what has none, why, and what mends it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from tonne.errors import DescriptionError
from tonne.measure.environment import Roots, roots_from_environment
from tonne.measure.facts import NodeFacts, node_facts
from tonne.measure.sensors.numbering import beside, moved, next_number
from tonne.measure.sensors.protocol import (
    ACCELERATOR,
    CPU,
    MEMORY,
    NODE,
    OWN_METERS,
    Clock,
    Missing,
    Sensor,
    accelerator,
)

REPORT = "report it to the makers of tonne"
Opened = tuple[Sequence[Sensor], Sequence[Missing]]


def open_sensors(roots: Roots | None = None, clock: Clock = time.monotonic_ns) -> tuple[list[Sensor], list[Missing]]:
    """The sensors of this machine, each ready to be read, and the parts without one. Never raises.

    Args:
        roots: Where to look; left out, where the kernel shows them or the environment says.
        clock: Time of the readings.
    """
    roots = roots or roots_from_environment()
    sensors: list[Sensor] = []
    missing: list[Missing] = []
    for name, opener in _openers(roots, clock, sensors, missing):
        try:
            found, lacking = opener()
        except Exception as error:  # a driver that fails in a way of its own is a missing sensor, not the end of a run
            found, lacking = [], [Missing(name, f"{type(error).__name__}: {error}", REPORT)]
        sensors += found
        missing += lacking
    covered = {part for sensor in sensors for part in sensor.covers}
    missing = [absence for absence in missing if not set(absence.parts) <= covered]  # another driver found it
    return sensors, [*missing, *_uncovered(covered, missing, roots)]


def _openers(
    roots: Roots, clock: Clock, so_far: list[Sensor], missing: list[Missing]
) -> list[tuple[str, Callable[[], Opened]]]:
    """By name, in an order in which later ones see what earlier ones found. Each loads its driver when it is called."""
    lacking_of_amd: list[Missing] = []

    def amd() -> Opened:
        found, lacking = moved(*_amd(roots, clock), next_number(so_far, missing))
        lacking_of_amd.extend(lacking)
        return found, lacking

    return [
        (OWN_METERS, lambda: _own(roots, clock)),
        (accelerator("NVIDIA"), lambda: _nvidia(roots, clock)),  # unknown, not none, where its driver fails
        (accelerator("AMD"), amd),
        (accelerator("other"), lambda: moved(*_others(roots), next_number(so_far, missing))),
        (CPU, lambda: _powercap(roots, clock)),
        ("hwmon", lambda: _hwmon(roots, clock, so_far, (lacking_of_amd, next_number(so_far, missing)))),
        ("Apple silicon", lambda: _apple(roots, clock)),
    ]


def _nvidia(roots: Roots, clock: Clock) -> Opened:
    from tonne.measure.sensors.nvidia import open_nvidia  # noqa: PLC0415

    return open_nvidia(roots, clock)


def _amd(roots: Roots, clock: Clock) -> Opened:
    from tonne.measure.sensors.amd import open_amd  # noqa: PLC0415

    return open_amd(roots, clock)


def _others(roots: Roots) -> Opened:
    from tonne.measure.sensors.others import other_accelerators  # noqa: PLC0415

    return [], other_accelerators(roots)


def _powercap(roots: Roots, clock: Clock) -> Opened:
    from tonne.measure.sensors.powercap import open_powercap  # noqa: PLC0415

    return open_powercap(roots, clock)


def _hwmon(roots: Roots, clock: Clock, so_far: Sequence[Sensor], numbers: tuple[Sequence[Missing], int]) -> Opened:
    from tonne.measure.sensors.hwmon import open_hwmon  # noqa: PLC0415

    found, lacking = open_hwmon(roots, clock, drivers_of_accelerators(so_far))
    return beside(found, *numbers), lacking


def _apple(roots: Roots, clock: Clock) -> Opened:
    if sys.platform != "darwin":
        return [], []
    from tonne.measure.sensors.apple import open_apple  # noqa: PLC0415

    return open_apple(roots, clock)


def drivers_of_accelerators(sensors: Sequence[Sensor]) -> frozenset[str]:
    """What reads the accelerators that some sensors cover, as "nvml"."""
    boards = (sensor for sensor in sensors if any(part.startswith(ACCELERATOR) for part in sensor.covers))
    return frozenset(sensor.name.partition(":")[0] for sensor in boards)


def _own(roots: Roots, clock: Clock) -> Opened:
    if roots.meters is None:
        return [], []
    from tonne.measure.sensors.own import own_meters  # noqa: PLC0415

    try:
        return own_meters(roots.meters, clock), []
    except DescriptionError as error:
        return [], [Missing(OWN_METERS, str(error), f"correct {roots.meters}")]


def _uncovered(covered: set[str], missing: Sequence[Missing], roots: Roots) -> list[Missing]:
    """Processor, memory and the whole machine, where nothing told of them yet."""
    told = {part for absence in missing for part in absence.parts}
    found: list[Missing] = []
    if CPU not in covered | told:
        found.append(Missing(CPU, *_why_no_counters(node_facts(roots), roots)))
    if MEMORY not in covered | told:
        reason = "this processor has no counter of its memory" if CPU in covered else "no counter of memory is shown"
        found.append(Missing(MEMORY, reason))
    if NODE not in covered | told:
        advice = (
            "name a meter of the whole machine in TONNE_METERS (a plug, a rack's meter, ipmitool); see docs/sensors.md"
        )
        found.append(Missing(NODE, "no meter of the whole machine is known", advice))
    return found


def _why_no_counters(facts: NodeFacts, roots: Roots) -> tuple[str, str]:
    """Why there is no counter of the processor, and what mends it."""
    if not sys.platform.startswith("linux"):
        return f"no counter of processors is known on {sys.platform}", ""
    if facts.virtual:
        return "a virtual machine does not see its host's counters", ""
    if facts.container:
        return (
            f"the container does not see {roots.powercap}",
            f"start it with `-v {roots.powercap}:{roots.powercap}:ro`",
        )
    if not any(roots.powercap.glob("intel-rapl*")):
        return f"{roots.powercap} holds no counter", "sudo modprobe intel_rapl_msr" if facts.has_counters else ""
    return "its counters give no number", "sudo modprobe -r intel_rapl_msr && sudo modprobe intel_rapl_msr"
