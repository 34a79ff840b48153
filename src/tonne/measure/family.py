"""Which run a process belongs to, and which process of a run reads its node's sensors.

Ranks are told by the process tree, not by variables: processes of one launcher that track the same name in the same
folder are one run. A late rank is told from the next run by when its process began: before the run ended, or after.
"""

from __future__ import annotations

import json
import os
import time

from tonne.measure import environment, processes

try:
    import fcntl
except ImportError:  # Windows: every process reads for itself, and the readings of a node are merged afterwards
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE_S = 0.5  # many ranks come at once, each for milliseconds; one that was stopped there is not waited for
PAUSE_S = 0.001
KEPT_S = 86_400.0  # a run that ended is forgotten after a day
NS_PER_S = 1_000_000_000
NS_PER_TICK = NS_PER_S // processes.TICKS_PER_S

Entry = dict[str, "Any"]


class Lock:
    """A lock on a file that ends with its process, and that no child inherits."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        """A lock that nobody holds yet."""
        self.path = path
        self._descriptor = -1

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
        self._descriptor = descriptor
        return True

    def give(self) -> None:
        """Let go of the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
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
    cousins = above[0] in above_other or above_other[0] in above or above[1:2] == above_other[1:2] != []
    return above[0] == above_other[0] or (one["session"] == other["session"] and cousins)


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
        me = {**myself(), "name": name, "asked": asked, "since": now_ns()}
        run, folder = new
        if not self._take():
            return new
        try:
            entries = self._entries()
            found = self._joined(entries, me)
            if found is not None:
                run, folder = found["run"], found["folder"]
            self._write([*entries, {**me, "run": run, "folder": folder}])
        except OSError:
            return run, folder
        finally:
            self._lock.give()
        return run, folder

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

    def running(self) -> dict[str, str]:
        """Runs of this node and user in which a process is now, and the folders of their journals."""
        live = [entry for entry in self._entries() if not entry.get("left")]
        return {e["run"]: e["folder"] for e in live if processes.is_alive(e["pid"], e["started"])}

    @staticmethod
    def _joined(entries: list[Entry], me: Entry) -> Entry | None:
        """Of the runs that go by this name here, the first that this process is a rank of and was not in before."""
        mine = {entry["run"] for entry in entries if entry["pid"] == me["pid"] and entry["started"] == me["started"]}
        began = me["started"] * NS_PER_TICK
        for entry in entries:
            if entry["run"] in mine or entry["name"] != me["name"] or entry["asked"] != me["asked"]:
                continue
            ended = entry.get("left") or (None if processes.is_alive(entry["pid"], entry["started"]) else 0)
            if (ended is None or began + NS_PER_TICK <= ended) and are_related(entry, me):  # starts are rounded down
                return entry
        return None

    def _take(self) -> bool:
        end = time.monotonic() + PATIENCE_S
        while not self._lock.take():
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE_S)
        return True

    def _entries(self) -> list[Entry]:
        """Entries that may still matter, in the order in which they came."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = [json.loads(line) for line in file]
        except (OSError, ValueError):
            return []
        oldest = now_ns() - int(KEPT_S * NS_PER_S)
        return [e for e in found if e["since"] > oldest and (not e.get("left") or self._has_launcher(e))]

    @staticmethod
    def _has_launcher(entry: Entry) -> bool:
        return bool(entry["parents"]) and processes.is_alive(*entry["parents"][0])

    def _write(self, entries: list[Entry]) -> None:
        whole = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(self._path, "w", encoding="utf-8") as file:
            file.write(whole)
