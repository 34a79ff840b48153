"""Whether a signal came to our whole process group, and so to the command too, or to us alone.

No system call says it: `kill PID` and `kill -- -GROUP` look the same to who is sent them. So a process stands beside us
that does nothing and blocks signals: what it was sent waits for it, and the kernel tells that. If it was sent one, so
was the command. The same holds where each process of a control group is sent it, as systemd and Slurm do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM = ["cat"]  # waits for input that never comes, and ends with us: then its input ends
PATIENCE_S = 0.1  # the processes of a group are sent a signal one after the other
PAUSE_S = 0.001
ECHO_S = 0.2  # `timeout` sends its signal to its child and to the group at once: the same one twice


class Witness:
    """The process beside us. A signal waits once however often it came: after each one there is a new process."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """Start it; where the kernel does not tell what waits for a process, nothing is ever known."""
        self._numbers = frozenset(numbers)
        self._beside: list[subprocess.Popen[bytes]] = []  # the newest last; the one before may know of one more signal
        self._known: dict[int, set[int]] = {}  # by process, the signals that it told of
        self._told_s: dict[int, float] = {}  # when a signal was last told of
        if os.path.exists("/proc/self/status"):  # noqa: PTH110 - no pathlib here
            self._begin()

    def _begin(self) -> None:
        nobody = subprocess.DEVNULL
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        try:
            process = subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=nobody, stderr=nobody)
        except OSError:
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        self._known[process.pid] = set()
        self._beside.append(process)
        for one in self._beside[:-2]:
            self._let_go(one)

    def saw(self, number: int, came_s: float) -> bool:
        """Whether it was sent a signal that we were sent at a time of the monotonic clock."""
        until_s = time.monotonic() + PATIENCE_S
        while self._beside:
            is_last = time.monotonic() > until_s  # whoever stands still for that long looks once more all the same
            if came_s < self._told_s.get(number, -ECHO_S) + ECHO_S:
                return True
            told = [one.pid for one in self._beside if number in waiting_for(one.pid) - self._known[one.pid]]
            if told:
                self._known[told[0]].add(number)
                self._told_s[number] = time.monotonic()
                if told[0] == self._beside[-1].pid:
                    self._begin()
                return True
            if is_last:
                return False
            time.sleep(PAUSE_S)
        return False

    def end(self) -> None:
        """End it."""
        for one in list(self._beside):
            self._let_go(one)

    def _let_go(self, process: subprocess.Popen[bytes]) -> None:
        self._beside.remove(process)
        self._known.pop(process.pid)
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def waiting_for(pid: int) -> set[int]:
    """The signals that wait for a process; none where that is not known."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - no pathlib here
            masks = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    except OSError:
        return set()
    return {number for mask in masks for number in range(1, mask.bit_length() + 1) if mask >> (number - 1) & 1}


def is_of_our_group(pid: int) -> bool:
    """Whether a process is in our process group, so that what is sent to that reaches it."""
    try:
        return os.getpgid(pid) == os.getpgrp()
    except (OSError, AttributeError):
        return False
