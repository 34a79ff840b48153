"""What the machine is, as far as its own files say: what models of parts without a sensor start from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.measure.environment import Roots

KIBI = 1024
ARM = "Features"  # what its processors can do is under this name; the others' is under "flags"
GUESTS = ("amazon ec2", "google compute engine", "kvm", "qemu", "openstack", "vmware", "virtual machine")
WHOLE = ".metal"  # of a machine that Amazon lends whole
CONTAINER_SIGNS = ("docker", "kubepods", "containerd", "lxc", "podman")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """Processors, memory and kind of a machine. `modules` (of memory) is None where the board does not tell.

    `has_counters` says whether Linux knows of counters in such processors, not whether it shows any here.
    """

    cpu: str = ""
    sockets: int = 1
    threads: int = 1
    memory_bytes: int = 0
    modules: int | None = None
    virtual: bool = False
    container: bool = False
    has_counters: bool = True
    system: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Its fields as built-in types, for a line of JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> NodeFacts:
        """The facts that `as_dict` wrote; fields of a later version are passed over."""
        return cls(**{name: value for name, value in fields.items() if name in cls.__dataclass_fields__})


def node_facts(roots: Roots) -> NodeFacts:
    """Facts of this machine; what its files do not tell keeps its default."""
    cpu = _cpuinfo(roots.proc)
    return NodeFacts(
        cpu=cpu.get("model name") or cpu.get("Model") or cpu.get("Hardware") or "",
        sockets=max(len(cpu.get("physical ids", "").split()), 1),
        threads=int(cpu.get("threads") or 0) or os.cpu_count() or 1,
        memory_bytes=_memory_bytes(roots.proc),
        modules=_modules(roots.sys),
        virtual="hypervisor" in cpu.get("flags", "").split() or (ARM in cpu and _is_guest(roots.sys)),
        container=_in_container(roots.proc),
        has_counters=ARM not in cpu,
        system=_text(roots.sys / "class/dmi/id/product_name").strip(),
    )


def _is_guest(sys: Path) -> bool:
    """Whether the board calls itself that of a virtual machine: processors of ARM do not say so themselves."""
    maker, name = (_text(sys / "class/dmi/id" / file).strip().lower() for file in ("sys_vendor", "product_name"))
    return any(guest in f"{maker} {name}" for guest in GUESTS) and not name.endswith(WHOLE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpuinfo(proc: Path) -> dict[str, str]:
    """Fields of the first processor, the count of all as "threads", and the sockets as "physical ids"."""
    found: dict[str, str] = {}
    sockets: dict[str, None] = {}
    threads = 0
    for line in _text(proc / "cpuinfo").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        threads += name == "processor"
        if name == "physical id":
            sockets[value] = None
        found.setdefault(name, value)
    return {**found, "threads": str(threads), "physical ids": " ".join(sockets)}


def _memory_bytes(proc: Path) -> int:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * KIBI
    return _pages_bytes() if proc == Roots().proc else 0


def _pages_bytes() -> int:
    """Memory as POSIX tells it, where there is no /proc: on macOS."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _modules(sys: Path) -> int | None:
    """Modules of memory that the memory controllers' driver (EDAC) shows; only filled places have a size."""
    sizes = [_text(path).strip() for path in (sys / "devices/system/edac/mc").glob("mc*/dimm*/size")]
    filled = sum(size.isdigit() and int(size) > 0 for size in sizes)
    return filled or None


def _in_container(proc: Path) -> bool:
    if Path("/.dockerenv").exists() and proc == Path("/proc"):
        return True
    group = _text(proc / "1/cgroup") + _text(proc / "self/cgroup")
    return any(sign in group for sign in CONTAINER_SIGNS)
