"""What a row says of the machine: processors, accelerators, memory, and how busy they were. No host name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tonne.integrations.codecarbon.columns import UNKNOWN
from tonne.measure.environment import Roots, roots_from_environment
from tonne.measure.facts import node_facts
from tonne.measure.processes import node_cpu_s
from tonne.measure.sensors.protocol import ACCELERATOR, Description

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Moment:
    """CPU time of the machine, busy and all [s], and memory in use [bytes]; None where the kernel does not tell."""

    cpu_s: tuple[float, float] | None
    used_bytes: int | None

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(node_cpu_s(), _used_bytes(roots_from_environment()))


def busy_columns(begun: Moment, ended: Moment) -> dict[str, float]:
    """Mean use of processors over the time between, and of memory at its ends [%, GB as CodeCarbon has them]."""
    found = dict.fromkeys(("cpu_utilization_percent", "ram_utilization_percent", "ram_used_gb"), UNKNOWN)
    if begun.cpu_s is not None and ended.cpu_s is not None:
        whole = ended.cpu_s[1] - begun.cpu_s[1]
        found["cpu_utilization_percent"] = 100 * (ended.cpu_s[0] - begun.cpu_s[0]) / whole if whole > 0 else 0.0
    total = node_facts(roots_from_environment()).memory_bytes
    if begun.used_bytes is not None and ended.used_bytes is not None and total:
        used = (begun.used_bytes + ended.used_bytes) / 2
        found |= {"ram_utilization_percent": 100 * used / total, "ram_used_gb": used / GIB}
    return found


def machine_columns(accelerators: Sequence[Description]) -> dict[str, Any]:
    """Processors, memory and accelerators by CodeCarbon's columns."""
    facts = node_facts(roots_from_environment())
    names = [one.device or one.name for one in accelerators for part in one.covers if part.startswith(ACCELERATOR)]
    models = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return {
        "cpu_count": facts.threads or os.cpu_count() or 0,
        "cpu_model": facts.cpu,
        "ram_total_size": facts.memory_bytes / GIB if facts.memory_bytes else UNKNOWN,
        "gpu_count": len(names),
        "gpu_model": ", ".join(models),
        "gpu_utilization_percent": None if names else 0.0,
    }


def accelerators_of(lines: Sequence[Mapping[str, Any]]) -> list[Description]:
    """The sensors of accelerators in a run's journal, the first node's."""
    for line in lines:
        if line.get("kind") == "sensors":
            described = [Description.from_dict(fields) for fields in line["sensors"]]
            return [one for one in described if one.part.startswith(ACCELERATOR)]
    return []


def _used_bytes(roots: Roots) -> int | None:
    """Memory that is neither free nor can be freed at once."""
    try:
        lines = (roots.proc / "meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
    both = "MemTotal" in kib and "MemAvailable" in kib
    return (kib["MemTotal"] - kib["MemAvailable"]) * 1024 if both else None
