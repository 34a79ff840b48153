"""The meter: `tonne.track`. It costs the user's program nothing that could be felt, and never harms it."""

from __future__ import annotations

import atexit
import os
import sys
import time
from _weakrefset import WeakSet  # as weakref has it, of which this alone is loaded already
from threading import RLock

from tonne.measure import environment, identity, status
from tonne.measure.attendance import Attendance, attendance_of, forget_all
from tonne.measure.family import Register
from tonne.measure.windows import CALLS, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any

    from tonne.account import Account
    from tonne.measure.collector import Collector, Opener
    from tonne.measure.progress import Expected
    from tonne.measure.replay import Measured

LINGER_S = 1.0  # calls of a decorated function that follow one another so soon are one stretch of reading
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.01, 86_400.0

_LIVE: list[Meter] = []  # meters that run in this process
_ALL: WeakSet[Meter] = WeakSet()  # and those that do not: one that ends, in a thread, holds its lock when it is forked


def _open_sensors() -> Any:  # noqa: ANN401 - sensors, and what is missing
    from tonne.measure.sensors import open_sensors  # noqa: PLC0415 - drivers are loaded by the thread, not by start()

    return open_sensors()


def _say(text: str, *values: object) -> None:
    from logging import getLogger  # noqa: PLC0415 - only where there is something to say

    getLogger(__name__).warning(text, *values)


def track(  # noqa: PLR0913 - each is a word that users write
    name: str | Callable[..., Any] | None = None,
    *,
    site: Any = None,  # noqa: ANN401 - a zone, provider:region, a TOML file, fields, or a Site
    interval_s: float = 1.0,
    folder: str | os.PathLike[str] | None = None,
    hourly: bool = False,
    project: str | None = None,
    purpose: str | None = None,
    tags: Sequence[str] = (),
    open_sensors: Opener | None = None,
) -> Any:  # noqa: ANN401 - a Meter, or the decorated function
    """The meter of a run: a context manager, a decorator, or an object with `start` and `stop`.

    Args:
        name: What the run is called; left out, the script's name. As `@tonne.track` without brackets, the function.
        site: Where it runs, for CO2e: a grid zone ("FR"), "provider:region", a TOML file, or a Site; never guessed.
        interval_s: Time between two readings, and the most that a crash may lose [s].
        folder: Of the run's journal; left out, a folder of its own below TONNE_HOME. A folder whose run did not finish
            is gone on with.
        hourly: CO2e by the hours of the run, where the grid has an hourly profile, instead of by the year.
        project: What the run belongs to, for the ledger; left out, TONNE_PROJECT.
        purpose: What it is for: "final", "fine-tuning", "sweep", "ablation" ...; left out, TONNE_PURPOSE.
        tags: Further words by which to find it; those of TONNE_TAGS are added.
        open_sensors: What reads the node, where it is not this machine's own sensors.

    Raises:
        DescriptionError: There is no such purpose.
    """
    if callable(name) or isinstance(name, classmethod):
        return Meter(getattr(name, "__name__", None), site=site)(name)
    where = None if folder is None else environment.absolute(os.fspath(folder))
    meter = Meter(name, site=site, interval_s=interval_s, folder=where, open_sensors=open_sensors)
    meter.hourly = hourly
    meter.label(project, purpose, tags)
    return meter


class Meter:
    """Measures one run, or this process's part of it."""

    def __init__(
        self,
        name: str | None = None,
        *,
        site: Any = None,  # noqa: ANN401 - see track
        interval_s: float = 1.0,
        folder: str | None = None,
        open_sensors: Opener | None = None,
    ) -> None:
        """A meter that does nothing yet; see `track`."""
        self.name = name or identity.script_name()
        self.site = site
        self._site_is_checked = False
        self.interval_s = min(max(SHORTEST_INTERVAL_S, float(interval_s)), LONGEST_INTERVAL_S)  # NaN is the shortest
        self.hourly = False
        self.project: str | None = None
        self.purpose: str | None = None
        self.tags: tuple[str, ...] = ()
        self.role = "rank"  # "watcher": it does not do the run's work
        self.watched_pid: int | None = None  # process tree whose CPU time is the run's; None for this process's
        self.run_id: str | None = None
        self.folder: str | None = folder
        self._asked = folder
        self.open_sensors = open_sensors or _open_sensors
        self.open_windows: set[Window] = set()
        self._mutex = RLock()
        _ALL.add(self)
        self._attendance: Attendance | None = None
        self._running = False
        self._inherited = False  # by a fork: this process has not joined the run yet
        self._calls = self._last_call_ns = 0
        self.is_decorator = False
        self.calls_window = CALLS
        self._first_lines: list[dict[str, Any]] = []
        self._whole: Window | None = None  # inside `tonne run`, whose run has a name of its own
        self.on_tick: Callable[[], None] | None = None  # called by the thread after each interval

    def label(self, project: str | None = None, purpose: str | None = None, tags: Sequence[str] = ()) -> None:
        """Say what the run belongs to, what it is for, and by which further words to find it; before it begins."""
        if purpose is not None:
            from tonne.measure.purposes import purpose_named  # noqa: PLC0415 - only where there is something to check

            purpose = purpose_named(purpose)
        self.project, self.purpose, self.tags = project, purpose, tuple(map(str, tags))

    def start(self) -> Meter:
        """Begin to measure, or go on with the same run; a second call does nothing."""
        with self._mutex:
            if not self._running:
                try:
                    self._begin()
                except Exception as error:
                    _say("tonne: this run is not measured: %s: %s", type(error).__name__, error)
        return self

    def stop(self, status: str = status.FINISHED, *, error: str | None = None, exit_code: int | None = None) -> None:
        """Stop measuring and close the journal; a second call does nothing.

        Args:
            status: "finished", "failed" or "stopped".
            error: Kind of the error that ended the run.
            exit_code: With which a command ended.
        """
        called_ns = time.monotonic_ns()
        with self._mutex:
            if not self._running or self._attendance is None:
                return
            self._running = False
            if self in _LIVE:
                _LIVE.remove(self)
            for window in tuple(self.open_windows):
                window.cut()
            if self._whole is not None:
                self._whole.close()
                self._whole = None
            line = {"kind": "leave", "t": called_ns, "unix_s": time.time(), "status": status}
            extra = {"error": error, "exit_code": exit_code}
            try:
                known = {key: value for key, value in extra.items() if value is not None}
                self._attendance.leave(self, {**line, **known})
            except Exception as problem:
                _say("tonne: the end of the run could not be written: %s: %s", type(problem).__name__, problem)

    @property
    def collector(self) -> Collector | None:
        """What reads for this process, or did; None before the start."""
        return None if self._attendance is None else self._attendance.collector

    @property
    def may_meet_others(self) -> bool:
        """Whether a later meter of this process may be of the same run."""
        return self._asked is not None or environment.run_given() is not None

    def window(self, name: str) -> Window:
        """A named part of the run, for `with`; parts may overlap, and parts of one name are added up."""
        return Window(self, name)

    def progress(self, step: int, total_steps: int | None = None, tokens: int | None = None) -> None:
        """Say how far the run is, so that its end can be forecast; it is written with the next tick.

        Args:
            step: Steps taken.
            total_steps: Steps that the whole run takes.
            tokens: Trained on so far.
        """
        self.join_after_fork()
        collector = self.collector
        if collector is not None and self._running:
            line = {"kind": "progress", "t": time.monotonic_ns(), "step": int(step), "total": total_steps}
            collector.progress = line if tokens is None else {**line, "tokens": int(tokens)}

    def baseline(self, time_s: float) -> None:
        """Read the idle machine for so long before the run begins, so that its account says what idleness took.

        Args:
            time_s: How long [s]; this call takes as long.
        """
        from tonne.measure.baseline import idle_w  # noqa: PLC0415 - seldom asked for

        watts = idle_w(self.open_sensors, time_s, self.interval_s)
        self._first_lines = [{"kind": "baseline", "s": time_s, "watts": watts}]

    def expected(self) -> Expected | None:
        """What the run will have taken at its end; None where it told no steps, or not how many there are."""
        from tonne.measure.progress import so_far  # noqa: PLC0415 - as in account

        return so_far(self._measured(self._main_window()), self.site)[1]

    def account(self, view: str = "node", *, window: str | None = None) -> Account:
        """What the run took so far, on all nodes that are known: the same on every rank.

        Args:
            view: "node" for all that the nodes took, "job" for this job's share of it, "others" for the rest.
            window: Only the windows of this name.

        Returns:
            The account. Place and models are looked up now, not while the run was measured; a bad place is a note.

        Raises:
            DescriptionError: There is no such view or window.
        """
        from tonne.measure.accounting import account_of, placed  # noqa: PLC0415 - NumPy and pydantic stay away until here

        return account_of(placed(self._measured(window or self._main_window()), self.site), view=view)

    def share(self) -> Account:
        """This rank's share of the account of its job; the shares of all ranks add up to it."""
        from tonne.measure.accounting import placed, share_of  # noqa: PLC0415 - as above

        return share_of(placed(self._measured(self._main_window()), self.site), stamp=identity.file_stamp())

    def windows(self) -> dict[str, tuple[int, float]]:
        """Number and time [s] of the windows of each name that this process ended."""
        spans = {} if self.collector is None else self.collector.windows.spans
        return {name: (one.count, one.lasted_s) for name, one in spans.items() if name != self.calls_window}

    def flush(self) -> None:
        """Read the sensors now, and write all that is known into the journal."""
        if self._running and self.collector is not None:
            self.collector.flush()

    def __enter__(self) -> Meter:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an error goes on to whoever waits for it."""
        self.stop(ending_of(error), error=None if kind is None else kind.__name__)

    def __call__(self, function: Any) -> Any:  # noqa: ANN401 - whatever can be called
        """The function, its calls measured; their sum is the account of `function.meter`."""
        from tonne.measure.calls import counted  # noqa: PLC0415 - only for who decorates

        self.is_decorator = True
        if environment.run_given() is not None:  # of which other functions may be, too
            self.calls_window = self.name
        return counted(self, function)

    def begin_call(self) -> None:
        """A call of the decorated function begins; the first one starts the meter."""
        with self._mutex:
            self._calls += 1
            if not self._running and not self._inherited:
                self.start()

    def end_call(self, ended_ns: int) -> None:
        """A call ended."""
        with self._mutex:
            self._calls = max(self._calls - 1, 0)
            self._last_call_ns = ended_ns

    def _main_window(self) -> str | None:
        return self.calls_window if self.is_decorator else None

    def _measured(self, window: str | None) -> Measured:
        from tonne.measure.replay import measured  # noqa: PLC0415 - as in account

        self.flush()
        journal = None if self._attendance is None else self._attendance.journal
        if journal is None or self.folder is None:
            from tonne.errors import MeasurementError  # noqa: PLC0415 - as above

            raise MeasurementError(
                f"the run {self.name!r} has not been measured. Call start(), or use `with tonne.track(...)`, first."
            )
        return measured(self.folder, own=(journal.path, list(journal.kept)), window=window)

    def _begin(self) -> None:
        """Find the run, and take part in it: with a file and a thread, if this process has none yet."""
        former, register = self._attendance, None
        forked = former is not None and former.pid != os.getpid()
        if former is None:
            register = Register()
            self.run_id, self.folder = identity.chosen_run(self.name, self._asked, register)
        if former is None or forked:
            self._attendance = attendance_of(self, register, forked=forked)
            self._attendance.journal.add(*self._first_lines)
        assert self._attendance is not None
        self._attendance.enter(self)
        self._running, self._inherited = True, False
        _LIVE.append(self)
        for window in tuple(self.open_windows):
            window.go_on()
        if self.role == "rank" and not self.is_decorator and environment.run_given() is not None:
            self._whole = Window(self, self.name).open()

    def after_tick(self) -> None:
        """Stop reading when no call of the decorated function came for a while; call who waits for ticks."""
        if self.on_tick is not None:
            self.on_tick()
        self._check_site()
        if not self.is_decorator:
            return
        with self._mutex:
            idle_s = (time.monotonic_ns() - self._last_call_ns) / 1e9
            if not self._calls and idle_s > LINGER_S:
                self.stop()

    def _check_site(self) -> None:
        """Say early that a place is none, and not when the account is asked for, after days."""
        if self._site_is_checked or self.role != "rank" or not isinstance(self.site, str):
            return
        self._site_is_checked = True
        from tonne.measure.sites import complaint_about  # noqa: PLC0415 - in the thread, after the first reading

        complaint = complaint_about(self.site)
        if complaint:
            advice = "Energy is measured all the same; for CO2e name a place later: tonne runs show %s --site ZONE"
            _say(f"tonne: site=%r is no place that is known. %s {advice}", self.site, complaint, self.run_id)

    def join_after_fork(self) -> None:
        """A forked child that uses the meter of its parent becomes a process of the run itself."""
        if self._inherited:
            self._inherited = False
            self.start()

    def after_fork(self) -> None:
        """In a forked child: let go of what is the parent's."""
        self._mutex = RLock()
        self._inherited = self._inherited or self in _LIVE
        self._running, self._calls, self._whole = False, 0, None
        self.open_windows.clear()
        if self.collector is not None:
            self.collector.after_fork()


def ending_of(error: BaseException | None) -> str:
    """The status of a run that this error ended; None for no error."""
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return status.FINISHED
    return status.STOPPED if isinstance(error, KeyboardInterrupt) else status.FAILED


def _stop_all() -> None:
    """At the end of the process: close what the program left open."""
    error = getattr(sys, "last_value", None)  # the interpreter leaves an error there that nobody caught
    for meter in tuple(_LIVE):
        meter.stop(ending_of(error), error=None if error is None else type(error).__name__)


def _after_fork() -> None:
    for meter in tuple(_ALL):
        meter.after_fork()
    _LIVE.clear()
    forget_all()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
