"""Sequences framed for an encoder: one segment, or two of which it must be told whether they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tonne.train.draws import Draws
from tonne.train.objectives.example import Example, Layout, Tokens
from tonne.train.samples import NOTHING, Sample

FOLLOWS, DOES_NOT_FOLLOW = 0, 1  # as BERT's head has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """[CLS] text [SEP]."""

    begin: int
    separator: int
    name: ClassVar[str] = ""
    layout: ClassVar[Layout] = "windows"
    added: ClassVar[int] = 2

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The framed window; the frame belongs to the documents that it touches."""
        documents = sample.documents
        return Example(
            tokens=_joined(self.begin, sample.tokens, self.separator),
            targets=np.full(len(sample.tokens) + 2, NOTHING, dtype=np.int64),
            documents=_joined(int(documents[0]), documents, int(documents[-1])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSentence:
    """[CLS] A [SEP] B [SEP]: in half of all, B follows A in its document; in the others it is of another document.

    A and B part at the end of a sentence where one is known, else at any token.

    Source: devlin2019bert, section 3.1 and appendix A.2.
    """

    begin: int
    separator: int
    ends_sentence: NDArray[np.bool_] | None = None
    name: ClassVar[str] = "next-sentence"
    layout: ClassVar[Layout] = "pieces"
    added: ClassVar[int] = 3

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The framed pair, and whether B follows A."""
        cut = halfway(sample.tokens, self.ends_sentence, draws)
        first, second = sample.tokens[:cut], sample.tokens[cut:]
        if draws.chance() < 0.5:
            return framed_pair(first, second, (self.begin, self.separator), FOLLOWS)
        assert sample.elsewhere is not None
        other = sample.elsewhere(draws)
        start = sentence_start(other, len(second), self.ends_sentence, draws)
        return framed_pair(first, other[start : start + len(second)], (self.begin, self.separator), DOES_NOT_FOLLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceOrder:
    """[CLS] A [SEP] B [SEP]: two segments that follow one another, in half of all with the second one first.

    Source: lan2020albert, section 3.1.
    """

    begin: int
    separator: int
    ends_sentence: NDArray[np.bool_] | None = None
    name: ClassVar[str] = "sentence-order"
    layout: ClassVar[Layout] = "pieces"
    added: ClassVar[int] = 3

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The framed pair, and whether it is in order."""
        cut = halfway(sample.tokens, self.ends_sentence, draws)
        first, second = sample.tokens[:cut], sample.tokens[cut:]
        if draws.chance() < 0.5:
            return framed_pair(first, second, (self.begin, self.separator), FOLLOWS)
        return framed_pair(second, first, (self.begin, self.separator), DOES_NOT_FOLLOW)


def framed_pair(first: Tokens, second: Tokens, frame: tuple[int, int], label: int) -> Example:
    """[CLS] first [SEP] second [SEP], token types 0 up to the first [SEP] and 1 after it."""
    begin, separator = frame
    tokens = np.concatenate([[begin], first, [separator], second, [separator]]).astype(np.int64)
    types = np.zeros_like(tokens)
    types[len(first) + 2 :] = 1
    return Example(tokens=tokens, targets=np.full_like(tokens, NOTHING), token_types=types, next_sentence=label)


def halfway(tokens: Tokens, ends_sentence: NDArray[np.bool_] | None, draws: Draws) -> int:
    """Where a piece is cut in two, neither part empty: after a sentence, each as likely; else anywhere."""
    cuts = _sentence_starts(tokens, ends_sentence)
    return int(cuts[draws.below(len(cuts))]) if len(cuts) else 1 + draws.below(len(tokens) - 1)


def sentence_start(tokens: Tokens, wanted: int, ends_sentence: NDArray[np.bool_] | None, draws: Draws) -> int:
    """Where a second segment from elsewhere begins: where one that follows could have begun, and is no shorter."""
    latest = max(len(tokens) - wanted, 1)
    cuts = _sentence_starts(tokens, ends_sentence)
    early = cuts[cuts <= latest]
    cuts = early if len(early) else cuts
    return int(cuts[draws.below(len(cuts))]) if len(cuts) else 1 + draws.below(min(latest, len(tokens) - 1))


def _sentence_starts(tokens: Tokens, ends_sentence: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Where sentences begin, the first token left out."""
    return np.empty(0, np.int64) if ends_sentence is None else np.flatnonzero(ends_sentence[tokens[:-1]]) + 1


def _joined(first: int, middle: Tokens, last: int) -> Tokens:
    return np.concatenate([[first], middle, [last]]).astype(np.int64)
