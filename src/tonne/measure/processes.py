"""Processes and the machine below them, as the kernel tells: who is whose parent, and what CPU time was spent.

Elsewhere than on Linux most of it is unknown; then None or what the standard library knows.
"""

from __future__ import annotations

import os
import sys
import time
from zlib import crc32

SPAWNED = "--multiprocessing-fork"  # in the command of a child that multiprocessing started
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
GENERATIONS = 8  # from a rank up to its launcher there are few
WHOLE_MACHINE = "pid:[4026531836]"  # namespace of processes of the kernel itself, PROC_PID_INIT_INO
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


def file_of(descriptor: int) -> tuple[int, int] | None:
    """Device and inode that a descriptor stands for; None where it is closed.

    A program that becomes a daemon closes every descriptor, and its next files get the same numbers.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def boot_id() -> str:
    """This boot of this machine, the same in all of its containers; its name where the kernel has no such id."""
    found = text_of("/proc/sys/kernel/random/boot_id").strip()
    return found or (os.uname().nodename if hasattr(os, "uname") else "node")


def _stat(pid: int | str) -> list[str]:
    """Fields of /proc/PID/stat from the state on; a name may hold spaces and brackets."""
    return text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()


def name_of(pid: int) -> str:
    """What the kernel calls a process: its program, 15 letters of it; empty where it is gone."""
    return text_of(f"/proc/{pid}/comm").strip()


def command_digest() -> str | None:
    """What tells this process's command from others; None where Python made it up for a child, or nobody tells it."""
    words = text_of("/proc/self/cmdline", 1 << 16)
    return None if not words or SPAWNED in words else f"{crc32(words.encode()):08x}"


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


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, by a signal or a debugger, and has not gone on since."""
    return _stat(pid)[:1] in (["T"], ["t"])


def parents() -> list[list[int]]:
    """Number and start of the processes above this one, nearest first, without the one of the whole machine.

    The first process of a container may be a launcher, as torchrun is. Whoever lost its parent there is given to it
    too, and is told by its session, which somebody else began.
    """
    found: list[list[int]] = []
    pid = os.getppid()
    top = 0 if pid != 1 or _is_of_first() else 1
    while pid > top and len(found) < GENERATIONS:
        if pid == 1 and namespace() in {"", WHOLE_MACHINE}:
            break
        fields = _stat(pid)
        if len(fields) <= 19:
            break
        found.append([pid, int(fields[19])])
        pid = int(fields[1])
    return found if found or sys.platform.startswith("linux") else [[os.getppid(), 0]]


def _is_of_first() -> bool:
    """Whether a child of the first process was started by it: in its session, or with one of its own."""
    try:
        return os.getsid(0) in {os.getpid(), os.getsid(1)}
    except OSError:
        return False


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


def _has_children() -> bool:
    """Whether a process that this one started is still there."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # WNOWAIT: whoever waits for one still gets it
    except ChildProcessError:
        return False
    except (OSError, AttributeError):
        return True
    return True


def own_cpu_s() -> float:
    """CPU time of this process and of its children that ended [s]."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _own_bytes() -> int:
    """Memory that this process holds [bytes]; 0 where the kernel does not tell."""
    pages = text_of("/proc/self/statm", 256).split()
    return int(pages[1]) * PAGE_BYTES if len(pages) > 1 else 0


def tree_use(pid: int) -> tuple[float, int, set[int]]:
    """CPU time of a process, of all below it and of those that ended there [s]; their memory [bytes]; their numbers."""
    if pid == os.getpid() and not _has_children():
        return own_cpu_s(), _own_bytes(), {pid}
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
        if one != os.getpid() or _has_children():  # asking a process of many threads for them takes milliseconds
            waiting += children(one)
    if not seen:  # no /proc
        return own_cpu_s(), 0, {pid}
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
