"""Which run a process belongs to, and which process of a run reads its node's sensors.

Ranks are told by the process tree, not by variables: processes of one launcher that track the same name in the same
folder are one run. A late rank is told from the next run by when its process began: before the run ended, or after.
What xargs, GNU parallel or make start side by side are jobs of their own, unless a launcher's variables say otherwise.
"""

from __future__ import annotations

import json
import os
import sys
import time

from tonne.measure import environment, processes

try:
    import fcntl
except ImportError:  # Windows: every process reads for itself, and the readings of a node are merged afterwards
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PAUSE_S = 0.001
# Many ranks come at once, each for milliseconds. Tries are counted, and not timed: a machine that stood still for a
# second gave nobody the time to let go. Whoever was stopped there is not waited for.
TRIES, MOST_TRIES = 400, 4_000
KEPT_S = 86_400.0  # a run that ended is forgotten after a day
FLOCK = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, pid
JOB_RUNNERS = {"xargs", "parallel", "make", "gmake", "ninja", "just", "snakemake"}  # that start jobs, not ranks
NS_PER_S = 1_000_000_000
NS_PER_TICK = NS_PER_S // processes.TICKS_PER_S

Entry = dict[str, "Any"]


class Lock:
    """A lock on a file that ends with its process, and that no child inherits."""

    __slots__ = ("_descriptor", "_file", "path")

    def __init__(self, path: str) -> None:
        """A lock that nobody holds yet."""
        self.path = path
        self._descriptor = -1
        self._file: tuple[int, int] | None = None

    def take(self) -> bool:
        """Whether this process holds the lock now. Where nothing can be locked, it does."""
        if self._descriptor >= 0 or fcntl is None:
            return True
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return True
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor, self._file = descriptor, processes.file_of(descriptor)
        return True

    def has_stopped_holder(self) -> bool:
        """Whether who holds the lock was stopped (by SIGSTOP, a debugger) and will not let go of it for now."""
        if not sys.platform.startswith("linux"):
            return True  # nobody tells
        import struct  # noqa: PLC0415 - seldom needed

        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            holder = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[-1]
        except (OSError, struct.error):
            return True
        finally:
            os.close(descriptor)
        return holder > 0 and processes.is_stopped(holder)

    def give(self) -> None:
        """Let go of the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and processes.file_of(descriptor) == self._file:
            os.close(descriptor)


def now_ns() -> int:
    """Time since boot, as processes' starts are counted [ns]."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


def myself() -> Entry:
    """What tells this process and its launcher."""
    return {
        "pid": os.getpid(),
        "started": processes.started(),
        "parents": processes.parents(),
        "session": os.getsid(0) if hasattr(os, "getsid") else 0,
        "namespace": processes.namespace(),
    }


def are_related(one: Entry, other: Entry) -> bool:
    """Whether two processes are of one launch: parent and child of any degree, siblings, or cousins of one session."""
    if one["namespace"] != other["namespace"]:
        return False
    above, above_other = one["parents"], other["parents"]
    if [one["pid"], one["started"]] in above_other or [other["pid"], other["started"]] in above:
        return True
    if not above or not above_other:
        return False
    if _are_jobs(one, other):
        return False
    cousins = above[0] in above_other or above_other[0] in above or above[1:2] == above_other[1:2] != []
    return above[0] == above_other[0] or (one["session"] == other["session"] and cousins)


def _are_jobs(one: Entry, other: Entry) -> bool:
    """Whether what started both is a program that starts jobs, and no launcher's variables say that they are ranks."""
    common = next((parent for parent in one["parents"] if parent in other["parents"]), None)
    if common is None or (one.get("launcher") is not None and one.get("launcher") == other.get("launcher")):
        return False
    return processes.name_of(common[0]) in JOB_RUNNERS


def _entry(name: str, asked: str | None) -> Entry:
    """What tells of this process in a run."""
    home = os.path.realpath(environment.home())
    told = {"launcher": environment.launcher(), "command": processes.command_digest()}
    return {**myself(), **told, "name": name, "asked": asked, "home": home, "since": now_ns()}


def _warn_of_jobs(one: Entry, other: Entry) -> None:
    """Say that a process was taken for a rank, where it may be a job of its own: another command, beside the first."""
    commands = {one.get("command"), other["command"]}
    is_below = [one["pid"], one["started"]] in other["parents"]
    if other["launcher"] is not None or is_below or len(commands) == 1 or None in commands:
        return
    from logging import getLogger  # noqa: PLC0415 - only where there is something to say

    getLogger(__name__).warning(
        "tonne: this process is taken for a rank of the run %s, as another one of its name was started beside it. "
        "If it is a job of its own, give it a name, a folder or a TONNE_RUN of its own (docs/launchers.md).",
        one["run"],
    )


def _goes_on(entry: Entry) -> bool:
    """Whether the process of an entry is in its run still, however long ago it came."""
    return not entry.get("left") and processes.is_alive(entry["pid"], entry["started"])


def _folder_of(run: str, asked: str | None) -> str:
    return asked or os.path.join(environment.runs_folder(), run)


def _is_on(entry: Entry, me: Entry) -> bool:
    """Whether a process is in its run, or was when this one began; starts are rounded down."""
    ended = entry.get("left") or (None if processes.is_alive(entry["pid"], entry["started"]) else 0)
    return ended is None or me["started"] * NS_PER_TICK + NS_PER_TICK <= ended


class Register:
    """Runs of this node and user that are going on or just ended, and the processes that are in them."""

    def __init__(self) -> None:
        """The register in this node's runtime folder."""
        folder = environment.runtime_folder()
        self._path = os.path.join(folder, "runs.jsonl")
        self._lock = Lock(os.path.join(folder, "runs.lock"))

    def enter(self, name: str, asked: str | None, new: tuple[str, str]) -> tuple[str, str]:
        """Id and folder of the run that this process joins; those of the new run where it joins none.

        Args:
            name: Of the run.
            asked: Folder that the user asked for.
            new: Id and folder of the run that this process would begin.
        """
        me = _entry(name, asked)
        run, folder = new
        if not self._take():
            return new
        try:
            entries = self._entries()
            found = self._joined(entries, me)
            if found is not None:
                run, folder = found["run"], found["folder"]
                _warn_of_jobs(found, me)
            self._write([*entries, {**me, "run": run, "folder": folder}])
        except OSError:
            return run, folder
        finally:
            self._lock.give()
        return run, folder

    def enter_launched(self, name: str, asked: str | None, ids: Callable[[int], str]) -> tuple[str, str]:
        """Id and folder of the run of a launch that has an id: by turn, where it starts programs one after the other.

        Args:
            name: Of the run.
            asked: Folder that the user asked for.
            ids: The run's id by its turn, from 1; the first is told from other launches by it.
        """
        me = {**_entry(name, asked), "launched": ids(1)}
        turn = 1
        if not self._take():
            return ids(turn), _folder_of(ids(turn), asked)
        try:
            entries = self._entries()
            same = [e for e in entries if e.get("launched") == ids(1) and e["namespace"] == me["namespace"]]
            if same:
                turn = max(entry["turn"] for entry in same)
                turn += not any(_is_on(entry, me) for entry in same if entry["turn"] == turn)
            run = ids(turn)
            self._write([*entries, {**me, "run": run, "folder": _folder_of(run, asked), "turn": turn}])
        except OSError:
            pass  # where nothing can be kept, nothing is known of other turns
        finally:
            self._lock.give()
        return ids(turn), _folder_of(ids(turn), asked)

    def leave(self, run: str) -> None:
        """Say that this process is no longer in a run; late ranks may still join it."""
        if not self._take():
            return
        try:
            entries = self._entries()
            for entry in entries:
                if entry["pid"] == os.getpid() and entry["run"] == run and not entry.get("left"):
                    entry["left"] = now_ns()
            self._write(entries)
        except OSError:
            return
        finally:
            self._lock.give()

    def running(self, home: str) -> dict[str, str]:
        """Runs of this node and user with that TONNE_HOME in which a process is now, and folders of their journals."""
        own = os.path.realpath(home)  # those of another one have a ledger of their own
        live = [entry for entry in self._entries() if entry.get("home", own) == own]
        return {e["run"]: e["folder"] for e in live if _goes_on(e)}

    @staticmethod
    def _joined(entries: list[Entry], me: Entry) -> Entry | None:
        """Of the runs that go by this name here, the first that this process is a rank of and was not in before."""
        mine = {entry["run"] for entry in entries if entry["pid"] == me["pid"] and entry["started"] == me["started"]}
        for entry in entries:
            if entry["run"] in mine or entry["name"] != me["name"] or entry["asked"] != me["asked"]:
                continue
            if not entry.get("launched") and _is_on(entry, me) and are_related(entry, me):
                return entry
        return None

    def _take(self) -> bool:
        for turn in range(1, MOST_TRIES + 1):
            if self._lock.take():
                return True
            if turn % TRIES == 0 and self._lock.has_stopped_holder():
                return False
            time.sleep(PAUSE_S)
        return False

    def _entries(self) -> list[Entry]:
        """Entries that may still matter, in the order in which they came."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = [json.loads(line) for line in file]
        except (OSError, ValueError):
            return []
        oldest = now_ns() - int(KEPT_S * NS_PER_S)
        kept = [e for e in found if e["since"] > oldest or _goes_on(e)]
        return [e for e in kept if not e.get("left") or e.get("launched") or self._has_launcher(e)]

    @staticmethod
    def _has_launcher(entry: Entry) -> bool:
        return bool(entry["parents"]) and processes.is_alive(*entry["parents"][0])

    def _write(self, entries: list[Entry]) -> None:
        whole = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(f"{self._path}.new", "w", encoding="utf-8") as file:
            file.write(whole)
        os.replace(file.name, self._path)  # whoever is killed while it writes leaves the others' entries
