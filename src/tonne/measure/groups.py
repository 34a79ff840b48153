"""Control groups of the kernel: what a scheduler or a container lets a process use, and what all in its group used.

Light: read at the start of a run, and with the CPU time of its processes.
"""

from __future__ import annotations

import os
import re
import zlib

from tonne.measure.processes import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Of a path, as much as is one job: what a scheduler started is that job's by definition, in all of its processes.
JOBS = (
    r".*/job_\d+(?:/step_[^/]+)?",  # Slurm
    r".*/jobid/[^/]+",  # PBS
    r".*/lsf/[^/]+/job\.[^/]+",
    r".*/kubepods.*?[/-][0-9a-f]{64}[^/]*",
)
# A container may be anybody's workshop, with several runs in it: its limits count, its CPU time does not.
CONTAINERS = (r".*?[/-][0-9a-f]{64}[^/]*", r".*/lxc(?:\.payload)?[./][^/]+", r".*/run-[^/]+\.(?:scope|service)")
IN_A_POD = "KUBERNETES_SERVICE_HOST"  # set in every container of Kubernetes, which may show its group as "/"
UNLIMITED_BYTES = 1 << 60  # version 1 writes a large number where there is no limit
MICRO, NANO = 1e-6, 1e-9


class Group:
    """The group of a process that is a job or a container of its own."""

    __slots__ = ("_cpu", "_memory", "_version", "id", "is_job")

    def __init__(self, path: str, cpu: str, memory: str, *, version: int, is_job: bool) -> None:
        """A group whose files lie in these folders.

        Args:
            path: As the kernel names it; only a number made from it is kept.
            cpu: Folder of its CPU time and its share of the CPUs.
            memory: Folder of its memory.
            version: Of control groups, 1 or 2.
            is_job: Whether everything in it is one job.
        """
        self.id = f"{zlib.crc32(path.encode()):08x}"
        self.is_job = is_job
        self._cpu, self._memory, self._version = cpu, memory, version

    def cpu_s(self) -> float | None:
        """CPU time of everything that was ever in it [s]; None where the kernel does not count it."""
        if self._version == 1:
            text = text_of(f"{self._cpu}/cpuacct.usage").strip()
            return int(text) * NANO if text.isdigit() else None
        words = text_of(f"{self._cpu}/cpu.stat").split()
        return int(words[words.index("usage_usec") + 1]) * MICRO if "usage_usec" in words else None

    def cpus(self) -> float | None:
        """CPUs whose time it may take; None where it is not limited."""
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if self._version == 1 else ("cpu.max",)
        words = " ".join(text_of(f"{self._cpu}/{name}") for name in names).split()
        if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):
            return None  # "max", or -1
        return int(words[0]) / int(words[1])

    def memory_bytes(self) -> int | None:
        """Memory that it may hold [bytes]; None where it is not limited."""
        name = "memory.limit_in_bytes" if self._version == 1 else "memory.max"
        text = text_of(f"{self._memory}/{name}").strip()
        return int(text) if text.isdigit() and int(text) < UNLIMITED_BYTES else None

    def as_dict(self) -> dict[str, Any]:
        """What a run's header says of it."""
        return {"id": self.id, "is_job": self.is_job, "cpus": self.cpus(), "memory_bytes": self.memory_bytes()}


def group_of(pid: int | None = None, proc: str = "/proc", root: str = "/sys/fs/cgroup") -> Group | None:
    """The group of a process where it is that of a job or a container; None where it is a user's or the machine's.

    Args:
        pid: Of the process; left out, this one.
        proc: Where the kernel shows processes.
        root: Where it shows groups.
    """
    lines = [line.split(":", 2) for line in text_of(f"{proc}/{pid or 'self'}/cgroup", 65_536).splitlines()]
    paths = {name: path for _, names, path in (line for line in lines if len(line) == 3) for name in names.split(",")}
    return _of_version_1(paths, root) or _of_version_2(paths.get("", "/"), root)


def _of_version_1(paths: dict[str, str], root: str) -> Group | None:
    if "cpuacct" not in paths:
        return None
    path, is_job = _known(paths["cpuacct"])
    if not path:
        return None
    memory = _known(paths.get("memory", "/"))[0]
    return Group(path, _folder(f"{root}/cpuacct", path), _folder(f"{root}/memory", memory), version=1, is_job=is_job)


def _of_version_2(whole: str, root: str) -> Group | None:
    path, is_job = _known(whole)
    if not path and whole == "/" and os.path.exists(f"{root}/cgroup.type"):  # no root has it: a container's own "/"
        path, is_job = f"/{os.uname().nodename}", IN_A_POD in os.environ
    folder = _folder(root, path)
    return Group(path, folder, folder, version=2, is_job=is_job) if path else None


def _known(path: str) -> tuple[str, bool]:
    """As much of a path as is one job or container, and whether it is a job; empty where it is neither."""
    for patterns, is_job in ((JOBS, True), (CONTAINERS, False)):
        for pattern in patterns:
            found = re.match(pattern, path)
            if found is not None:
                return found.group(), is_job
    return "", False


def _folder(root: str, path: str) -> str:
    """Folder of a group; inside a container its own is shown at the root."""
    return root + path if path and os.path.isdir(root + path) else root
