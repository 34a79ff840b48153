"""A tree as Linux shows under /sys/class/powercap, whose counters follow a known power, and whose faults are ours.

In a test the clock is the test's: `tree.move_to(3.0)`. As a script it follows the real clock, for programs that are
measured from outside:

    python powercap.py ROOT SPEC.json    # {"intel-rapl:0": {"name": "package-0", "trace": ["square", 200, 0, 2]}, ...}

It writes every 4 ms until its standard input is closed. The time of t = 0 is in ROOT/epoch_ns (time.monotonic_ns()).
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

INTEL_WRAP_UJ = 262_143_328_850
EVERY_S = 0.004


def constant(watts: float) -> Callable[[float], float]:
    """Energy [J] up to a time [s] at one power."""
    return lambda t: watts * t


def ramp(watts_per_s: float) -> Callable[[float], float]:
    """Energy of a power that rises from zero."""
    return lambda t: watts_per_s * t * t / 2


def square(high_w: float, low_w: float, period_s: float) -> Callable[[float], float]:
    """Energy of a power that is high in the first half of each period, and low in the second."""

    def energy(t: float) -> float:
        whole, part = divmod(t, period_s)
        half = period_s / 2
        within = high_w * min(part, half) + low_w * max(part - half, 0.0)
        return whole * half * (high_w + low_w) + within

    return energy


TRACES = {"constant": constant, "ramp": ramp, "square": square}


@dataclass
class Zone:
    """One counter: its folder, the energy that it follows, where it starts and wraps, and what it shows instead."""

    folder: Path
    energy_j: Callable[[float], float]
    start_uj: int = 0
    wrap_uj: int = INTEL_WRAP_UJ
    instead: str | None = None

    def shown_uj(self, time_s: float) -> int:
        """What the counter shows at a time."""
        return (self.start_uj + math.floor(self.energy_j(time_s) * 1e6)) % self.wrap_uj


@dataclass
class Tree:
    """A powercap tree below a folder; `root` is what stands for /sys/class/powercap."""

    folder: Path
    zones: dict[str, Zone] = field(default_factory=dict)
    time_s: float = 0.0

    def __post_init__(self) -> None:
        self.root = self.folder / "class" / "powercap"
        self.root.mkdir(parents=True, exist_ok=True)

    def clock(self) -> int:
        """The test's time, as time.monotonic_ns() would tell it."""
        return round(self.time_s * 1e9)

    def add(
        self,
        id_: str,
        name: str,
        energy_j: Callable[[float], float],
        *,
        start_uj: int = 0,
        wrap_uj: int = INTEL_WRAP_UJ,
    ) -> Zone:
        """A zone such as "intel-rapl:0:1"; it lies inside its parent, and is linked from the flat root."""
        kind, *numbers = id_.split(":")
        folder = self.folder / "devices" / kind
        (self.root / kind).mkdir(exist_ok=True)
        for last in range(1, len(numbers) + 1):
            folder = folder / ":".join([kind, *numbers[:last]])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{wrap_uj}\n")
        link = self.root / id_
        if not link.is_symlink():
            link.symlink_to(folder)
        self.zones[id_] = Zone(folder, energy_j, start_uj, wrap_uj)
        self._write(self.zones[id_])
        return self.zones[id_]

    def move_to(self, time_s: float) -> None:
        """Let the time be this, and every counter show it."""
        self.time_s = time_s
        for zone in self.zones.values():
            self._write(zone)

    def show(self, id_: str, text: str | None) -> None:
        """Let a counter show a text ("nan", "-5", the last number) instead; None for what it should."""
        self.zones[id_].instead = text
        self._write(self.zones[id_])

    def remove(self, id_: str) -> None:
        """Let a counter vanish."""
        zone = self.zones.pop(id_)
        (zone.folder / "energy_uj").unlink()

    def _write(self, zone: Zone) -> None:
        text = zone.instead if zone.instead is not None else str(zone.shown_uj(self.time_s))
        new = zone.folder / "energy_uj.new"
        new.write_text(f"{text}\n")
        new.replace(zone.folder / "energy_uj")  # a reader never sees half of a number


def run(folder: Path, spec: dict[str, dict]) -> None:
    """Follow the real clock until standard input is closed."""
    tree = Tree(folder)
    for id_, told in spec.items():
        kind, *numbers = told["trace"]
        wrap_uj = told.get("wrap_uj", INTEL_WRAP_UJ)
        tree.add(id_, told["name"], TRACES[kind](*numbers), start_uj=told.get("start_uj", 0), wrap_uj=wrap_uj)
    epoch_ns = time.monotonic_ns()
    (folder / "epoch_ns").write_text(str(epoch_ns))
    files = {id_: os.open(zone.folder / "energy_uj", os.O_WRONLY) for id_, zone in tree.zones.items()}
    for id_, file in files.items():
        os.pwrite(file, f"{tree.zones[id_].shown_uj(0.0):020d}\n".encode(), 0)
    print(tree.root, flush=True)  # noqa: T201
    closed = False
    while not closed:
        for id_, zone in tree.zones.items():  # of one width and in place: a new file each time would lag behind
            shown = zone.shown_uj((time.monotonic_ns() - epoch_ns) / 1e9)
            os.pwrite(files[id_], f"{shown:020d}\n".encode(), 0)
        ready, _, _ = select.select([sys.stdin], [], [], EVERY_S)
        closed = bool(ready) and not os.read(sys.stdin.fileno(), 1)


def two_packages(tree: Tree) -> Tree:
    """Two sockets of 100 W, each with memory of 20 W."""
    for socket in (0, 1):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", constant(100))
        tree.add(f"intel-rapl:{socket}:0", "dram", constant(20))
    return tree


if __name__ == "__main__":
    run(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
