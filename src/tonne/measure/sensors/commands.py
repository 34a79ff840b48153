"""Programs that print a number: run beside the meter, so that a slow one never holds it up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tonne.measure.sensors.protocol import Clock, Reading, ReadingError

PATIENCE_S = 30.0  # then a command is ended
GONE_S = 2.0  # for a program that was killed to be gone
MOST_BYTES = 1 << 18  # that are taken of its output at once
NUMBER = re.compile(r"(?<![\w.,])(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan)", re.IGNORECASE)
TWO_WAYS = re.compile(r",\d")  # 1,234: is it a thousand or one and a bit?


def number_in(text: str, pattern: re.Pattern[str] | None = None) -> float:
    """The number that a text holds: the first group of a pattern, or the first number.

    Raises:
        ReadingError: There is none, or it can be read in two ways.
    """
    return float(digits_in(text, pattern))


def digits_in(text: str, pattern: re.Pattern[str] | None = None) -> str:
    """The number that a text holds, as it stands there; see `number_in`."""
    found = (pattern or NUMBER).search(text)
    if found is None:
        raise ReadingError(f"no number in {text[:60]!r}")
    if TWO_WAYS.match(text, found.end(found.re.groups and 1)):
        raise ReadingError(f"a comma in the number of {text[:60]!r}, which can be read in two ways: use a point")
    return found.group(1) if found.re.groups else found.group()


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a program with all that it started: a shell's children would hold its output, and outlive it."""
    _end_group(running)
    running.kill()
    _done_with(running)


def _end_group(running: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(running.pid, signal.SIGKILL)  # it leads a group of its own
    except (AttributeError, ProcessLookupError, PermissionError):
        return  # Windows has no groups; or nobody is left


def _never_waits(running: subprocess.Popen[bytes]) -> bool:
    """Have whoever reads a program's output never wait for it; False where that cannot be, as on some Windows."""
    assert running.stdout is not None
    try:
        os.set_blocking(running.stdout.fileno(), False)
    except (AttributeError, OSError):
        return False
    return True


def _done_with(running: subprocess.Popen[bytes]) -> None:
    """Take away a program that has ended, or was killed: that takes long only where the kernel waits for a device."""
    with suppress(subprocess.TimeoutExpired):
        running.wait(timeout=GONE_S)
    if running.stdout is not None:
        running.stdout.close()


@dataclass(slots=True)
class Command:
    """Runs a command again and again, never waiting for it; a reading is the last one that ended.

    Args:
        words: The command.
        pattern: Where its number stands; left out, the first number.
        clock: Time of the readings.
    """

    words: Sequence[str]
    pattern: re.Pattern[str] | None = None
    clock: Clock = time.monotonic_ns
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _printed: bytes = field(default=b"", init=False)  # by the one that runs, so far
    _never_waits: bool = field(default=True, init=False)  # whoever reads its output
    _is_closed: bool = field(default=False, init=False)  # its output, by all who held it
    _started_ns: int = field(default=0, init=False)
    _last: Reading | None = field(default=None, init=False)

    def read(self) -> Reading:
        """The last number printed, at the time at which it was there; a fault until there is one."""
        self._collect()
        if self._running is None:
            self._start()
        return self._last or Reading(self.clock(), None, "the command has not answered yet")

    def close(self) -> None:
        """End the command where it runs, and wait until it is gone."""
        if self._running is not None:
            _end(self._running)
            self._running = None

    def _start(self) -> None:
        self._started_ns = self.clock()
        try:
            self._running = subprocess.Popen(
                list(self.words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is meant for the program that is measured
            )
        except OSError as error:
            self._last = Reading(self.clock(), None, f"{self.words[0]}: {error.strerror}")
            return
        self._printed, self._is_closed = b"", False
        self._never_waits = _never_waits(self._running)

    def _collect(self) -> None:
        running = self._running
        if running is None:
            return
        has_ended = running.poll() is not None  # then all that it printed itself is there to be taken
        self._take(running, has_ended=has_ended)
        is_answered = has_ended and (self._is_closed or bool(self._printed.strip()) or running.returncode != 0)
        if is_answered:
            if not self._is_closed:
                _end_group(running)  # whoever it left behind
            _done_with(running)
            self._running, self._last = None, self._answer(running.returncode)
        elif self.clock() - self._started_ns > PATIENCE_S * 1e9:
            self.close()
            self._last = Reading(self.clock(), None, f"no answer within {PATIENCE_S:g} s")

    def _take(self, running: subprocess.Popen[bytes], *, has_ended: bool) -> None:
        """What it printed since the last time; a full pipe would hold it up."""
        assert running.stdout is not None
        if not (self._never_waits or has_ended):
            return
        begun = len(self._printed)
        try:
            while len(self._printed) - begun < MOST_BYTES:
                new = os.read(running.stdout.fileno(), 1 << 16)
                self._printed += new
                self._is_closed = not new
                if self._is_closed or not self._never_waits:
                    return
        except BlockingIOError:
            return

    def _answer(self, status: int) -> Reading:
        """The reading of a command that ended."""
        if status != 0:
            return Reading(self.clock(), None, f"{self.words[0]} ended with status {status}")
        try:
            return Reading(self.clock(), number_in(self._printed.decode("utf-8", errors="replace"), self.pattern))
        except (ReadingError, ValueError) as error:
            return Reading(self.clock(), None, str(error))


@dataclass(slots=True)
class Stream:
    """A program that goes on printing; keeps the last number of every pattern.

    Args:
        words: The command.
        patterns: A name to what its line looks like, the number being the first group.
        clock: Time of the readings.
    """

    words: Sequence[str]
    patterns: dict[str, re.Pattern[str]]
    clock: Clock = time.monotonic_ns
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)
    _last: dict[str, Reading] = field(default_factory=dict, init=False)
    _ended: bool = field(default=False, init=False)

    def read(self, name: str) -> Reading:
        """The last number of a name, at the time at which it was there."""
        self._take()
        waiting = "the program has ended" if self._ended else "the program has not answered yet"
        last = self._last.get(name)
        return Reading(self.clock(), None, waiting) if last is None or self._ended else last

    def close(self) -> None:
        """End the program, and wait until it is gone."""
        if self._running is not None:
            _end(self._running)
            self._running, self._ended = None, True

    def _take(self) -> None:
        if self._running is None:
            self._start()
        if self._running is None or self._running.stdout is None:
            return
        try:
            new = os.read(self._running.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not new:
            self._ended = True
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._note(line.decode("utf-8", errors="replace"))

    def _note(self, line: str) -> None:
        for name, pattern in self.patterns.items():
            found = pattern.search(line)
            if found is not None:
                self._last[name] = Reading(self.clock(), float(found.group(1)))

    def _start(self) -> None:
        if self._ended:
            return
        try:
            self._running = subprocess.Popen(
                list(self.words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._ended = True
            return
        _never_waits(self._running)
