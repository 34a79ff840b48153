"""Questions on the language reference that `help()` shows, whose answers stand in the text.

Two kinds. A definition: what does ``str.casefold`` do? The answer is the first sentence of its description. A gap: a
sentence whose name in quotation marks was taken out; the answer is that name with its marks, where it stands in the
context. Contexts are neighbouring paragraphs, long ones cut between sentences; no paragraph is in two of them, though
many topics repeat those of others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from tonne.train.corpora import held_for_test
from tonne.train.corpus import Docstring, topics

Keyed = tuple[str, Mapping[str, Any]]
LONGEST_CONTEXT = 400  # characters
LONGEST_ANSWER = 160  # characters of a description
AROUND_GAP = 60  # characters of a sentence on either side of what is asked for
GAP = "____"
_QUOTED = re.compile(r'"[^"\s][^"\n]{0,30}"')
_NAMED = re.compile(r"[A-Za-z]\w")  # marks alone are no name: metrics of answers see none of them
_SIGNATURE = re.compile(r"(?:[a-z]\w*\.)?_*[a-z]\w*(?:\.\w+)*(?:\([^)]*\))?")
_SENTENCE_END = re.compile(r"(?<=[.:;])\s")


@dataclass(frozen=True, slots=True)
class Definition:
    """A name and where its description's first sentence lies in a context."""

    name: str
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """Neighbouring paragraphs as one text, with the names that they define."""

    topic: str
    text: str
    definitions: tuple[Definition, ...]


def questions() -> Iterator[Keyed]:
    """Key and row of each question; the key is the context, so that no context is in both parts."""
    for context in contexts():
        for question, start, answer in (*_definitions(context), *_gaps(context)):
            answers = {"text": [answer], "answer_start": [start]}
            yield context.text, {"question": question, "context": context.text, "answers": answers}


def in_tests() -> tuple[tuple[Docstring, bool], ...]:
    """Every context as a text of its topic, and whether a test holds it."""
    return tuple(
        (
            Docstring(module=f"pydoc_data.topics.{one.topic}", name="", kind="topic", text=one.text),
            held_for_test(one.text),
        )
        for one in contexts()
    )


@cache
def contexts() -> tuple[Context, ...]:
    """The reference, cut."""
    seen: set[str] = set()
    found: list[Context] = []
    for topic in topics():
        held: list[str] = []
        for paragraph in _new_paragraphs(topic.text, seen):
            if held and len(" ".join([*held, paragraph])) > LONGEST_CONTEXT:
                found.append(_context(topic.name, held))
                held = []
            held.append(paragraph)
        if held:
            found.append(_context(topic.name, held))
    return tuple(found)


def _new_paragraphs(text: str, seen: set[str]) -> Iterator[str]:
    """The paragraphs of a topic that no topic before it had, each in one line, long ones in several."""
    for part in re.split(r"\n\s*\n", text):
        paragraph = " ".join(part.split())
        if paragraph and paragraph not in seen:
            seen.add(paragraph)
            yield from _cut(paragraph)


def _cut(paragraph: str) -> Iterator[str]:
    """A paragraph in parts of whole sentences; a sentence that is too long itself, as tables are, is left out."""
    held = ""
    for sentence in _SENTENCE_END.split(paragraph):
        if held and len(held) + 1 + len(sentence) > LONGEST_CONTEXT:
            yield held
            held = ""
        if len(sentence) <= LONGEST_CONTEXT:
            held = f"{held} {sentence}".strip()
    if held:
        yield held


def _context(topic: str, paragraphs: list[str]) -> Context:
    """The paragraphs side by side."""
    places, definitions = 0, []
    for paragraph, following in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
        places += len(paragraph) + 1
        sentence = _SENTENCE_END.split(following, maxsplit=1)[0]
        if _SIGNATURE.fullmatch(paragraph) and 0 < len(sentence) <= LONGEST_ANSWER:
            definitions.append(Definition(paragraph.split("(")[0], places, sentence))
    return Context(topic, " ".join(paragraphs), tuple(definitions))


def _definitions(context: Context) -> Iterator[tuple[str, int, str]]:
    for definition in context.definitions:
        yield f"What does {definition.name} do?", definition.start, definition.text


def _gaps(context: Context) -> Iterator[tuple[str, int, str]]:
    """Every name in quotation marks, asked for by what stands around it in its sentence."""
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(context.text)), len(context.text)]
    for begin, end in pairwise(ends):
        for match in _QUOTED.finditer(context.text, begin, end):
            before = context.text[max(begin, match.start() - AROUND_GAP) : match.start()]
            after = context.text[match.end() : min(end, match.end() + AROUND_GAP)]
            if _NAMED.search(match.group()) and len(before) + len(after) > AROUND_GAP // 2:
                yield (
                    f"{_whole_words(before, first=True)}{GAP}{_whole_words(after, first=False)}".strip(),
                    match.start(),
                    match.group(),
                )


def _whole_words(text: str, *, first: bool) -> str:
    """A cut piece of a sentence without the word that the cut went through."""
    if len(text) < AROUND_GAP:
        return text
    return text.partition(" ")[2] if first else text.rpartition(" ")[0]
