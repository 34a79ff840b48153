"""`tonne runs`: the runs that the ledger knows, listed, shown, added up and exported; and `tonne recover`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tonne.cli.moments import unix_s
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import LedgerError, MeasurementError
from tonne.ledger.book import Ledger
from tonne.ledger.records import IMPORTED, KINDS, MEASURED, Run
from tonne.ledger.rows import Filter, Row, matches
from tonne.ledger.unread import journal_bytes, row_of_journal
from tonne.measure import environment, inbox
from tonne.measure.recover import Listed, known_runs, listed, recover, run_named
from tonne.measure.status import INTERRUPTED, RUNNING
from tonne.measure.windows import main_window
from tonne.report.labels import no_formula
from tonne.report.ledger_text import Shown, list_lines, run_lines, totals_lines

SHORT_BYTES = 4_000_000  # a journal that is read again to show it
FORMATS = ("jsonl", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which runs, in the words of the command line."""

    project: str | None = None
    purpose: str | None = None
    status: str | None = None
    kind: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    limit: int = 50

    def filter(self) -> Filter:
        """The ledger's own.

        Raises:
            LedgerError: There is no such kind, or a time that is none.
            DescriptionError: There is no such purpose.
        """
        kinds = {None: (MEASURED, IMPORTED), "all": KINDS}.get(self.kind, (str(self.kind),))
        return Filter(
            kinds=kinds,
            project=self.project,
            purpose=self.purpose,
            status=self.status,
            tags=self.tags,
            name=self.name,
            since_unix_s=unix_s(self.since, "since"),
            until_unix_s=unix_s(self.until, "until"),
            limit=self.limit or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What of a run is shown."""

    view: str = "node"
    window: str | None = None
    site: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the run, as the ledger keeps it."""
        return self == Look()


def both(before: Asked, after: Asked) -> Asked:
    """What was asked before the command's name and after it."""
    given = {
        name: getattr(after, name) or getattr(before, name) for name in Asked.__dataclass_fields__ if name != "limit"
    }
    return replace(after, **given)


@contextmanager
def opened() -> Iterator[Ledger]:
    """The ledger; what it could not take in is said."""
    with Ledger.open() as ledger:
        say_refused(ledger)
        yield ledger


def say_refused(ledger: Ledger) -> None:
    """Say what was set aside."""
    for path, reason in ledger.taken.refused:
        print(f"Set aside: {path}: {reason}.", file=sys.stderr)
    for folder, reason in ledger.taken.unreadable:
        print(f"Cannot be read: the journal in {folder}: {reason}.", file=sys.stderr)
    if ledger.taken.waiting:
        journals = _counted(len(ledger.taken.waiting), "journal is", "journals are")
        print(f"{journals} not read yet: tonne ledger take-in", file=sys.stderr)
    if ledger.taken.left:
        lines = _counted(ledger.taken.left, "line of the inbox was", "lines of the inbox were")
        print(f"{lines} left: tonne ledger take-in", file=sys.stderr)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def is_off() -> bool:
    """Whether TONNE_LEDGER says that there is no ledger."""
    return environment.ledger() == environment.OFF


def show_all(folder: str | None, asked: Asked, *, as_json: bool = False) -> None:
    """Print the runs that are known."""
    which = asked.filter()
    if folder is not None or is_off():
        rows = [row for row in map(row_of_journal, _below(folder)) if matches(row, which)]
        rows, count = rows[: which.limit], len(rows)
    else:
        with opened() as ledger:
            rows, count = _with_unread(ledger, which)
    if as_json:
        print_json({"runs": [fields_of(row) for row in rows]})
    elif rows:
        print("\n".join(list_lines(rows)))
        if count > len(rows):
            print(f"{count - len(rows)} older ones are not shown: --limit 0 shows all.", file=sys.stderr)
        cut = sum(row.status == INTERRUPTED for row in rows)
        if cut:
            more = "" if folder is None else f" --folder {folder}"
            print(
                f"{_counted(cut, 'run was', 'runs were')} cut off: `tonne recover{more}` closes them.", file=sys.stderr
            )
    elif asked == Asked():
        print("No run is known yet. Measure one: tonne run -- python train.py", file=sys.stderr)
    else:
        print("No run is like that. `tonne runs` lists the newest of all.", file=sys.stderr)


def _below(folder: str | None) -> list[Listed]:
    """The runs below a folder, or TONNE_HOME's.

    Raises:
        LedgerError: There is no such folder.
    """
    if folder is not None and not Path(folder).is_dir():
        raise LedgerError(f"{folder} is no folder. Give the one that holds the runs, or that of a run.")
    return known_runs(folder)


def _with_unread(ledger: Ledger, which: Filter) -> tuple[list[Row], int]:
    """Rows of the ledger, and of journals that it has not read; and how many there are without the limit."""
    unread = {row.id: row for row in ledger.unread()}
    kept = ledger.rows(which)
    fresh = [row for row in unread.values() if matches(row, which)]
    known = {row.id for row in ledger.rows(Filter(ids=tuple(unread), merged=True))} if unread else set()
    rows = sorted([*fresh, *(row for row in kept if row.id not in unread)], key=lambda row: -row.begun_unix_s)
    count = ledger.count(which) + sum(row.id not in known for row in fresh)
    return rows[: which.limit], count


def fields_of(row: Row) -> dict[str, Any]:
    """A row as built-in types: times also as dates."""
    ended = row.ended_unix_s
    times = {"begun": iso(row.begun_unix_s), "ended": None if ended is None else iso(ended)}
    return {"id": row.id, "name": row.name, "status": row.status, **times, **plain(row)}


def iso(unix_s: float) -> str:
    """A time as a date, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def show(run: str, folder: str | None, look: Look, *, as_json: bool) -> None:
    """Print one run with its account."""
    shown = _shown(run, folder, look)
    if not as_json:
        print("\n".join(run_lines(shown)))
        return
    kept, ended = shown.run, shown.run.ended_unix_s
    more = {
        "begun": iso(kept.begun_unix_s),
        "ended": None if ended is None else iso(ended),
        "duration_s": None
        if kept.account is None or kept.account.duration_s is None
        else kept.account.duration_s.value,
        "folder": shown.folder,
        "view": look.view,
        "windows": dict(shown.windows),
        "account": plain(shown.account),
        "expected": plain(shown.expected),
    }
    print_json({"run": {**plain(kept), **more} | ({} if look.site is None else {"site": look.site})})


def _shown(name: str, folder: str | None, look: Look) -> Shown:
    if folder is not None or is_off() or Path(name).is_dir():
        from tonne.ledger.journals import run_of_journal  # noqa: PLC0415 - NumPy and more, only where there is one to read

        found = run_named(name, folder)
        return _from_journal(run_of_journal(found.folder), found.folder, look)
    with opened() as ledger:
        run = ledger.run(name)
        rows = ledger.rows(Filter(ids=(run.id,), kinds=KINDS, merged=True))
        place = rows[0].folder if rows else ledger.taken.running.get(run.id)
    has_journal = place is not None and Path(place).is_dir()
    if place is not None and has_journal and (not look.is_whole or journal_bytes(place) <= SHORT_BYTES):
        return _from_journal(run, place, look)
    if not look.is_whole:
        raise LedgerError(
            f"the journal of {run.id} is not on this machine, so that its views, windows and another place cannot be "
            f"shown. `tonne runs show {run.id}` shows what the ledger keeps."
        )
    windows = {stage.name: stage.count for stage in run.stages if stage.count is not None}
    return Shown(run=run, account=run.account, folder=place, windows=windows)


def _from_journal(run: Run, folder: str, look: Look) -> Shown:
    from tonne.measure.accounting import account_of  # noqa: PLC0415 - as above
    from tonne.measure.progress import expected  # noqa: PLC0415 - as above
    from tonne.measure.replay import measured  # noqa: PLC0415 - as above

    whole = measured(folder, window=look.window or main_window(folder))
    account = run.account if look.is_whole else account_of(whole, site=look.site, view=look.view)
    at_end = None if account is None else expected(whole, account)
    return Shown(run=run, account=account, view=look.view, folder=folder, windows=whole.windows, expected=at_end)


def show_totals(asked: Asked, by: str | None, *, as_json: bool) -> None:
    """Print what runs took together."""
    which = replace(asked.filter(), limit=None)
    with opened() as ledger:
        whole = ledger.totals(which)
        groups = {} if by is None else ledger.totals_by(by, which)
        unread = [row for row in ledger.unread() if matches(row, which)]
    if as_json:
        grouped = {"by": by, "groups": [{"key": key, **plain(one)} for key, one in groups.items()]}
        print_json({"totals": plain(whole), **({} if by is None else grouped), "not_counted": len(unread)})
        return
    print("\n".join(totals_lines(whole, groups)))
    if unread:
        going = sum(row.status == RUNNING for row in unread)
        print(
            f"Not counted: {_counted(going, 'run that goes', 'runs that go')} on, "
            f"{_counted(len(unread) - going, 'whose journal was', 'whose journals were')} not read yet "
            f"(`tonne ledger take-in` reads them).",
            file=sys.stderr,
        )


def export(asked: Asked, format: str, output: str | None) -> None:
    """Write runs as lines of JSON, or as rows of CSV."""
    if format not in FORMATS:
        raise LedgerError(f"--format {format!r} is none. Use {' or '.join(FORMATS)}.")
    which = replace(asked.filter(), limit=None)
    with opened() as ledger:
        if output is None:
            count = _write(ledger, which, format, sys.stdout)
        else:
            try:
                with Path(output).open("w", encoding="utf-8", newline="") as file:
                    count = _write(ledger, which, format, file)
            except OSError as error:
                raise LedgerError(f"{output} cannot be written: {error.strerror}. Name another --output.") from None
    print(f"{count} {'run' if count == 1 else 'runs'}{'' if output is None else f' in {output}'}", file=sys.stderr)


def _write(ledger: Ledger, which: Filter, format: str, file: TextIO) -> int:
    count = 0
    if format == "jsonl":
        for document in ledger.export(which):
            line = {"schema_version": SCHEMA_VERSION, "run": document}
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
        return count
    rows = [fields_of(row) for row in ledger.rows(which)]
    names = list(fields_of(Row(id="", name="", kind="", status="", begun_unix_s=0.0)))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        texts = {name: no_formula(text) for name, text in row.items() if isinstance(text, str)}
        writer.writerow({**row, **texts, "tags": no_formula(" ".join(row["tags"]))})
    return len(rows)


def close(run: str | None, folder: str | None, *, as_json: bool = False) -> None:
    """Close runs that were cut off: the one that is named, or all."""
    elsewhere = _cut_off_elsewhere() if folder is None and not is_off() else []
    runs = [*_below(folder), *elsewhere] if run is None else [run_named(run, folder, elsewhere)]
    closed, refused = [], []
    for one in runs:
        try:
            closed += [one] if recover(one.folder) else []
        except MeasurementError as error:  # somebody else's, or on a full disk: the others are closed all the same
            refused.append(str(error))
    for one in closed:
        inbox.put("run", {"run": one.id, "folder": one.folder}, name=f"run-{one.id}-recovered")
    if as_json:
        print_json({"recovered": [fields_of(row_of_journal(run_named(one.folder))) for one in closed]})
    elif closed:
        print("\n".join(f"recovered  {one.id}" for one in closed))
    elif not refused:
        print("Nothing to recover: no run was cut off.", file=sys.stderr)
    if refused:
        raise MeasurementError(" ".join(refused))


def _cut_off_elsewhere() -> list[Listed]:
    """Runs that were cut off and have a folder of their own, of which they left word."""
    with opened() as ledger:
        rows = ledger.rows(Filter(status=INTERRUPTED))
    folders = [row.folder for row in rows if row.folder is not None and not environment.is_below_home(row.folder)]
    return [run for run in map(listed, folders) if run is not None]


def print_json(fields: dict[str, Any]) -> None:
    """One document."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, indent=2, allow_nan=False, ensure_ascii=False))
