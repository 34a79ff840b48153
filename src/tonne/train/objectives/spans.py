"""For encoder-decoders: spans that were lost and must be told, and targets that belong to sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.draws import Draws
from tonne.train.objectives.example import Example, Layout, Tokens
from tonne.train.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCorruption:
    """Spans of the text are replaced by sentinels; the target is each sentinel with what it replaced, and the end.

    As in T5's own code there is no sentinel after the last span: the end token stands there.

    Attributes:
        sentinels: Ids of the sentinels, the first span's first.
        end: Id of the token that ends source and target.
        start: Id of the token that the decoder begins with.
        fraction: Share of the tokens that is lost.
        mean_span: Mean length of a span [token].

    Source: raffel2020t5, sections 3.1.4 and 3.3.4.
    """

    sentinels: tuple[int, ...]
    end: int
    start: int
    fraction: float = 0.15
    mean_span: float = 3.0
    name: ClassVar[str] = "span-corruption"
    layout: ClassVar[Layout] = "windows"

    def text_length(self, length: int) -> int:
        """The most tokens whose source, spans replaced and end added, is no longer than `length`.

        Raises:
            DataError: Such a text has more spans than there are sentinels.
        """
        found = length
        while self._lengths(found + 1)[0] <= length:
            found += 1
        _, spans = self.lost(found)
        if spans > len(self.sentinels):
            raise DataError(
                f"A source of {length} tokens loses {spans} spans, but the vocabulary has {len(self.sentinels)} "
                f"sentinels. Use shorter sequences, or a tokenizer with more <extra_id_...> tokens."
            )
        return found

    def target_length(self, length: int) -> int | None:
        """The length of the target of the longest text for a source of this length."""
        return self._lengths(self.text_length(length))[1]

    def lost(self, length: int) -> tuple[int, int]:
        """How many tokens of a text are lost, and in how many spans."""
        lost = min(max(round(length * self.fraction), 1), length - 1)
        return lost, min(max(round(lost / self.mean_span), 1), length - lost)

    def example(self, sample: Sample, draws: Draws) -> Example:
        """Source with sentinels; target shifted right behind the start token."""
        text = sample.tokens[~np.isin(sample.tokens, self.end)]  # delimiters are no text
        if len(text) < 2:
            text = np.concatenate([text, [self.end] * (2 - len(text))])
        starts, ends = self.spans(len(text), draws)
        return self.corrupted(text, starts, ends)

    def spans(self, length: int, draws: Draws) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each span begins and ends; text comes before the first, and between any two."""
        lost, number = self.lost(length)
        kept_parts, lost_parts = parts(length - lost, number, draws), parts(lost, number, draws)
        ends = np.cumsum(kept_parts + lost_parts)
        return ends - lost_parts, ends

    def corrupted(self, text: Tokens, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Example:
        """The example that these spans make of a text."""
        edges = np.zeros(len(text) + 1, dtype=np.int64)
        edges[starts] += 1
        edges[ends] -= 1
        lost = np.cumsum(edges[:-1]).astype(bool)
        sentinels = np.array(self.sentinels[: len(starts)], dtype=np.int64)
        source, kept = text.copy(), ~lost
        source[starts], kept[starts] = sentinels, True
        before = np.concatenate([[0], np.cumsum(ends - starts)[:-1]])
        target = np.insert(text[lost], before, sentinels)
        return _translated(np.append(source[kept], self.end), np.append(target, self.end), self.start)

    def _lengths(self, text_length: int) -> tuple[int, int]:
        """Tokens of source and of target that a text of this length makes."""
        lost, spans = self.lost(text_length)
        return text_length - lost + spans + 1, lost + spans + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2Seq:
    """A source, and the target that belongs to it; both end with the end token."""

    end: int
    start: int
    longest_target: int
    name: ClassVar[str] = "seq2seq"
    layout: ClassVar[Layout] = "pairs"

    def text_length(self, length: int) -> int:
        """All but the end."""
        return length - 1

    def target_length(self, length: int) -> int | None:
        """As it was set."""
        return self.longest_target

    def example(self, sample: Sample, draws: Draws) -> Example:
        """Source, and target shifted right behind the start token."""
        assert sample.target is not None
        source, target = (np.append(tokens, self.end) for tokens in (sample.tokens, sample.target))
        return _translated(source, target, self.start)


def parts(whole: int, number: int, draws: Draws) -> NDArray[np.int64]:
    """Lengths of the parts of `whole` things cut at random into `number` parts, none empty, every way as likely."""
    cuts = np.sort(draws.shuffled(whole - 1)[: number - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [whole]]))


def _translated(source: Tokens, target: Tokens, start: int) -> Example:
    """An example whose decoder reads each target token one position later."""
    shifted = np.concatenate([[start], target[:-1]])
    return Example(tokens=shifted.astype(np.int64), targets=target.astype(np.int64), source=source.astype(np.int64))
