"""Notes that came with figures, in the reader's language: by patterns, whole or not at all (decision 90)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from tonne.report.page.blocks import Cell
from tonne.report.page.language import CATALOGUE_VERSION, Words

BLANK = re.compile(r"\\{(\w+)\\}")
LETTERS = re.compile(r"[A-Za-z]")
BETWEEN = "; "  # where one note holds several


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Notes of one language: English patterns with their texts, and words of what may stand in a blank."""

    notes: tuple[tuple[re.Pattern[str], str], ...]
    words: Mapping[str, str]
    any_word: re.Pattern[str]

    def of(self, note: str) -> str | None:
        """The note in that language, every blank filled as it was recorded; None where no pattern fits all of it."""
        for pattern, text in self.notes:
            found = pattern.fullmatch(note)
            if found is not None:
                return text.format(**{name: self.blank(value) for name, value in found.groupdict().items()})
        parts = [self.of(part) for part in note.split(BETWEEN)] if BETWEEN in note else []
        known = [part for part in parts if part is not None]
        return "；".join(known) if known and len(known) == len(parts) else None

    def blank(self, value: str) -> str:
        """What stands in a blank: translated where all of it can be, else as it was recorded."""
        whole = self.of(value)
        if whole is not None:
            return whole
        told = self.any_word.sub("", value)
        return value if LETTERS.search(told) else self.any_word.sub(lambda found: self.words[found.group()], value)


@lru_cache
def patterns_of(language: str) -> Patterns | None:
    """The patterns of a language; None of English, in which notes are made."""
    if language == "en":
        return None
    text = (files("tonne.report.page") / "words" / f"notes.{language}.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["version"] == CATALOGUE_VERSION
    words = found["words"]
    longest_first = sorted(words, key=len, reverse=True)
    return Patterns(
        notes=tuple((_pattern(english), there) for english, there in found["notes"]),
        words=words,
        any_word=re.compile("|".join(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])" for word in longest_first)),
    )


def _pattern(english: str) -> re.Pattern[str]:
    """A pattern's text as an expression; doubled braces are braces, as in every text of a catalogue."""
    text = re.escape(english.replace("{{", "\0").replace("}}", "\1"))
    text = BLANK.sub(r"(?P<\1>.+?)", text)
    return re.compile(text.replace("\0", r"\{").replace("\1", r"\}"), re.DOTALL)


def note_cell(note: str, words: Words) -> Cell:
    """A note as it is read: in the reader's language, or as it was recorded and marked so."""
    patterns = patterns_of(words.language)
    there = None if patterns is None else patterns.of(note)
    return Cell(text=note, own_language=True) if there is None else Cell(text=there)


def phrase_cell(text: str, words: Words) -> Cell:
    """Words that the program chose, such as a layout, as they are read."""
    patterns = patterns_of(words.language)
    there = text if patterns is None else patterns.blank(text)
    return Cell(text=there, own_language=there == text)
