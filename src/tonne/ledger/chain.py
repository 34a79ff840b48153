"""The chain of a ledger's entries: each holds the hash of the one before it, so that a change or a loss shows."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tonne.ledger.tables import CHAIN, ENTRIES, HEAD

FIRST_SHA256 = "0" * 64  # what stands before the first entry
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was told to a ledger.

    ``entry`` names it among all others, so that it enters once; ``content`` is built-in types.
    """

    entry: str
    unix_s: float
    kind: str
    run: str
    content: Mapping[str, Any]


def canonical(value: Any) -> str:  # noqa: ANN401 - built-in types
    """JSON of which there is one spelling: keys in order, no spaces, ASCII; what is no finite number is null."""
    try:
        return _json(value)
    except ValueError:
        return _json(_finite(value))


def _json(value: Any) -> str:  # noqa: ANN401 - as above
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256_of(text: str) -> str:
    """SHA-256 of a text's UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def link_sha256(previous: str, position: int, entry: Mapping[str, Any]) -> str:
    """Hash of an entry.

    Equation: h(n) = SHA-256(h(n-1) | J), with J = canonical JSON of content_sha256, entry, kind, position, run, unix_s.

    Args:
        previous: Hash of the entry before it, h(n-1).
        position: n, from 1.
        entry: With entry, unix_s, kind, run and content_sha256.
    """
    names = ("content_sha256", "entry", "kind", "run", "unix_s")
    return sha256_of(previous + canonical({"position": position, **{name: entry[name] for name in names}}))


def head_of(connection: Connection) -> tuple[int, str]:
    """Position and hash of the last entry."""
    found = connection.execute(select(HEAD.c.position, HEAD.c.sha256).where(HEAD.c.name == CHAIN)).one()
    return int(found.position), str(found.sha256)


def append(connection: Connection, *entries: Entry) -> None:
    """Add entries to the chain, in a transaction that alone writes (`Store.writing`)."""
    position, previous = head_of(connection)
    rows = []
    for entry in entries:
        position += 1
        content = canonical(entry.content)
        row = {
            "entry": entry.entry,
            "unix_s": float(entry.unix_s),
            "kind": entry.kind,
            "run": entry.run,
            "content_sha256": sha256_of(content),
        }
        previous = link_sha256(previous, position, row)
        rows.append({**row, "position": position, "content": content, "sha256": previous})
    connection.execute(insert(ENTRIES), rows)
    connection.execute(update(HEAD).where(HEAD.c.name == CHAIN).values(position=position, sha256=previous))


def holds(connection: Connection, entry: str) -> bool:
    """Whether an entry of that name is in the chain."""
    return connection.execute(select(ENTRIES.c.position).where(ENTRIES.c.entry == entry)).first() is not None


def problems(connection: Connection) -> tuple[int, str, list[str]]:
    """How many entries there are, the hash of the last one, and what is wrong with them, the first fault first."""
    found: list[str] = []
    position, previous = 0, FIRST_SHA256
    deleted = set(connection.execute(select(ENTRIES.c.run).where(ENTRIES.c.kind == "delete")).scalars())
    rows = connection.execution_options(yield_per=PAGE).execute(select(ENTRIES).order_by(ENTRIES.c.position))
    count = 0
    for row in rows.mappings():
        count += 1
        at = int(row["position"])
        if at != position + 1:
            found.append(_missing(position + 1, at - 1))
        elif link_sha256(previous, at, dict(row)) != row["sha256"]:
            found.append(f"entry {at} ({row['kind']} of {row['run']}) or one before it was changed: its hash is wrong")
        if row["content"] is None:
            if row["run"] not in deleted:
                found.append(f"entry {at} ({row['kind']} of {row['run']}) lost its content, and no deletion says so")
        elif sha256_of(row["content"]) != row["content_sha256"]:
            found.append(f"the content of entry {at} ({row['kind']} of {row['run']}) was changed")
        position, previous = at, str(row["sha256"])
    head = head_of(connection)
    if head != (position, previous):
        missing = _missing(position + 1, head[0]) if head[0] > position else "the head of the chain was changed"
        found.append(missing)
    return count, previous, found


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
