"""Where in a context the answer to a question stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.tasks.form import Encoded, Loss, Reading, Tokens, read_only

if TYPE_CHECKING:
    from tonne.train.labelled import Answer, Labelled

NOWHERE = (0, 0)  # the span of a window without the answer: both ends at the first token, as devlin2019bert has it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractiveAnswers:
    """Question and context in one frame; a long context is read in windows that share ``stride`` tokens.

    The first of an example's answers is learned. A window that does not hold it whole has both ends at its first token.

    Source: devlin2019bert, section 4.3.
    """

    reading: Reading
    loss: ClassVar[Loss] = "span"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence or more of each."""
        r = self.reading
        questions = r.tokenizer.encode([r.task.source_prefix + example.question.strip() for example in examples])
        contexts = r.tokenizer.encode_with_offsets([example.context for example in examples])
        return [
            encoded
            for owner, example in enumerate(examples)
            for encoded in self._of(owner, example, questions[owner], contexts[owner])
        ]

    def _of(
        self, owner: int, example: Labelled, question: NDArray[np.uint32], context: tuple[NDArray[np.uint32], Tokens]
    ) -> Iterator[Encoded]:
        """The windows of one example."""
        r, (tokens, offsets) = self.reading, context
        most = r.limits.source - r.frame.pair
        kept = question[: most // 2]  # half of the sequence is the context's
        room = most - len(kept)
        offsets = without_spaces(offsets, example.context)
        answer = next((found for found in example.answers if found.start is not None), None)
        for start in self._starts(len(tokens), room, example):
            part = slice(start, start + room)
            yield self._window(owner, (kept, tokens[part], offsets[part]), answer, len(question) - len(kept))

    def _starts(self, length: int, room: int, example: Labelled) -> range:
        """Where windows of a context begin.

        Raises:
            DataError: The context does not fit, and no stride was given or it leaves no room.
        """
        if length <= room:
            return range(1)
        stride = self.reading.task.stride
        if stride is None:
            raise DataError(
                f"{example.where or example.id}: the context has {length:,} tokens, and there is room for {room:,} "
                f"beside the question. Give [task] stride, e.g. {room // 3}, to read long contexts in windows, or a "
                f"larger max_source_length where the model has positions for it."
            )
        if stride >= room:
            raise DataError(
                f"[task] stride={stride} tokens are shared by windows of {room} tokens of context: they would never "
                f"get on. Give less, e.g. {room // 3}."
            )
        return range(0, length - stride, room - stride)

    def _window(
        self, owner: int, parts: tuple[NDArray[np.uint32], NDArray[np.uint32], Tokens], answer: Answer | None, cut: int
    ) -> Encoded:
        r, (question, context, offsets) = self.reading, parts
        tokens, types = r.frame.around_both(question, context)
        start = len(r.frame.before) + len(question) + len(r.frame.between)
        places = np.full((len(tokens), 2), -1, dtype=np.int64)
        places[start : start + len(context)] = offsets
        made = read_only(r.architecture, tokens, r.start, types)
        return Encoded(example=replace(made, span=span_of(places, answer)), owner=owner, cut=cut, offsets=places)


def span_of(places: Tokens, answer: Answer | None) -> tuple[int, int]:
    """The first and last token of an answer in a window that holds all of it, else ``NOWHERE``.

    Args:
        places: First and last + 1 character of each token, -1 outside the context, of shape (length, 2).
        answer: Its text, and where it starts.
    """
    if answer is None or answer.start is None or not answer.text.strip():
        return NOWHERE
    first, end = answer.start, answer.start + len(answer.text.rstrip())
    first += len(answer.text) - len(answer.text.lstrip())
    touched = np.flatnonzero((places[:, 0] < end) & (places[:, 1] > first) & (places[:, 0] >= 0))
    whole = len(touched) and places[touched[0], 0] <= first and places[touched[-1], 1] >= end
    return (int(touched[0]), int(touched[-1])) if whole else NOWHERE


def without_spaces(offsets: Tokens, text: str) -> Tokens:
    """The characters of each token without spaces at its start, which many vocabularies write into the token."""
    found = offsets.copy()
    for place, (first, end) in enumerate(offsets.tolist()):
        found[place, 0] = first + len(text[first:end]) - len(text[first:end].lstrip())
    return found
