"""Labelled examples that need no download: names in three languages, docstrings, the language reference.

Each corpus has two parts that share nothing: what is trained on (``builtin:NAME``), and what a finished model is tested
on (``builtin:NAME-test``). Which part an example belongs to is told by a hash of its text, so that a new version of
Python or Babel moves nothing from one to the other. ``builtin:untested`` is the documentation without any text of a
test: what a model that is tested later may be pre-trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from tonne.describe.data import BUILT_IN_EXAMPLES
from tonne.errors import DataError
from tonne.train.corpus import pages

TEST = "-test"
UNTESTED_SOURCE = f"{BUILT_IN_EXAMPLES}untested"  # plain text, no examples
SHARED_WORDS = 13  # in a row: as many as two texts do not share by chance
TESTED_OF = 5  # one of so many examples is kept for the test

Row = Mapping[str, Any]  # column -> value


def held_for_test(text: str) -> bool:
    """Whether a text belongs to the tests, white space and case aside: every fifth does, drawn by its hash."""
    plain = " ".join(text.casefold().split())
    return hashlib.blake2b(plain.encode(), digest_size=8).digest()[0] % TESTED_OF == 0


def built_in_rows(name: str) -> tuple[Row, ...]:
    """The rows of a corpus, by the name of a source: ``builtin:classify``, ``builtin:classify-test``.

    Returns:
        Rows with the columns of the task: source and target; text and label; question, context and answers.

    Raises:
        DataError: There is no such corpus, or what it is made of is not installed.
        MissingPackageError: Names need Babel, which is not installed.
    """
    wanted = name.removeprefix(BUILT_IN_EXAMPLES)
    corpus = wanted.removesuffix(TEST)
    if corpus not in MAKERS:
        known = ", ".join(BUILT_IN_EXAMPLES + known for known in MAKERS)
        raise DataError(
            f"source {name!r} is not built in. Known: {known}, each also with {TEST}. Take one of them, or "
            f"name a file. {UNTESTED_SOURCE} is plain text, to pre-train on."
        )
    return _parts(corpus)[int(wanted.endswith(TEST))]


def corpora() -> tuple[str, ...]:
    """The names of the corpora."""
    return tuple(MAKERS)


@cache
def untested_pages() -> tuple[tuple[str, str], ...]:
    """Name and text of each page of the documentation, without what the tests hold; see ``corpus.pages``.

    What a docstring describes stands above it, so that a model learns how the two go together.

    Left out is what a test holds, and every text that shares thirteen words in a row with it.

    Source: brown2020gpt3, appendix C.
    """
    from tonne.train import corpora_docstrings, corpora_reference  # noqa: PLC0415 - they import this module

    found = (*corpora_docstrings.in_tests(), *corpora_reference.in_tests())
    tested = {run for text, held in found if held for run in _runs(text.text)}
    kept = [text for text, held in found if not held and tested.isdisjoint(_runs(text.text))]
    return tuple(pages([replace(text, text=f"{text.heading}\n{text.text}".lstrip()) for text in kept]))


def _runs(text: str) -> set[int]:
    """The runs of words of a text, by their hashes; of a short text, the text."""
    words = text.casefold().split()
    return {hash(tuple(words[start : start + SHARED_WORDS])) for start in range(max(1, len(words) - SHARED_WORDS + 1))}


@cache
def _parts(corpus: str) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """What is trained on, and what is tested on."""
    parts: tuple[list[Row], list[Row]] = ([], [])
    for key, row in MAKERS[corpus]():
        parts[int(held_for_test(key))].append(row)
    if not all(parts):
        raise DataError(
            f"{BUILT_IN_EXAMPLES}{corpus} is empty: what it is made of was left out when this interpreter was "
            f"installed. Install the full Python, or give examples of your own as source."
        )
    return tuple(parts[0]), tuple(parts[1])


def _names(language: str) -> Callable[[], Iterator[tuple[str, Row]]]:
    def rows() -> Iterator[tuple[str, Row]]:
        from tonne.train.corpora_names import translations  # noqa: PLC0415 - needs Babel

        return translations(language)

    return rows


def _summaries() -> Iterator[tuple[str, Row]]:
    from tonne.train.corpora_docstrings import summaries  # noqa: PLC0415 - only what is asked for is read

    return summaries()


def _modules() -> Iterator[tuple[str, Row]]:
    from tonne.train.corpora_docstrings import modules  # noqa: PLC0415 - as above

    return modules()


def _questions() -> Iterator[tuple[str, Row]]:
    from tonne.train.corpora_reference import questions  # noqa: PLC0415 - as above

    return questions()


MAKERS: dict[str, Callable[[], Iterator[tuple[str, Row]]]] = {
    "translate-zh": _names("zh"),
    "translate-de": _names("de"),
    "summarise": _summaries,
    "classify": _modules,
    "answer": _questions,
}
