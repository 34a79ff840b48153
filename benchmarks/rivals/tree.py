"""A powercap tree whose counters are the exact integral of a power that is known, for tools that read the real path.

As a program: `python tree.py FOLDER SPEC.json` moves the counters until it is ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

REFRESH_S = 0.0005  # of hardware it is 1 ms: what is older than that would be the tree's error, not a tool's
WIDTH = 20  # digits, so that a counter is written over itself at once
PACKAGE_WRAP_J = 262_143.328850  # of an Intel package, as the kernel shows it
RAPL = "intel-rapl"


@dataclass(frozen=True)
class Trace:
    """Power over time since the beginning [W]: a constant, a ramp of W/s, or a square wave of a period."""

    kind: str = "constant"
    watts: float = 100.0
    period_s: float = 0.0

    def energy_j(self, t: float) -> float:
        """Energy from the beginning to a time [J]."""
        if self.kind == "constant":
            return self.watts * t
        if self.kind == "ramp":
            return self.watts * t * t / 2
        whole, rest = divmod(t, self.period_s)  # on for the first half of each period
        return self.watts * (whole * self.period_s / 2 + min(rest, self.period_s / 2))


@dataclass(frozen=True)
class Domain:
    """One counter: its name, its place, its power, where it wraps, and when it says NaN."""

    place: str  # "0" a package, "0:0" a part of it
    name: str
    trace: Trace
    wrap_j: float = PACKAGE_WRAP_J
    nan_from_s: float | None = None
    nan_to_s: float = 0.0

    def text(self, t: float) -> str:
        """What its file says at a time since the beginning."""
        if self.nan_from_s is not None and self.nan_from_s <= t < self.nan_to_s:
            return "nan".ljust(WIDTH)
        return str(int(self.trace.energy_j(t) % self.wrap_j * 1e6)).zfill(WIDTH)


def build(folder: Path, domains: list[Domain]) -> None:
    """The files of the tree, as the kernel lays them out."""
    top = folder / RAPL
    top.mkdir(parents=True)
    (top / "enabled").write_text("1\n")
    (top / "subsystem").symlink_to("..")
    for domain in domains:
        parents = domain.place.split(":")
        place = top
        for depth in range(len(parents)):
            place = place / f"{RAPL}:{':'.join(parents[: depth + 1])}"
        place.mkdir(parents=True)
        (place / "name").write_text(domain.name + "\n")
        (place / "max_energy_range_uj").write_text(f"{int(domain.wrap_j * 1e6)}\n")
        (place / "energy_uj").write_text(domain.text(0.0) + "\n")
        (place / "enabled").write_text("1\n")
        link = folder / f"{RAPL}:{domain.place}"
        link.symlink_to(place.relative_to(folder))


@contextmanager
def moving(folder: Path, domains: list[Domain]) -> Iterator[float]:
    """The tree, moved by a process of its own; gives the beginning of its time [s, of time.monotonic()]."""
    build(folder, domains)
    begin = time.monotonic()
    spec = folder.with_suffix(".json")
    spec.write_text(json.dumps({"begin": begin, "domains": [asdict(domain) for domain in domains]}))
    with subprocess.Popen([sys.executable, __file__, str(folder), str(spec)]) as process:
        try:
            yield begin
        finally:
            process.kill()


def truth_kwh(domains: list[Domain], begin: float, start: float, end: float) -> float:
    """Energy of the packages and of what is beside them between two times [kWh]; parts within them are not added."""
    outer = [one for one in domains if ":" not in one.place or one.name == "dram"]
    return sum(one.trace.energy_j(end - begin) - one.trace.energy_j(start - begin) for one in outer) / 3.6e6


def move(folder: Path, begin: float, domains: list[Domain]) -> None:
    """Write the counters until the process is ended."""
    paths = [folder / f"{RAPL}:{domain.place}" / "energy_uj" for domain in domains]
    files = [os.open(path, os.O_WRONLY) for path in paths]
    if hasattr(os, "nice") and os.geteuid() == 0:
        os.nice(-15)  # the counters of real hardware are never late
    while True:
        for file, domain in zip(files, domains, strict=True):
            os.pwrite(file, domain.text(time.monotonic() - begin).encode(), 0)
        time.sleep(REFRESH_S)


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[2]).read_text())
    listed = [Domain(**{**fields, "trace": Trace(**fields["trace"])}) for fields in told["domains"]]
    move(Path(sys.argv[1]), told["begin"], listed)
