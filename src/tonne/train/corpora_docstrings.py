"""Examples made of the docstrings of the standard library: a summary for each, and the module it belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tonne.train.corpora import held_for_test
from tonne.train.corpus import Docstring, built_in_corpus

Keyed = tuple[str, Mapping[str, Any]]
SHORTEST_SUMMARY = 3  # words: less is a heading, or the function's call
SHORTEST_BODY, LONGEST_BODY = 40, 2000  # characters
SHORTEST_TEXT = 40  # characters: less tells nobody which module it is of
LEAST_OF_MODULE = 60  # docstrings: a module with fewer is no class
LONGEST_TEXT = 600  # characters of a docstring to be classified: what a small model reads
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# Packages that left the standard library after Python 3.11: without them newer versions have the same classes.
_LEAVING = {"distutils", "asynchat", "asyncore", "imp", "nntplib", "telnetlib", "cgi", "lib2to3"}


def key_of(docstring: Docstring) -> str:
    """What tells a docstring's part: all but its first line, which may be what is asked for."""
    parts = _BLANK_LINE.split(docstring.text, maxsplit=1)
    return parts[1] if len(parts) > 1 else docstring.text


def summaries() -> Iterator[Keyed]:
    """Body and heading of each docstring, to be told in its first line; bodies that come twice are told once.

    The heading stands last, where a reference puts it: above the line that is asked for.
    """
    seen: set[str] = set()
    for docstring in built_in_corpus():
        parts = _BLANK_LINE.split(docstring.text, maxsplit=1)
        if docstring.kind == "topic" or len(parts) < 2:
            continue
        summary, body = parts[0].strip(), " ".join(parts[1].split())
        fits = len(summary.split()) >= SHORTEST_SUMMARY and SHORTEST_BODY <= len(body) <= LONGEST_BODY
        if "\n" in summary or not fits or body.casefold() in seen:
            continue
        seen.add(body.casefold())
        yield key_of(docstring), {"source": f"{body}\n\n{docstring.heading}", "target": summary}


def modules() -> Iterator[Keyed]:
    """Docstrings and the package (or module) of the standard library that each belongs to.

    A class is a package with at least sixty docstrings. A text that stands in several is left out, for nobody could
    tell.
    """
    texts: dict[str, set[str]] = {}
    rows: dict[str, tuple[str, str]] = {}
    for docstring in built_in_corpus():
        label, text = docstring.module.split(".")[0], " ".join(docstring.text.split())
        if docstring.kind == "topic" or len(text) < SHORTEST_TEXT or label in _LEAVING:
            continue
        texts.setdefault(text.casefold(), set()).add(label)
        rows.setdefault(text.casefold(), (key_of(docstring), text))
    single = {plain: labels.pop() for plain, labels in texts.items() if len(labels) == 1}
    sizes = Counter(single.values())
    for plain, label in single.items():
        if sizes[label] >= LEAST_OF_MODULE:
            key, text = rows[plain]
            yield key, {"text": text[:LONGEST_TEXT], "label": label}


def in_tests() -> tuple[tuple[Docstring, bool], ...]:
    """Every docstring, and whether a test may hold something of it."""
    return tuple((one, held_for_test(key_of(one))) for one in built_in_corpus() if one.kind != "topic")
