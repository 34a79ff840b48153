"""The ledger: every forecast and every run, kept, found again, tagged, linked, merged, deleted, and proved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, func, or_, select

from tonne.documents import plain, rebuilt
from tonne.errors import LedgerError, TonneError
from tonne.ledger import rows as listing
from tonne.ledger import writing
from tonne.ledger.chain import Entry, head_of, problems
from tonne.ledger.folding import DELETE, LINK, MERGED, TAG, WHOLE, document_of
from tonne.ledger.intake import BUDGET_S, REFUSED, Intake, Taken
from tonne.ledger.lineage import check_link
from tonne.ledger.records import SAYABLE_LINKS, Link, Run
from tonne.ledger.rows import Filter, Row, Totals
from tonne.ledger.store import Store
from tonne.ledger.tables import DOCUMENTS, ENTRIES, RUNS
from tonne.ledger.unread import row_of_journal
from tonne.measure import environment
from tonne.measure.identity import new_id
from tonne.measure.inbox import INBOX
from tonne.measure.purposes import purpose_named
from tonne.measure.recover import listed

__all__ = ["Filter", "Ledger", "Row", "Totals", "Verification"]

FEW = 5  # that an error names
PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether a ledger is whole: how many entries and runs, the hash of the last entry, and what is wrong."""

    entries: int
    runs: int
    head_sha256: str
    problems: tuple[str, ...]
    is_chain_whole: bool = True  # else lists cannot be made anew from it
    holds_expected: bool | None = None  # whether the hash that was noted earlier is in the chain


class Ledger:
    """A ledger that is open. One thread at a time uses it; other processes may use the same one beside it."""

    def __init__(self, store: Store, home: str) -> None:
        """A ledger over a database; see `open`."""
        self.store, self.home = store, home
        self.taken = Taken()

    @classmethod
    def open(cls, url: str | None = None, *, budget_s: float = BUDGET_S, home: str | None = None) -> Ledger:
        """The ledger at an address, what waits in the inbox taken in as far as there is time.

        Args:
            url: A path, sqlite:///path or postgresql+pg8000://...; left out, what TONNE_LEDGER says, else ledger.db
                below TONNE_HOME.
            budget_s: For the inbox [s]; journals that take longer are read when they are asked for.
            home: Folder of tonne's own files; left out, TONNE_HOME.

        Raises:
            LedgerError: It is switched off, cannot be reached, or was written by a newer version.
        """
        folder = home or environment.home()
        address = url or environment.ledger() or f"{folder}/ledger.db"
        if address == environment.OFF:
            raise LedgerError("the ledger is switched off by TONNE_LEDGER=off. Unset it, or name a ledger with it.")
        ledger = cls(Store(address), folder)
        try:
            ledger.take_in(budget_s)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Ledger:
        """The open ledger."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def take_in(self, budget_s: float = float("inf")) -> Taken:
        """Take in what waits; what was taken in and what was not is in `taken` too.

        Args:
            budget_s: Time for it [s]; left out, all of it is taken in.
        """
        self.taken = Intake(self.store, self.home).all(budget_s)
        return self.taken

    def retry_refused(self) -> int:
        """Try again what was set aside, such as lines of a newer version after an update; how many files that were."""
        intake = Intake(self.store, self.home)
        tried = intake.retry_refused()
        self.taken = intake.taken
        return tried

    def refused(self) -> list[Path]:
        """Files that were set aside, beside each a text that says why."""
        found = (Path(self.home) / INBOX / REFUSED).glob("*")
        return sorted(path for path in found if path.suffix != ".txt")

    def rows(self, which: Filter | None = None) -> list[Row]:
        """Runs as a list shows them, the newest first; without those of `unread`."""
        with self.store.reading() as connection:
            return listing.rows(connection, which or Filter())

    def count(self, which: Filter | None = None) -> int:
        """How many runs there are, whatever the filter's limit."""
        with self.store.reading() as connection:
            return listing.count(connection, which or Filter())

    def totals(self, which: Filter | None = None) -> Totals:
        """What runs took together, whatever the filter's limit."""
        with self.store.reading() as connection:
            return listing.totals(connection, which or Filter())

    def totals_by(self, group: str, which: Filter | None = None) -> dict[str | None, Totals]:
        """What runs took together, by their project, purpose, status, kind or name; None for those without one."""
        with self.store.reading() as connection:
            return listing.totals_by(connection, which or Filter(), group)

    def run(self, name: str) -> Run:
        """A run, with all that is known of it; one that goes on or was not taken in is read from its journal.

        Args:
            name: Its id, the beginning of one, or a name that one run alone has.

        Raises:
            LedgerError: There is none, or several.
        """
        run = self.id_of(name)
        folder = self.taken.running.get(run) or self.taken.waiting.get(run)
        if folder is not None:
            kept = Intake(self.store, self.home).journal(folder)
            if kept is None:
                return self._going_on(run, folder)
            self.taken.waiting.pop(run, None)
            run = kept
        with self.store.reading() as connection:
            return _run(connection, run)

    def _going_on(self, run: str, folder: str) -> Run:
        """A run that goes on, with what people said of it; nothing is kept yet."""
        from tonne.ledger.journals import run_of_journal  # noqa: PLC0415 - NumPy and more, only where there is one to read

        with self.store.reading() as connection:
            state = writing.state_of(connection, run)
        state.base = plain(run_of_journal(folder))
        found: Run = rebuilt(Run, document_of(run, state))
        return found

    def id_of(self, name: str) -> str:
        """The id of the run that is meant; see `run`."""
        with self.store.reading() as connection:
            if connection.execute(select(RUNS.c.id).where(RUNS.c.id == name)).first() or name in self._unread():
                return name
            prefix = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            meant = or_(RUNS.c.id.like(f"{prefix}%", escape="\\"), RUNS.c.name == name)
            query = select(RUNS.c.id).where(meant).order_by(RUNS.c.begun_unix_s.desc()).limit(FEW + 1)
            found = dict.fromkeys(map(str, connection.execute(query).scalars()))
            newest = connection.execute(select(RUNS.c.id).order_by(RUNS.c.begun_unix_s.desc()).limit(FEW)).scalars()
            known = [*self._unread(), *newest][:FEW]
        found |= dict.fromkeys(run for run, one in self._unread().items() if run.startswith(name) or one.name == name)
        if not found and self.taken.left:
            self.take_in()
            return self.id_of(name)
        if len(found) == 1:
            return next(iter(found))
        if found:
            some = ", ".join(list(found)[:FEW]) + (", ..." if len(found) > FEW else "")
            raise LedgerError(f"{name!r} may be any of {some}. Give the whole id.")
        raise LedgerError(
            f"no run {name!r} is known. The newest are: {', '.join(known) or 'none'}. `tonne runs` lists them all."
        )

    def unread(self) -> list[Row]:
        """Runs that go on, or whose journal was too long to be read by the way, the newest first."""
        return sorted(self._unread().values(), key=lambda run: -run.begun_unix_s)

    def _unread(self) -> dict[str, Row]:
        found = {}
        for folder in dict.fromkeys([*self.taken.running.values(), *self.taken.waiting.values()]):
            one = listed(folder)
            if one is not None:
                found[one.id] = row_of_journal(one)
        return found

    def whole(self, which: Filter | None = None) -> Iterator[Run]:
        """Runs with all that is known of them, the newest first; journals that were too long are read first."""
        self._read_waiting()
        asked = which or Filter()
        query = listing.paged(select(RUNS.c.id).where(listing.conditions(asked)), asked)
        with self.store.reading() as connection:
            ids = list(connection.execute(query).scalars())
        for begin in range(0, len(ids), PAGE):
            with self.store.reading() as connection:
                found = [_run(connection, run) for run in ids[begin : begin + PAGE]]
            yield from found

    def export(self, which: Filter | None = None) -> Iterator[dict[str, Any]]:
        """The documents of runs, as built-in types: those of `documents.plain`."""
        for run in self.whole(which):
            yield plain(run)

    def put(self, run: Run) -> None:
        """Keep a run as it is; one of the same id, of whatever kind, takes the place of what its journal said."""
        purpose_named(run.purpose)
        self._enter(writing.new_entry(WHOLE, run.id, {"run": plain(run)}))

    def tag(
        self,
        run: str,
        *,
        purpose: str | None = None,
        project: str | None = None,
        tags: Sequence[str] = (),
        untag: Sequence[str] = (),
        name: str | None = None,
    ) -> str:
        """Say what a run is for, what it belongs to, or what it is called; its id.

        Raises:
            LedgerError: There is no such run.
            DescriptionError: There is no such purpose.
        """
        purpose_named(purpose)
        said = {"purpose": purpose, "project": project, "name": name}
        content: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
        content |= {"tags": [_tag(tag) for tag in tags], "untag": list(untag)}
        return self._tell(run, TAG, content)

    def link(self, run: str, kind: str, to: str) -> str:
        """Say how a run goes back to another, which need not be in this ledger; the id of the first.

        Raises:
            LedgerError: There is no such run, no such kind of link, or the link would lead back to the run.
        """
        run = self.id_of(run)
        with suppress(LedgerError):
            to = self.id_of(to)
        with self.store.writing() as connection:
            check_link(connection, run, kind, to)
            writing.enter(connection, writing.new_entry(LINK, run, {"kind": kind, "to": to}))
        return run

    def unlink(self, run: str, kind: str, to: str) -> str:
        """Take a link away, whoever said it; the id of the run.

        Raises:
            LedgerError: There is no such run, or it has no such link.
        """
        found = self.run(run)
        meant = [one.to for one in found.links if one.kind == kind and one.to != to and one.to.startswith(to)]
        whole = to if Link(kind=kind, to=to) in found.links else meant[0] if len(meant) == 1 else None
        if whole is None or kind not in SAYABLE_LINKS:
            has = ", ".join(f"{one.kind} {one.to}" for one in found.links if one.kind in SAYABLE_LINKS)
            raise LedgerError(f"{found.id} has no link {kind} {to} that can be taken away. It has: {has or 'none'}.")
        return self._tell(found.id, LINK, {"kind": kind, "to": whole, "gone": True})

    def merge(self, names: Sequence[str], *, name: str | None = None) -> Run:
        """Several runs as one, which takes their place in lists and sums; they stay, and come back if it is deleted.

        Raises:
            LedgerError: A run is unknown, a forecast, without an account, or part of another whole.
        """
        from tonne.ledger.merging import merged  # noqa: PLC0415 - as in _going_on

        parts = list({run.id: run for run in map(self.run, names)}.values())  # one that is named twice is one
        with self.store.writing() as connection:
            for part in parts:
                whole = writing.state_of(connection, part.id).merged_into
                if whole is not None:
                    raise LedgerError(f"{part.id} is a part of {whole} already. Delete that one first.")
            made = merged(parts, new_id(name or parts[0].name), name)
            entries = [writing.new_entry(MERGED, part.id, {"into": made.id}) for part in parts]
            writing.enter(connection, writing.new_entry(WHOLE, made.id, {"run": plain(made)}), *entries)
        return self.run(made.id)

    def delete(self, name: str, reason: str) -> str:
        """Take a run out of the ledger; that it was there, when and why it went stays. Its journal stays too.

        Raises:
            LedgerError: There is no such run, it is part of another, or no reason is given.
        """
        if not reason.strip():
            raise LedgerError("a deletion needs a reason, which is kept. Give it: --reason 'a test of the meter'")
        run = self.run(name).id
        with self.store.writing() as connection:
            state = writing.state_of(connection, run)
            if state.merged_into is not None:
                raise LedgerError(f"{run} is a part of {state.merged_into}. Delete that one first.")
            parts = list(connection.execute(select(RUNS.c.id).where(RUNS.c.merged_into == run)).scalars())
            if parts:
                writing.enter(connection, *(writing.new_entry(MERGED, part, {"into": None}) for part in parts))
            content = {"reason": reason.strip()}
            if state.folder is not None:  # which need not be called as its run
                content["folder"] = Path(state.folder).name
            writing.erase(connection, writing.new_entry(DELETE, run, content))
        return run

    def deleted(self) -> list[tuple[str, float, str]]:
        """Id, time and reason of each deletion, the oldest first."""
        query = select(ENTRIES.c.run, ENTRIES.c.unix_s, ENTRIES.c.content).where(ENTRIES.c.kind == DELETE)
        with self.store.reading() as connection:
            found = connection.execute(query.order_by(ENTRIES.c.position)).all()
        return [(str(run), float(unix_s), str(json.loads(content)["reason"])) for run, unix_s, content in found]

    def verify(self, expected_sha256: str | None = None) -> Verification:
        """Whether nothing was changed or lost since it was entered.

        Args:
            expected_sha256: Head of the chain as it was noted earlier: whether it is still in the chain. Without one,
                whoever can write the whole database can make a new chain.
        """
        with self.store.reading() as connection:
            entries, head, found = problems(connection)
            is_chain_whole = not found
            found += writing.changed_runs(connection)
            runs = int(connection.execute(select(func.count()).select_from(RUNS)).scalar_one())
            holds = None
            if expected_sha256 is not None:
                query = select(ENTRIES.c.position).where(ENTRIES.c.sha256 == expected_sha256)
                holds = connection.execute(query).first() is not None
                if not holds:
                    found.append(f"no entry has the hash {expected_sha256}: the chain is not the one that had it")
        return Verification(
            entries=entries,
            runs=runs,
            head_sha256=head,
            problems=tuple(found),
            is_chain_whole=is_chain_whole,
            holds_expected=holds,
        )

    def make_anew(self) -> None:
        """Make lists and documents anew from the entries of the chain, where `verify` says that they were changed.

        Raises:
            LedgerError: Entries were changed or are missing themselves: what would be made from them is wrong.
        """
        with self.store.writing() as connection:
            found = problems(connection)[2]
            if found:
                raise LedgerError(
                    f"the chain itself is not whole: {found[0]}. Lists that were made from it would be wrong, so that "
                    f"they were left as they are. Put the backup of {self.store.shown} in its place."
                )
            writing.make_anew(connection)

    def head(self) -> tuple[int, str]:
        """Number of entries, and the hash of the last one."""
        with self.store.reading() as connection:
            return head_of(connection)

    def _read_waiting(self) -> None:
        if self.taken.left:
            self.take_in()
        for run, folder in list(self.taken.waiting.items()):
            with suppress(TonneError):
                Intake(self.store, self.home).journal(folder)
                del self.taken.waiting[run]

    def _tell(self, name: str, kind: str, content: dict[str, Any]) -> str:
        run = self.id_of(name)
        self._enter(writing.new_entry(kind, run, content))
        return run

    def _enter(self, *entries: Entry) -> None:
        with self.store.writing() as connection:
            writing.enter(connection, *entries)


def _tag(tag: str) -> str:
    if not tag.strip() or "\n" in tag:
        raise LedgerError(f"tag={tag!r} is none. Give a word, e.g. --tag baseline.")
    return tag.strip()


def _run(connection: Connection, run: str) -> Run:
    """A run from its document, with the hash of the last entry about it."""
    document = connection.execute(select(DOCUMENTS.c.document).where(DOCUMENTS.c.run == run)).scalar_one()
    found: Run = rebuilt(Run, json.loads(document))
    query = select(ENTRIES.c.sha256).where(ENTRIES.c.run == run).order_by(ENTRIES.c.position.desc()).limit(1)
    return replace(found, evidence=replace(found.evidence, entry_sha256=connection.execute(query).scalar()))
