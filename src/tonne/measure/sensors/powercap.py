"""Counters of processors, memory and platforms that Linux shows under /sys/class/powercap (RAPL of Intel and AMD)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tonne.measure.environment import Roots
from tonne.measure.sensors.protocol import CPU, HOST, MEMORY, Clock, Missing, Readable, ReadingError
from tonne.reference.measuring import measuring_constant

MICRO = 1e-6
MODEL_SPECIFIC, MEMORY_MAPPED = "intel-rapl:", "intel-rapl-mmio:"  # the second is a copy of the first's packages
PACKAGE, DRAM, PSYS = "package", "dram", "psys"
LIMITED_TO_ROOT = "its counters are readable by root alone, as Linux has it since 5.10 (CVE-2020-8694)"


@dataclass(frozen=True, slots=True)
class Zone:
    """A power zone: its id as "intel-rapl:0:1", its name as "dram", and its folder."""

    id: str
    name: str
    folder: Path

    @property
    def domain(self) -> str:
        """The name without number or die: package, core, uncore, dram, psys."""
        return self.name.split("-")[0]


def open_powercap(roots: Roots, clock: Clock) -> tuple[list[Readable], list[Missing]]:
    """The counters that may be added: packages and their memory, and the platform beside them as a whole.

    A package holds its core and uncore zones, so that these are left out. Where one package or one memory of several
    gives no number, the sum of the others is no sensor.

    Source: linux2013powercap, attributes of a power zone.
    """
    found = _zones(roots.powercap)
    wanted = [zone for zone in found if zone.domain in {PACKAGE, DRAM, PSYS}]
    opened: dict[str, tuple[Zone, Readable]] = {}
    failed: dict[str, tuple[Zone, Exception]] = {}
    for place, copies in _by_place(wanted).items():
        for zone in copies:
            if any(_is_mirror(zone, other) for other, _ in opened.values()):
                break
            try:
                opened[place] = (zone, _sensor(zone, place, clock))
                break
            except (OSError, ValueError, ReadingError) as error:
                failed.setdefault(place, (zone, error))
    lost = {place: told for place, told in failed.items() if place not in opened}
    closed = [zone for zone, error in lost.values() if isinstance(error, PermissionError)]
    missing = [_closed(closed, roots.powercap)] if closed else []
    dead = {place: error for place, (_, error) in lost.items() if not isinstance(error, PermissionError)}
    whole = [sensor for zone, sensor in opened.values() if zone.domain not in {of.domain for of, _ in lost.values()}]
    parts = {sensor.part for _, sensor in opened.values()} - {sensor.part for sensor in whole}
    missing += [_part_of_a_sum(part, place, error) for place, error in dead.items() if (part := _part(place)) in parts]
    return whole, missing


def _part(place: str) -> str:
    return {PACKAGE: CPU, DRAM: MEMORY, PSYS: HOST}[place.split("-")[0]]


def _part_of_a_sum(part: str, place: str, error: Exception) -> Missing:
    reason = f"{place} gives no number ({error}), and without it the sum of the others is too small"
    return Missing(part, reason, "sudo modprobe -r intel_rapl_msr && sudo modprobe intel_rapl_msr")


def _zones(root: Path) -> list[Zone]:
    """Every zone once, whether the tree is flat, as the kernel shows it, or nested, as it keeps it."""
    found = {folder.name: folder for folder in _folders(root)}
    zones = (Zone(id_, _text(folder / "name"), folder) for id_, folder in found.items())
    return sorted((zone for zone in zones if zone.name), key=lambda zone: [_sort_key(p) for p in zone.id.split(":")])


def _sort_key(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdigit() else (-1, part)


def _folders(root: Path) -> Iterator[Path]:
    try:
        children = sorted(root.iterdir())
    except OSError:
        return
    for child in children:
        if child.name.startswith((MODEL_SPECIFIC, MEMORY_MAPPED)):
            yield child
        if not child.is_symlink() and child.is_dir():
            yield from _folders(child)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _by_place(zones: list[Zone]) -> dict[str, list[Zone]]:
    """The zones of each package, memory and platform; what comes again through the memory-mapped door comes last."""
    found: dict[str, list[Zone]] = {}
    for zone in sorted(zones, key=lambda zone: zone.id.startswith(MEMORY_MAPPED)):
        found.setdefault(_place(zone, zones), []).append(zone)
    return found


def _place(zone: Zone, zones: list[Zone]) -> str:
    """What a zone measures: "package-0", "dram-0" (of package 0), "psys"."""
    if zone.domain != DRAM:
        return zone.name
    parent = next((other for other in zones if zone.id.rpartition(":")[0] == other.id), None)
    return f"{DRAM}-{parent.name.removeprefix('package-')}" if parent else f"{DRAM}-{zone.id.split(':')[1]}"


def _is_mirror(zone: Zone, other: Zone) -> bool:
    """Whether two dies of one package, or the platform seen from two sockets, show one counter, as some machines do."""
    dies = "-die-" in zone.name and zone.name.split("-die-")[0] == other.name.split("-die-")[0]
    if not dies and {zone.domain, other.domain} != {PSYS}:
        return False
    try:
        before, middle, after = (_counter(z.folder)() for z in (other, zone, other))
    except (OSError, ValueError):
        return False
    return 0 < before <= middle <= after


def _counter(folder: Path) -> Callable[[], float]:
    """Reads a zone's energy [J]. Opened anew each time: a zone may go and come back."""
    path = str(folder / "energy_uj")

    def read() -> float:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return float(os.read(descriptor, 64)) * MICRO
        finally:
            os.close(descriptor)

    return read


def _sensor(zone: Zone, place: str, clock: Clock) -> Readable:
    read = _counter(zone.folder)
    read()  # may it be read at all?
    part, covers = {PACKAGE: (CPU, (CPU,)), DRAM: (MEMORY, (MEMORY,)), PSYS: (HOST, (HOST, CPU, MEMORY))}[zone.domain]
    wrap_uj = _text(zone.folder / "max_energy_range_uj")
    ceiling = "psys_ceiling_w" if zone.domain == PSYS else "rapl_ceiling_w"
    return Readable(
        name=f"rapl:{place}",
        part=part,
        covers=covers,
        kind="counter",
        unit="J",
        error_fraction=measuring_constant(f"rapl_{zone.domain}_error_fraction").value,
        wrap_j=float(wrap_uj) * MICRO if wrap_uj.isdigit() and int(wrap_uj) else None,
        ceiling_w=measuring_constant(ceiling).value,
        source=read,
        clock=clock,
    )


def _closed(zones: list[Zone], root: Path) -> Missing:
    parts = ", ".join(dict.fromkeys(MEMORY if zone.domain == DRAM else CPU for zone in zones))
    return Missing(parts, LIMITED_TO_ROOT, f"sudo chmod a+r {root}/intel-rapl*/energy_uj")
