"""The environment variables of the meter, all of them: TONNE_*."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

VARIABLE_OF = {
    "powercap": "TONNE_POWERCAP_ROOT",
    "hwmon": "TONNE_HWMON_ROOT",
    "proc": "TONNE_PROC_ROOT",
    "sys": "TONNE_SYS_ROOT",
    "meters": "TONNE_METERS",
    "powermetrics": "TONNE_POWERMETRICS",
}


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


def roots_from_environment(environment: Mapping[str, str] | None = None) -> Roots:
    """The kernel's own places, but for those that the environment names."""
    told = os.environ if environment is None else environment
    return replace(Roots(), **{field: Path(told[name]) for field, name in VARIABLE_OF.items() if told.get(name)})
