"""From the inbox and from journals into the ledger: each line once, in one transaction; what cannot be is set aside.

A file of the inbox goes only after what it says is on disk in the ledger. Who reads it twice, or beside another who
does, enters it once.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tonne.documents import plain
from tonne.errors import LedgerError, TonneError
from tonne.ledger.chain import holds, sha256_of
from tonne.ledger.folding import DELETE, RUN, WHOLE, WORK
from tonne.ledger.lines import Line, Refused, understood
from tonne.ledger.records import FORECAST, FORETOLD_BY, Run
from tonne.ledger.store import Store
from tonne.ledger.tables import ENTRIES, RUNS
from tonne.ledger.unread import journal_bytes
from tonne.ledger.writing import document_in, enter, new_entry
from tonne.measure import status
from tonne.measure.family import Register
from tonne.measure.inbox import INBOX, SUFFIX
from tonne.measure.journal import paths as journal_paths

REFUSED, PART = "refused", ".part"
BUDGET_S = 0.5  # of opening a ledger
BYTES_PER_S = 4e6  # of a journal, read and added up: says which are left for later
BATCH = 100  # lines in a transaction
ABANDONED_S = 60.0  # a file that is not finished by then never will be
BAD_JOURNAL = (TonneError, OSError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
NO_HEADER = "its first line is torn, so that nobody knows which run it was; it is left as it is"
SAME_ID = (
    "another run has the id {run}: this one is kept as {new}. "
    "If both are nodes of one run, `tonne runs merge` adds them up"
)


@dataclass(slots=True)
class Taken:
    """What an opening took in, and what it left."""

    lines: int = 0
    journals: int = 0
    running: dict[str, str] = field(default_factory=dict)  # run -> folder; it goes on
    waiting: dict[str, str] = field(
        default_factory=dict
    )  # run -> folder; its journal is too long to be read by the way
    left: int = 0  # files of the inbox that there was no time for
    refused: list[tuple[str, str]] = field(default_factory=list)  # file set aside, and why
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # folder whose journal cannot be read, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A file of the inbox that was understood; ``name`` is that of its entry, ``version`` tells it from a later one."""

    path: Path
    version: int
    name: str
    line: Line


class Intake:
    """Takes in what waits for a ledger on this machine."""

    def __init__(self, store: Store, home: str) -> None:
        """An intake that has not begun.

        Args:
            store: Of the ledger.
            home: Folder of tonne's own files, in which the inbox and the runs lie.
        """
        self.store, self.home = store, home
        self.inbox = Path(home) / INBOX
        self.taken = Taken()
        self._end_s = 0.0

    def all(self, budget_s: float) -> Taken:
        """Take in as much as there is time for [s]; always some of it."""
        self._end_s = time.monotonic() + budget_s
        files = list(self._files())
        for begin in range(0, len(files), BATCH):
            if begin and time.monotonic() > self._end_s:
                self.taken.left = len(files) - begin
                break
            self._batch(files[begin : begin + BATCH])
        self._journals_below(Path(self.home) / "runs")
        for run, folder in Register().running(self.home).items():
            if status.status_of(folder) == status.RUNNING:
                self.taken.running[run] = folder
        return self.taken

    def retry_refused(self) -> int:
        """Put what was set aside back into the inbox, and take it in; how many files that were."""
        folder = self.inbox / REFUSED
        files = [path for path in sorted(folder.glob("*")) if path.suffix in {SUFFIX, PART}]
        for path in files:
            path.replace(self.inbox / path.name)
            path.with_name(f"{path.name}.txt").unlink(missing_ok=True)
        self.all(float("inf"))
        return len(files)

    def journal(self, folder: str, *, name: str | None = None) -> str | None:
        """Take in a journal, however long; the id under which it is kept, None where the run goes on.

        Raises:
            MeasurementError: There is no journal in that folder.
        """
        standing = status.status_of(folder)
        if standing == status.RUNNING:
            return None
        begun_s = time.monotonic()
        from tonne.ledger.journals import run_of_journal  # noqa: PLC0415 - NumPy and more, only where there is one to read

        self._end_s += time.monotonic() - begun_s  # else the first journal, however short, would keep others waiting
        found = run_of_journal(folder)
        with self.store.writing() as connection:
            kept = kept_as(connection, found)
            same = document_in(connection, kept.id)
            digest = kept.evidence.journal_sha256
            known = same is not None and same["evidence"].get("journal_sha256") == digest
            if known or (name is not None and holds(connection, name)):
                return kept.id
            content = {"run": plain(kept), "folder": folder}
            enter(connection, new_entry(RUN, kept.id, content, name=name))
        self.taken.journals += 1
        return kept.id

    def _files(self) -> Iterator[Path]:
        """What waits, the oldest first; files that their writer did not finish, once nobody can be writing them."""
        try:
            names = sorted(os.listdir(self.inbox))  # noqa: PTH208 - names alone
        except OSError:
            return
        for name in names:
            path = self.inbox / name
            if name.endswith(SUFFIX):
                yield path
            elif name.endswith(PART):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > ABANDONED_S:
                        yield path

    def _batch(self, paths: Sequence[Path]) -> None:
        """Some files, the lines of all of them in one transaction: most of the time of one is waiting for the disk."""
        found = [one for path in paths if (one := self._read(path)) is not None and not _goes_on(one.line)]
        lines = [one for one in found if one.line.folder is None]
        if lines:
            with self.store.writing() as connection:
                for one in lines:
                    if not holds(connection, one.name):
                        _enter_line(connection, one.line, one.name)
        for one in found:
            if one.line.folder is None or self._journal_of(one, one.line.folder):
                self._done(one)

    def _journal_of(self, one: Waiting, folder: str) -> bool:
        """Whether the journal that a line names is in the ledger now."""
        try:
            return self._journal_line(one.line, folder, one.name)
        except Refused as reason:
            self._set_aside(one.path, str(reason))
            return False

    def _read(self, path: Path) -> Waiting | None:
        """What a file says; None where it is set aside, or another process took it in meanwhile."""
        try:
            version, text = path.stat().st_ino, path.read_text(encoding="utf-8")
            name = f"{path.name.partition('.')[0]}-{sha256_of(text)[:12]}"
            return Waiting(path=path, version=version, name=name, line=understood(text))
        except Refused as reason:
            self._set_aside(path, str(reason))
        except UnicodeDecodeError:
            self._set_aside(path, "it is no text")
        except OSError:
            pass
        return None

    def _done(self, one: Waiting) -> None:
        """What a file says is in the ledger: it may go."""
        self.taken.lines += 1
        with contextlib.suppress(OSError):
            if one.path.stat().st_ino == one.version:  # a later line of that name may have taken its place
                one.path.unlink()

    def _journal_line(self, line: Line, folder: str, name: str) -> bool:
        """Whether the journal that a line names is in the ledger now."""
        try:
            standing = status.status_of(folder)
            if standing is None:
                raise Refused(f"there is no journal in {folder}: it was moved or removed before it was read")
            if standing == status.RUNNING:
                self.taken.running[line.run] = folder
            elif self._has_time_for(folder):
                self.journal(folder, name=name)
                return True
            else:
                self.taken.waiting[line.run] = folder
        except LedgerError:
            raise
        except BAD_JOURNAL as error:
            raise Refused(f"the journal in {folder} cannot be read: {error}") from None
        return False

    def _has_time_for(self, folder: str) -> bool:
        return time.monotonic() + journal_bytes(folder) / BYTES_PER_S < self._end_s

    def _journals_below(self, root: Path) -> None:
        """Runs that left no line, as they were killed, and those that go on; what cannot be read stays, and is told."""
        for run, folder in unread_folders(self.store, root):
            try:
                self._found(run, folder)
            except LedgerError:
                raise
            except BAD_JOURNAL as error:
                self.taken.unreadable.append((folder, f"{type(error).__name__}: {error}"))

    def _found(self, run: str, folder: str) -> None:
        standing = status.status_of(folder)
        if standing == status.RUNNING:
            self.taken.running[run] = folder
        elif standing is None:
            if _is_spoilt(folder):
                self.taken.unreadable.append((folder, NO_HEADER))
        elif run in self.taken.waiting:
            return
        elif self._has_time_for(folder):
            self.journal(folder)
        else:
            self.taken.waiting[run] = folder

    def _set_aside(self, path: Path, reason: str) -> None:
        """Move a file to where it is kept, with the reason beside it."""
        folder = self.inbox / REFUSED
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / f"{path.name}.txt").write_text(f"{reason}\n", encoding="utf-8")
            path.replace(folder / path.name)
        self.taken.refused.append((str(folder / path.name), reason))


def _is_spoilt(folder: str) -> bool:
    """Whether there is something in the journals of a folder, and has been for long, though no first line is whole."""
    files = [os.stat(path) for path in journal_paths(folder)]  # noqa: PTH116 - texts of the journal's
    return any(file.st_size > 0 and time.time() - file.st_mtime > ABANDONED_S for file in files)


def _goes_on(line: Line) -> bool:
    """Whether a line tells of the begin of a run that has not ended: it waits, or takes the place of nothing yet."""
    return line.journal is not None and status.status_of(line.journal) == status.RUNNING


def _enter_line(connection: Connection, line: Line, name: str) -> None:
    known = document_in(connection, line.run)
    content: dict[str, Any] = dict(line.content)
    if line.kind == WHOLE and known is not None:
        kind = content["run"]["kind"]
        if kind == FORECAST == known["kind"] or known.get("account") == content["run"].get("account"):
            return  # told before
        if kind != known["kind"]:
            line = replace(line, run=_free_id(connection, line.run))
            note = SAME_ID.format(run=known["id"], new=line.run)
            content["run"] = {**content["run"], "id": line.run, "notes": [note]}
    if line.kind == WORK:
        content = _with_forecast(connection, content)
    enter(connection, new_entry(line.kind, line.run, content, name=name))


def _with_forecast(connection: Connection, content: dict[str, Any]) -> dict[str, Any]:
    """What was worked, with the forecast that it names."""
    name = content.pop("forecast_id", None)
    if name is None:
        return content
    links = [*(content.get("links") or ()), {"kind": FORETOLD_BY, "to": name}]
    made = document_in(connection, str(name)) or {}
    known = {"forecast": made.get("account"), "forecast_inputs": made.get("forecast_inputs"), "plan": made.get("plan")}
    return {**known, **{key: value for key, value in content.items() if value is not None}, "links": links}


def kept_as(connection: Connection, run: Run) -> Run:
    """A measured run under its id; under another where that is another run's."""
    known, stamps, asked = document_in(connection, run.id), set(run.evidence.journal_stamps), run.id
    number = 1
    while known is not None and not _is_same(known, stamps):
        number += 1
        run = replace(run, id=f"{asked}-{number}")
        known = document_in(connection, run.id)
    if run.id != asked:
        run = replace(run, notes=(*run.notes, SAME_ID.format(run=asked, new=run.id)))
    return run


def _is_same(known: dict[str, Any], stamps: set[str]) -> bool:
    """Whether a document is of the run whose processes these are; one without any was told of by its program alone."""
    theirs = set(known["evidence"].get("journal_stamps") or ())
    return known["kind"] == "measured" and (not theirs or bool(theirs & stamps))


def _free_id(connection: Connection, run: str) -> str:
    number = 2
    while document_in(connection, f"{run}-{number}") is not None:
        number += 1
    return f"{run}-{number}"


def unread_folders(store: Store, root: Path) -> list[tuple[str, str]]:
    """Name and path of the folders whose journals the ledger did not read, or not to their end.

    Those of runs that were deleted are left out. A run that is gone on with writes a further file: where it is killed,
    nobody says so, and what the ledger knows of it is its first part.
    """
    try:
        found = {entry.name: entry.stat().st_mtime for entry in os.scandir(root) if entry.is_dir()}
    except OSError:
        return []
    if not found:
        return []
    with store.reading() as connection:
        rows = connection.execute(select(RUNS.c.folder, RUNS.c.ended_unix_s).where(RUNS.c.folder.is_not(None)))
        ends = {folder.rpartition(os.sep)[2]: end for folder, end in rows}  # which need not be called as its run
        deletions = connection.execute(select(ENTRIES.c.run, ENTRIES.c.content).where(ENTRIES.c.kind == DELETE))
        gone = {name for run, content in deletions for name in (run, json.loads(content).get("folder"))}
    folders = [(name, str(root / name)) for name in sorted(found) if name not in gone]
    return [
        (name, folder)
        for name, folder in folders
        if name not in ends or (found[name] > (ends[name] or 0.0) and _went_on(folder, ends[name]))
    ]


def _went_on(folder: str, ended_unix_s: float | None) -> bool:
    """Whether a process of a run began after the end that is known of it."""
    begun = (float(header["unix_s"]) for _, header in status.headers(folder))
    return ended_unix_s is not None and max(begun, default=0.0) > ended_unix_s
