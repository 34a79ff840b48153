"""Entries into a ledger, and what follows from them into its other tables, in one transaction."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
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
    connection.execute(delete(RUNS).where(RUNS.c.id == run))
    connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.run == run))
    if state.seen:
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
    for run, state in _states(connection):
        document = connection.execute(select(DOCUMENTS.c.document).where(DOCUMENTS.c.run == run)).scalar()
        row = connection.execute(select(RUNS).where(RUNS.c.id == run)).mappings().first()
        kept.pop(run, None)
        if not state.seen:
            if row is not None or document is not None:
                found.append(f"the run {run} was deleted and is there again, without an entry")
            continue
        expected, columns = _made(run, state)
        if document is None or row is None:
            found.append(f"the run {run} is missing from the list, but not from the chain")
        elif document != expected or dict(row) != {name: columns[name] for name in dict(row)}:
            found.append(f"what is listed of the run {run} was changed: its entries say otherwise")
    return found + [f"the run {run} is listed, and no entry says where it came from" for run in kept]


def _states(connection: Connection) -> Iterator[tuple[str, State]]:
    """The state of each run, from its entries."""
    query = select(ENTRIES.c.run, ENTRIES.c.kind, ENTRIES.c.content).order_by(ENTRIES.c.run, ENTRIES.c.position)
    runs = select(ENTRIES.c.run).distinct().order_by(ENTRIES.c.run)
    ids = list(connection.execute(runs).scalars())
    for begin in range(0, len(ids), PAGE):
        some = connection.execute(query.where(ENTRIES.c.run.in_(ids[begin : begin + PAGE]))).all()
        for run, rows in groupby(some, key=lambda row: row[0]):
            yield str(run), folded((row[1], _parsed(row[2])) for row in rows)


def rebuild(connection: Connection) -> None:
    """Make the tables of runs anew from the entries."""
    connection.execute(delete(RUNS))
    connection.execute(delete(DOCUMENTS))
    for run, state in _states(connection):
        if state.seen:
            document, columns = _made(run, state)
            connection.execute(insert(RUNS), columns)
            connection.execute(insert(DOCUMENTS), {"run": run, "document": document})
