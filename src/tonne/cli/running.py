"""`tonne run -- COMMAND` and `tonne attach PID`: a command measured from outside, as if tonne were not there.

Its standard output is its own, its exit status is ours, signals reach it. Typer is not loaded here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tonne.errors import TonneError
from tonne.measure import environment, processes, status
from tonne.measure.meter import Meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from tonne.cli.watching import Watch

BAD_INPUT, OVER_BUDGET, CANNOT_EXECUTE, NOT_FOUND = 2, 3, 126, 127
SIGNALLED = 128
FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGINT")
ENDINGS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT")
POLL_S = 0.2  # of a process that is not our child


def main(words: list[str]) -> int:
    """The exit status of `tonne run` or `tonne attach`."""
    from tonne.cli.run_options import parsed  # noqa: PLC0415 - parsed before anything else is loaded

    options = parsed(words)
    try:
        if options.what == "attach":
            return attach(options)
        return run(options)
    except TonneError as error:
        _say(f"Error: {' '.join(str(error).split())}")
        return BAD_INPUT


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _watch(meter: Meter, options: Namespace) -> Watch | None:
    """What looks after limits and tells how things stand; None where the command is over before it is needed."""
    from tonne.cli.watching import Watch  # noqa: PLC0415 - light, but not needed by others

    return Watch(meter, options, say=_say)


def _meter(options: Namespace) -> Meter:
    if options.resume is not None:
        from tonne.measure.recover import run_named  # noqa: PLC0415 - seldom needed

        earlier = run_named(options.resume, options.folder)
        os.environ[environment.RUN], os.environ[environment.FOLDER] = earlier.id, earlier.folder
    folder = None if options.folder is None or options.resume else os.path.abspath(options.folder)  # noqa: PTH100 - no pathlib here
    what = options.command[0] if options.command else f"pid-{options.pid}"
    name = options.name or what.rpartition(os.sep)[2]
    meter = Meter(name, site=options.place, interval_s=options.interval, folder=folder)
    meter.role, meter.hourly = "watcher", options.hourly
    meter.label(options.project, options.purpose, options.tag)
    return meter


def run(options: Namespace) -> int:
    """Run a command and measure it."""
    meter = _meter(options)
    if options.baseline:
        meter.baseline(options.baseline)
    watch = _watch(meter, options)
    meter.start()
    variables = dict(os.environ)
    if meter.run_id is not None and meter.folder is not None:
        variables |= {environment.RUN: meter.run_id, environment.FOLDER: meter.folder}
    child = Child(options, variables, watch)
    code = child.begin()
    if code is None:
        if watch is not None:
            watch.stop_child = child.stop
            meter.on_tick = watch.look
        code = child.wait()
    ended = status.FINISHED if code == 0 else status.STOPPED if child.was_stopped else status.FAILED
    meter.stop(ended, exit_code=code)
    if watch is not None:
        watch.conclude()
    return OVER_BUDGET if child.over_budget else code


class Child:
    """The command, its signals and its end."""

    def __init__(self, options: Namespace, variables: dict[str, str], watch: Watch | None) -> None:
        """A command that has not begun."""
        self._options, self._variables, self._watch = options, variables, watch
        self._process: subprocess.Popen[bytes] | None = None
        self._copies: list[Any] = []
        self._waiting: list[int] = []  # signals that came before there was a child
        self.was_stopped = False
        self.over_budget = False

    def begin(self) -> int | None:
        """Start the command; the exit status where it cannot be started."""
        self._take_signals()
        reads_output = self._options.step_pattern is not None and self._options.steps_from is None
        pipe = subprocess.PIPE if reads_output else None
        if reads_output:
            self._variables.setdefault("PYTHONUNBUFFERED", "1")  # steps should come when they are printed
        try:
            self._process = subprocess.Popen(self._options.command, env=self._variables, stdout=pipe, stderr=pipe)
        except OSError as error:
            _say(f"Error: {self._options.command[0]!r} cannot be run: {error.strerror}. Write it as in a shell.")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE
        for number in self._waiting:
            self._process.send_signal(number)
        if reads_output and self._watch is not None:
            from tonne.cli.copying import copies  # noqa: PLC0415 - only where output is read

            self._copies = copies(self._process, self._watch.read_output)
        return None

    def wait(self) -> int:
        """The exit status of the command, as a shell gives it."""
        assert self._process is not None
        code = self._process.wait()
        for copy in self._copies:
            copy.join()
        return code if code >= 0 else SIGNALLED - code

    def stop(self) -> None:
        """Ask the command to end, for a budget; and end it where it does not within the time of grace."""
        if self._process is None or self.over_budget:
            return
        self.over_budget = self.was_stopped = True
        process, grace_s = self._process, self._options.grace
        process.terminate()

        def insist() -> None:
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()

        from threading import Thread  # noqa: PLC0415 - only here

        Thread(target=insist, name="tonne-grace", daemon=True).start()

    def _take_signals(self) -> None:
        for name in FORWARDED:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                signal.signal(number, self._forward)

    def _forward(self, number: int, _: FrameType | None) -> None:
        """Pass a signal on; the terminal sends its own to the whole group."""
        if signal.Signals(number).name in ENDINGS:
            self.was_stopped = True
        if number in {signal.SIGINT, getattr(signal, "SIGQUIT", None)} and _is_foreground():
            return
        if self._process is None:
            self._waiting.append(number)
        elif self._process.poll() is None:
            self._process.send_signal(number)


def _is_foreground() -> bool:
    """Whether a terminal sends its signals to us and the command alike."""
    for descriptor in (0, 1, 2):
        try:
            return os.tcgetpgrp(descriptor) == os.getpgrp()
        except OSError:
            continue
    return False


def attach(options: Namespace) -> int:
    """Measure a process that runs already, until it ends or we are interrupted."""
    began = processes.started(options.pid)
    if not processes.is_alive(options.pid, began) or (sys.platform.startswith("linux") and not began):
        _say(f"Error: there is no process {options.pid}. Give the number of one that runs, as `ps` shows it.")
        return BAD_INPUT
    meter = _meter(options)
    meter.watched_pid = options.pid
    watch = _watch(meter, options)
    meter.start()
    if watch is not None:
        meter.on_tick = watch.look
    _until_it_ends(lambda: processes.is_alive(options.pid, began))
    meter.stop(status.FINISHED)
    if watch is not None:
        watch.conclude()
    return 0


def _until_it_ends(lives: Callable[[], bool]) -> None:
    """Wait for a process that is not our child, or for somebody who wants us to stop."""
    stopped: list[int] = []
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda number, _: stopped.append(number))
    while lives() and not stopped:
        time.sleep(POLL_S)
