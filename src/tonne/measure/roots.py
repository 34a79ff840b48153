"""Where the kernel shows its sensors and counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Where the kernel shows its sensors and counters. Containers mount them elsewhere, and tests build their own.

    `meters` is a TOML file that names the user's own meters; `powermetrics` is the program of macOS.
    """

    powercap: Path = Path("/sys/class/powercap")
    hwmon: Path = Path("/sys/class/hwmon")
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    meters: Path | None = None
    powermetrics: Path = Path("/usr/bin/powermetrics")


def roots_at(places: Mapping[str, str]) -> Roots:
    """The kernel's own places, but for those that are given by field."""
    return replace(Roots(), **{field: Path(place) for field, place in places.items()})
