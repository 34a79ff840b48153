"""Entries into a ledger, and what follows from them into its other tables, in one transaction."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from tonne.ledger.chain import PAGE, Entry, append, canonical
from tonne.ledger.folding import DELETE, State, document_of, folded
from tonne.ledger.rows import columns_of
from tonne.ledger.tables import DOCUMENTS, ENTRIES, RUNS

UNIQUE_BYTES = 6


def new_entry(kind: str, run: str, content: Mapping[str, Any], *, name: str | None = None) -> Entry:
    """An entry of now.

    Args:
        kind: See folding.py.
        run: Id of the run that it is about.
        content: Built-in types.
        name: Among all entries; left out, one that nobody else has.
    """
    return Entry(
        entry=name or f"{time.time_ns():020d}-{os.urandom(UNIQUE_BYTES).hex()}",
        unix_s=time.time(),
        kind=kind,
        run=run,
        content=content,
    )


def enter(connection: Connection, *entries: Entry) -> None:
    """Add entries, and bring the runs that they are about up to date."""
    append(connection, *entries)
    for run in dict.fromkeys(entry.run for entry in entries):
        _refresh(connection, run)


def erase(connection: Connection, entry: Entry) -> None:
    """Add the entry of a deletion; contents of the run's entries go, their hashes stay."""
    append(connection, entry)
    gone = (ENTRIES.c.run == entry.run) & (ENTRIES.c.kind != DELETE)
    connection.execute(update(ENTRIES).where(gone).values(content=None))
    _refresh(connection, entry.run)


def state_of(connection: Connection, run: str) -> State:
    """What the entries of a run come to."""
    query = select(ENTRIES.c.kind, ENTRIES.c.content).where(ENTRIES.c.run == run).order_by(ENTRIES.c.position)
    return folded((kind, _parsed(content)) for kind, content in connection.execute(query))


def document_in(connection: Connection, run: str) -> dict[str, Any] | None:
    """The document of a run; None where there is none."""
    found = connection.execute(select(DOCUMENTS.c.document).where(DOCUMENTS.c.run == run)).scalar()
    return None if found is None else dict(json.loads(found))


def _parsed(content: str | None) -> dict[str, Any] | None:
    return None if content is None else dict(json.loads(content))


def _refresh(connection: Connection, run: str) -> None:
    state = state_of(connection, run)
    if state.entries > 1:  # most runs have one entry, and nothing that would have to go
        connection.execute(delete(RUNS).where(RUNS.c.id == run))
        connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.run == run))
    if state.seen:
        _insert(connection, run, state)


def _insert(connection: Connection, run: str, state: State) -> None:
    document, columns = _made(run, state)
    connection.execute(insert(RUNS), columns)
    connection.execute(insert(DOCUMENTS), {"run": run, "document": document})


def _made(run: str, state: State) -> tuple[str, dict[str, Any]]:
    document = document_of(run, state)
    return canonical(document), columns_of(document, folder=state.folder, merged_into=state.merged_into)


def changed_runs(connection: Connection) -> list[str]:
    """What the tables of runs say otherwise than the entries from which they are made."""
    found = []
    kept = dict.fromkeys(map(str, connection.execute(select(RUNS.c.id)).scalars()))
    for some in _pages(connection):
        rows = {row["id"]: dict(row) for row in connection.execute(select(RUNS).where(RUNS.c.id.in_(some))).mappings()}
        pairs = connection.execute(select(DOCUMENTS.c.run, DOCUMENTS.c.document).where(DOCUMENTS.c.run.in_(some)))
        documents = {str(run): str(document) for run, document in pairs}
        for run, state in _states(connection, some):
            kept.pop(run, None)
            fault = _fault(run, state, rows.get(run), documents.get(run))
            if fault is not None:
                found.append(fault)
    return found + [f"the run {run} is listed, and no entry says where it came from" for run in kept]


def make_anew(connection: Connection) -> None:
    """The tables of runs, made anew from the entries."""
    connection.execute(delete(RUNS))
    connection.execute(delete(DOCUMENTS))
    for some in _pages(connection):
        for run, state in _states(connection, some):
            if state.seen:
                _insert(connection, run, state)


def _pages(connection: Connection) -> Iterator[list[str]]:
    """The ids of all runs that there are entries of, some at a time."""
    ids = list(connection.execute(select(ENTRIES.c.run).distinct().order_by(ENTRIES.c.run)).scalars())
    for begin in range(0, len(ids), PAGE):
        yield ids[begin : begin + PAGE]


def _fault(run: str, state: State, row: dict[str, Any] | None, document: str | None) -> str | None:
    """What is wrong with the row and the document of a run."""
    if not state.seen:
        was_there = row is not None or document is not None
        return f"the run {run} was deleted and is there again, without an entry" if was_there else None
    if document is None or row is None:
        return f"the run {run} is missing from the list, but not from the chain"
    expected, columns = _made(run, state)
    if document == expected and row == {name: columns[name] for name in row}:
        return None
    return f"what is listed of the run {run} was changed: its entries say otherwise"


def _states(connection: Connection, some: Sequence[str]) -> Iterator[tuple[str, State]]:
    """The states of some runs, from their entries."""
    query = select(ENTRIES.c.run, ENTRIES.c.kind, ENTRIES.c.content).where(ENTRIES.c.run.in_(some))
    rows = connection.execute(query.order_by(ENTRIES.c.run, ENTRIES.c.position)).all()
    for run, entries in groupby(rows, key=lambda row: row[0]):
        yield str(run), folded((row[1], _parsed(row[2])) for row in entries)
