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

    A package holds its core and uncore zones, so that these are left out.

    Source: linux2013powercap, attributes of a power zone.
    """
    found = _zones(roots.powercap)
    wanted = _without_copies([zone for zone in found if zone.domain in {PACKAGE, DRAM, PSYS}])
    sensors: list[Readable] = []
    closed: list[Zone] = []
    for zone in wanted:
        try:
            sensors.append(_sensor(zone, wanted, clock))
        except PermissionError:
            closed.append(zone)
        except (OSError, ValueError, ReadingError):
            continue  # a zone without energy, or one that is switched off
    return sensors, [_closed(closed, roots.powercap)] if closed else []


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


def _without_copies(zones: list[Zone]) -> list[Zone]:
    """Each package, memory and platform once: not again through the memory-mapped door, nor by each of its dies."""
    kept: dict[str, Zone] = {}
    for zone in sorted(zones, key=lambda zone: zone.id.startswith(MEMORY_MAPPED)):
        kept.setdefault(_place(zone, zones), zone)
    unmirrored: list[Zone] = []
    for zone in kept.values():
        twin = next((other for other in unmirrored if _is_mirror(zone, other)), None)
        if twin is None:
            unmirrored.append(zone)
    return unmirrored


def _place(zone: Zone, zones: list[Zone]) -> str:
    """What a zone measures: "package-0", "dram-0" (of package 0), "psys"."""
    if zone.domain != DRAM:
        return zone.name
    parent = next((other for other in zones if zone.id.rpartition(":")[0] == other.id), None)
    return f"{DRAM}-{parent.name.removeprefix('package-')}" if parent else f"{DRAM}-{zone.id.split(':')[1]}"


def _is_mirror(zone: Zone, other: Zone) -> bool:
    """Whether two dies of one package show the same counter, as some processors do."""
    if "-die-" not in zone.name or zone.name.split("-die-")[0] != other.name.split("-die-")[0]:
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


def _sensor(zone: Zone, zones: list[Zone], clock: Clock) -> Readable:
    read = _counter(zone.folder)
    read()  # may it be read at all?
    part, covers = {PACKAGE: (CPU, (CPU,)), DRAM: (MEMORY, (MEMORY,)), PSYS: (HOST, (HOST, CPU, MEMORY))}[zone.domain]
    wrap_uj = _text(zone.folder / "max_energy_range_uj")
    ceiling = "psys_ceiling_w" if zone.domain == PSYS else "rapl_ceiling_w"
    return Readable(
        name=f"rapl:{_place(zone, zones)}",
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
