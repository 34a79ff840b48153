"""Places for a process: with another powercap tree, without a network that answers, with a clock that jumps.

They need Linux and root (namespaces); without, `are_there` is false and the rows that need them are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

TREE = (
    'mount -t tmpfs tmpfs /sys/class && mkdir /sys/class/powercap && mount --bind "$0" /sys/class/powercap && exec "$@"'
)
# All packets go to the loopback, which knows none of their addresses: nothing answers, not even that nobody is there.
DROPPED = (
    "ip link set lo up && ip addr add 198.51.100.1/32 dev lo && ip route add default dev lo && "
    'mount --bind "$0" /etc/resolv.conf && exec "$@"'
)
JUMP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long ahead(void) { const char *f = getenv("JUMP_FILE"); return f && access(f, F_OK) == 0 ? 3600 : 0; }
int clock_gettime(clockid_t c, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(c, t);
  if (c == CLOCK_REALTIME) t->tv_sec += ahead();
  return r;
}
int gettimeofday(struct timeval *restrict t, void *restrict z) {
  struct timespec s;
  int r = clock_gettime(CLOCK_REALTIME, &s);
  t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000;
  return r;
}
time_t time(time_t *t) {
  struct timespec s;
  clock_gettime(CLOCK_REALTIME, &s);
  if (t) *t = s.tv_sec;
  return s.tv_sec;
}
"""


@cache
def are_there() -> bool:
    """Whether this machine lets us make such places."""
    if os.name != "posix" or shutil.which("unshare") is None:
        return False
    words = ["unshare", "-m", "-n", "sh", "-c", "mount -t tmpfs tmpfs /sys/class"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def with_tree(folder: Path, words: list[str]) -> list[str]:
    """The command, which sees this folder as the kernel's powercap tree."""
    return ["unshare", "-m", "sh", "-c", TREE, str(folder), *words]


def with_packets_dropped(folder: Path, words: list[str]) -> list[str]:
    """The command, with a network and a name server that never answer."""
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.1\n")
    return ["unshare", "-m", "-n", "sh", "-c", DROPPED, str(resolver), *words]


def clock_that_jumps(folder: Path) -> dict[str, str] | None:
    """Variables for a process whose wall clock goes one hour ahead once the file JUMP_FILE is there."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, library = folder / "jump.c", folder / "jump.so"
    source.write_text(JUMP)
    words = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(words, check=True, capture_output=True)
    return {"LD_PRELOAD": str(library), "JUMP_FILE": str(folder / "jumped")}
