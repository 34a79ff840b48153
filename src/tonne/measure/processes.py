"""Processes and the machine below them, as the kernel tells: who is whose parent, and what CPU time was spent.

Elsewhere than on Linux most of it is unknown; then None or what the standard library knows.
"""

from __future__ import annotations

import os
import sys

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
GENERATIONS = 8  # from a rank up to its launcher there are few
_MINE = "self"


def text_of(path: str, size: int = 4096) -> str:
    """Beginning of a file of the kernel; empty where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(descriptor, size).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """This boot of this machine, the same in all of its containers; its name where the kernel has no such id."""
    found = text_of("/proc/sys/kernel/random/boot_id").strip()
    return found or (os.uname().nodename if hasattr(os, "uname") else "node")


def _stat(pid: int | str) -> list[str]:
    """Fields of /proc/PID/stat from the state on; a name may hold spaces and brackets."""
    return text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()


def started(pid: int | str = _MINE) -> int:
    """When a process started [clock ticks since boot]; 0 where it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else 0


def is_alive(pid: int, ticks: int) -> bool:
    """Whether the process that started then still runs; a number is used again by later ones."""
    if sys.platform.startswith("linux"):
        return started(pid) == ticks
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def parents() -> list[list[int]]:
    """Number and start of the processes above this one, nearest first, without the one of the whole machine."""
    found: list[list[int]] = []
    pid = os.getppid()
    while pid > 1 and len(found) < GENERATIONS:
        fields = _stat(pid)
        if len(fields) <= 19:
            break
        found.append([pid, int(fields[19])])
        pid = int(fields[1])
    return found if found or sys.platform.startswith("linux") else [[os.getppid(), 0]]


def namespace() -> str:
    """Within which numbers of processes mean something."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """Numbers of the processes that a process started; empty where the kernel does not tell."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in text_of(f"/proc/{pid}/task/{thread}/children", 65536).split()]


def tree_use(pid: int) -> tuple[float, int, set[int]]:
    """CPU time of a process, of all below it and of those that ended there [s]; their memory [bytes]; their numbers."""
    ticks, pages, waiting = 0, 0, [pid]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        fields = _stat(one)
        if one in seen or len(fields) <= 21:
            continue
        seen.add(one)
        ticks += sum(int(fields[i]) for i in (11, 12, 13, 14))
        pages += int(fields[21])
        waiting += children(one)
    if not seen:  # no /proc
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system, 0, {pid}
    return ticks / TICKS_PER_S, pages * PAGE_BYTES, seen


def node_cpu_s() -> tuple[float, float] | None:
    """CPU time spent by everybody on this node, and with the idle time, since boot [s, over all CPUs]."""
    line = text_of("/proc/stat", 512).partition("\n")[0].split()
    if len(line) < 8 or line[0] != "cpu":
        return None
    user, nice, system, idle, waiting, interrupts, soft_interrupts = (int(word) for word in line[1:8])
    busy = user + nice + system + interrupts + soft_interrupts  # guests are within user; stolen time is not ours
    return busy / TICKS_PER_S, (busy + idle + waiting) / TICKS_PER_S


def cpus_allowed(pid: int | None = None) -> int:
    """CPUs that a process may run on; None for this one."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(pid or 0)) if affinity is not None else (os.cpu_count() or 1)


def cpu_list(pid: int | None = None) -> list[int] | None:
    """First and last of each row of CPUs that a process may run on, one after the other; None where nobody tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return None
    cpus = affinity(pid or 0)
    return [cpu for cpu in sorted(cpus) for beside in (cpu - 1, cpu + 1) if beside not in cpus]


def environment_of(pid: int | None) -> dict[str, str] | None:
    """Variables with which another process began; None for this one, or where they may not be read."""
    if pid is None:
        return None
    words = text_of(f"/proc/{pid}/environ", 1 << 20).split("\0")
    return {name: value for name, _, value in (word.partition("=") for word in words) if name} or None
