"""`tonne run -- COMMAND` and `tonne attach PID`: a command measured from outside, as if tonne were not there.

Its standard output is its own, its exit status is ours, signals reach it. Typer is not loaded here.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

from tonne.cli.group_witness import Witness, is_of_our_group
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
FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGINT", "SIGCONT")
ENDINGS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT")
SUSPENDING = "SIGTSTP"
POLL_S = 0.2  # of a process that is not our child
SHELL = "/bin/sh"


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
    except KeyboardInterrupt:  # while the idle machine was read: there is no command yet
        return SIGNALLED + signal.SIGINT


def _say(text: str) -> None:
    """Tell the user; where nobody listens any more, nobody. Without standard error, print would take the output."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = None  # what it holds would otherwise be tried again at the end, and change our exit status


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
    inherited = _inherited()
    meter = _meter(options)
    if options.baseline:
        meter.baseline(options.baseline)
    watch = _watch(meter, options)
    meter.start()
    variables = dict(os.environ)
    if meter.run_id is not None and meter.folder is not None:
        variables |= {environment.RUN: meter.run_id, environment.FOLDER: meter.folder}
    child = Child(options, variables, watch, inherited)
    code = child.begin()
    if code is None:
        if watch is not None:
            watch.stop_child = child.stop
            meter.on_tick = watch.look
        code = child.wait()
    ended = status.FINISHED if code == 0 else status.STOPPED if child.was_stopped else status.FAILED
    meter.stop(ended, exit_code=code)
    _conclude(watch)
    return OVER_BUDGET if child.over_budget else code


def _conclude(watch: Watch | None) -> None:
    """Say what the run took; where that fails, the command's exit status is ours all the same."""
    if watch is None:
        return
    try:
        watch.conclude()
    except Exception as error:
        _say(f"tonne: what the run took is not known: {' '.join(str(error).split()) or type(error).__name__}")


def _inherited() -> tuple[int, ...]:
    """Open files that whoever called us means the command to have, such as those of `<(...)`; none of our own."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 - no pathlib here
    except OSError:
        return ()
    return tuple(number for number in numbers if number > 2 and _is_inheritable(number))


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False  # that of the listing itself


class Command(subprocess.Popen[bytes]):
    """The command's process, known as soon as it runs: its constructor returns later, and a signal may come between."""

    def __init__(
        self,
        tell: Callable[[subprocess.Popen[bytes]], None],
        words: list[str],
        variables: dict[str, str],
        pipe: int | None,
        inherited: tuple[int, ...],
    ) -> None:
        """Start it.

        Args:
            tell: Called with it before it runs; until then its number is None.
            words: Program and arguments.
            variables: Its environment.
            pipe: For its output, where that is read.
            inherited: Open files that it is to have.
        """
        self.pid = None  # type: ignore[assignment]
        tell(self)
        super().__init__(words, env=variables, stdout=pipe, stderr=pipe, pass_fds=inherited)


class Child:
    """The command, its signals and its end."""

    def __init__(
        self, options: Namespace, variables: dict[str, str], watch: Watch | None, inherited: tuple[int, ...] = ()
    ) -> None:
        """A command that has not begun."""
        self._options, self._variables, self._watch, self._inherited = options, variables, watch, inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._copies: list[Any] = []
        self._stopping: Any = None  # the thread that ends it
        self._witness: Witness | None = None
        self._waiting: list[int] = []  # signals that came before there was a child
        self._came: list[tuple[int, float]] = []  # signals that are to be passed on, and when they came
        self._is_passing_on = False
        self.was_stopped = False
        self.over_budget = False

    def begin(self) -> int | None:
        """Start the command; the exit status where it cannot be started."""
        self._take_signals()
        self._witness = Witness(getattr(signal, name) for name in FORWARDED if hasattr(signal, name))
        reads_output = self._options.reads_steps and self._options.steps_from is None
        pipe = subprocess.PIPE if reads_output else None
        if reads_output:
            self._variables.setdefault("PYTHONUNBUFFERED", "1")  # steps should come when they are printed
        try:
            self._process = self._started(self._options.command, pipe)
        except OSError as error:
            self._witness.end()
            _say(f"Error: {self._options.command[0]!r} cannot be run: {error.strerror}. Write it as in a shell.")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE
        for number in self._waiting:
            self._process.send_signal(number)
        if reads_output and self._watch is not None:
            from tonne.cli.copying import copies  # noqa: PLC0415 - only where output is read

            self._copies = copies(self._process, self._watch.reader)
        return None

    def _started(self, command: list[str], pipe: int | None) -> subprocess.Popen[bytes]:
        """The command's process; a file without a line that says what reads it is the shell's, as in a shell."""
        try:
            return Command(self._tell, command, self._variables, pipe, self._inherited)
        except OSError as error:
            self._process = None
            if error.errno != errno.ENOEXEC or not os.path.exists(SHELL):  # noqa: PTH110 - no pathlib here
                raise
            return self._started([SHELL, *command], pipe)

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _begun(self) -> subprocess.Popen[bytes] | None:
        """The command's process, once it has a number."""
        return None if self._process is None or self._process.pid is None else self._process

    def wait(self) -> int:
        """The exit status of the command, as a shell gives it."""
        assert self._process is not None
        code = _waited_for(self._process)
        if self._witness is not None:
            self._witness.end()
        if self._stopping is not None:
            self._stopping.join()
        for copy in self._copies:
            copy.join()
        return code if code >= 0 else SIGNALLED - code

    def stop(self) -> None:
        """Ask the command to end, for a budget; and end it where it does not within the time of grace."""
        if self._process is None or self.over_budget:
            return
        self.over_budget = self.was_stopped = True
        from threading import Thread  # noqa: PLC0415 - only here

        self._stopping = Thread(target=self._end_it, args=(self._process, self._options.grace), daemon=True)
        self._stopping.start()

    def _end_it(self, process: subprocess.Popen[bytes], grace_s: float) -> None:
        """Ask it to end, then what it leaves running, as a shell does; kill what does not within the time."""
        until_s = time.monotonic() + grace_s
        below = [(pid, processes.started(pid)) for pid in processes.tree_use(process.pid)[2] - {process.pid}]
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
        _signal(below, signal.SIGTERM)
        while time.monotonic() < until_s and any(processes.is_alive(*one) for one in below):
            time.sleep(POLL_S)
        _signal(below, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _take_signals(self) -> None:
        for name in FORWARDED:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                signal.signal(number, self._forward)
        number = getattr(signal, SUSPENDING, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, self._suspend)

    def _forward(self, number: int, _: FrameType | None) -> None:
        """Pass a signal on, unless the command was sent it too, as by a terminal or `kill -- -GROUP`."""
        if signal.Signals(number).name in ENDINGS:
            self.was_stopped = True
        if number in {signal.SIGINT, getattr(signal, "SIGQUIT", None)} and _is_foreground():
            return
        process = self._begun()
        if process is None:
            self._waiting.append(number)
            return
        self._came.append((number, time.monotonic()))
        while self._came and not self._is_passing_on:  # one that comes meanwhile waits: this is not to be entered twice
            self._is_passing_on = True
            try:
                while self._came:
                    self._pass_on(process, *self._came.pop(0))
            finally:
                self._is_passing_on = False

    def _pass_on(self, process: subprocess.Popen[bytes], number: int, came_s: float) -> None:
        if process.poll() is None and not self._was_sent_to_all(process, number, came_s):
            process.send_signal(number)

    def _was_sent_to_all(self, process: subprocess.Popen[bytes], number: int, came_s: float) -> bool:
        """Whether the command has a signal already; one that says to go on may come twice."""
        if self._witness is None or number == getattr(signal, "SIGCONT", None):
            return False
        return self._witness.saw(number, came_s) and is_of_our_group(process.pid)

    def _suspend(self, number: int, _: FrameType | None) -> None:
        """Stand still, and the command with us, until somebody says to go on; that is passed on as other signals."""
        process = self._begun()
        if process is not None and process.poll() is None and not _is_foreground():
            process.send_signal(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspend)


def _waited_for(process: subprocess.Popen[bytes]) -> int:
    """How a command ended, waited for so that every signal meanwhile reaches its handler at once.

    One that comes just before the wait begins, or that the kernel gives to another thread (as when we were stopped and
    go on), does not end `Popen.wait`, and its handler would not run before the command ends. It leaves a byte here.
    """
    try:
        ends = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or reaped by the thread that ends it
        return process.wait()
    came, comes = os.pipe()
    os.set_blocking(comes, False)
    former = signal.set_wakeup_fd(comes, warn_on_full_buffer=False)
    either = select.poll()  # select.select takes no number above 1023
    for descriptor in (came, ends):
        either.register(descriptor, select.POLLIN)
    try:
        while process.poll() is None:
            if came in dict(either.poll()):
                os.read(came, 4096)
    finally:
        signal.set_wakeup_fd(former)
        for descriptor in (came, comes, ends):
            os.close(descriptor)
    return process.wait()


def _signal(those: list[tuple[int, int]], number: int) -> None:
    """Send a signal to the processes that still run, by their numbers and when they started."""
    for pid, began in those:
        if processes.is_alive(pid, began):
            with suppress(OSError):  # it ended just now
                os.kill(pid, number)


def _is_foreground() -> bool:
    """Whether a terminal sends its signals to us and the command alike, wherever our output goes."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def attach(options: Namespace) -> int:
    """Measure a process that runs already, until it ends or we are interrupted."""
    began = processes.started(options.pid)
    if not processes.is_alive(options.pid, began) or (sys.platform.startswith("linux") and not began):
        _say(f"Error: there is no process {options.pid}. Give the number of one that runs, as `ps` shows it.")
        return BAD_INPUT
    meter = _meter(options)
    meter.watched_pid = options.pid
    watch = _watch(meter, options)
    wishes = _wishes_to_stop()  # before there is a run, which would otherwise be left without an end
    meter.start()
    if watch is not None:
        meter.on_tick = watch.look
    while processes.is_alive(options.pid, began) and not wishes:
        time.sleep(POLL_S)
    meter.stop(status.STOPPED if wishes else status.FINISHED)
    _conclude(watch)
    return 0


def _wishes_to_stop() -> list[int]:
    """Signals by which somebody wants us to stop, as they come from now on."""
    wishes: list[int] = []
    for name in ENDINGS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, lambda number, _: wishes.append(number))
    return wishes
