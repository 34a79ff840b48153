"""Finding a row by the name that a person or a driver uses.

Exact beats alias beats whole words; letter case, dashes, spaces, underscores and accents do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from tonne.errors import UnknownReferenceError
from tonne.reference.table import table

T = TypeVar("T")
SEPARATORS = re.compile(r"[^\w+#]+|_+")
MAKERS = {"nvidia", "tesla", "geforce", "amd", "instinct", "google", "intel", "habana", "huawei", "the", "of", "and"}
SHOWN_CANDIDATES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """A record and how it was found: "exact", "alias" or "words"; the note says what a name was taken to mean."""

    record: T
    query: str
    how: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Match:
    """The id that a name was matched to."""

    id: str
    how: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Names:
    """All names of all rows of a table: squashed name -> ids, and id -> its words."""

    exact: dict[str, tuple[str, ...]]
    words: dict[str, frozenset[str]]


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without accents."""
    if not name.isascii():
        name = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return tuple(w for w in SEPARATORS.split(name.casefold().replace("&", " and ").replace("'", "")) if w)


def squashed(name: str) -> str:
    """A name as one run of letters, the form in which names are compared."""
    return "".join(words_of(name))


def without_maker(name: str) -> str:
    """A squashed name without makers' words, which some drivers print and some leave out."""
    return "".join(w for w in words_of(name) if w not in MAKERS)


def names_of(rows: Iterable[tuple[str, Sequence[str]]]) -> Names:
    """The index of a table from pairs of an id and its names (the id itself counts as one)."""
    exact: dict[str, list[str]] = {}
    words: dict[str, frozenset[str]] = {}
    for row_id, names in rows:
        own: set[str] = set()
        for name in (row_id, *names):
            parts = words_of(name)
            own.update(parts)
            for key in {"".join(parts), "".join(w for w in parts if w not in MAKERS)} - {""}:
                ids = exact.setdefault(key, [])
                if row_id not in ids:
                    ids.append(row_id)
        words[row_id] = frozenset(own)
    return Names({key: tuple(ids) for key, ids in exact.items()}, words)


@cache
def aliases_of(of_table: str) -> dict[str, str]:
    """Squashed alias -> id, for one table."""
    return {squashed(row["alias"]): row["id"] for row in table("aliases") if row["table"] == of_table}


def match(query: str, names: Names, of_table: str, advice: str) -> Match:
    """The one id that a query means.

    Args:
        query: What the user wrote.
        names: Index of the table.
        of_table: Name of the table, for its aliases and for the error.
        advice: What the user can do when nothing fits.

    Raises:
        UnknownReferenceError: Nothing or more than one row answers to the query; lists the candidates.
    """
    key = squashed(query)
    bare = without_maker(query)
    ids = names.exact.get(key) or ()
    if len(ids) == 1:
        return Match(ids[0], "exact", None)
    if ids:
        raise ambiguous(query, of_table, ids, advice)
    alias = aliases_of(of_table).get(key) or aliases_of(of_table).get(bare)
    if alias in names.words:
        return Match(alias, "alias", f"{query} is taken to mean {alias}")
    ids = names.exact.get(bare) or ()
    if len(ids) == 1:
        return Match(ids[0], "exact", None)
    wanted = [w for w in words_of(query) if w not in MAKERS]
    ids = ids or tuple(i for i, own in names.words.items() if wanted and own.issuperset(wanted))
    if len(ids) == 1:
        return Match(ids[0], "words", f"{query} is taken to mean {ids[0]}")
    if ids:
        raise ambiguous(query, of_table, ids, advice)
    raise unknown(query, of_table, names, advice)


def ambiguous(query: str, of_table: str, ids: Sequence[str], advice: str) -> UnknownReferenceError:
    """The error for a name that several rows answer to."""
    return UnknownReferenceError(f"{query!r} is ambiguous in {of_table}: {listed(ids)}. Name one of these. {advice}")


def unknown(query: str, of_table: str, names: Names, advice: str) -> UnknownReferenceError:
    """The error for a name that no row answers to, with the nearest ones."""
    close = close_ids(query, names, of_table)
    near = f"Close: {listed(close)}." if close else "Nothing is close."
    return UnknownReferenceError(f"{of_table} has no {query!r}. {near} {advice}")


def close_ids(query: str, names: Names, of_table: str) -> list[str]:
    """Ids whose names hold the query, and ids spelt nearly like it."""
    import difflib  # 8 ms that only an error costs

    key = squashed(query)
    keys = {**{a: (i,) for a, i in aliases_of(of_table).items() if i in names.words}, **names.exact}
    holding = [i for name, ids in keys.items() if len(key) > 1 and key in name for i in ids]
    alike = [i for name in difflib.get_close_matches(key, keys, n=6, cutoff=0.6) for i in keys[name]]
    return list(dict.fromkeys(holding + alike))


def listed(ids: Sequence[str]) -> str:
    """Ids separated by commas, the first dozen."""
    more = len(ids) - SHOWN_CANDIDATES
    return ", ".join(ids[:SHOWN_CANDIDATES]) + (f" and {more} more" if more > 0 else "")
