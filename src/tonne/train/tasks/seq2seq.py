"""Text from text by an encoder-decoder: translation, summarisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tonne.train.objectives.example import Example
from tonne.train.tasks.form import Encoded, Loss, Reading, Tokens, shortened
from tonne.train.tasks.frame import end_token
from tonne.train.tasks.prompts import target_of

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2SeqText:
    """The source, framed, goes to the encoder; the decoder says the target and its end, behind the start token.

    Source: vaswani2017attention, section 3.1.
    """

    reading: Reading
    loss: ClassVar[Loss] = "text"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence of each."""
        r = self.reading
        targets = r.tokenizer.encode([r.task.target_prefix + target_of(example, r.task) for example in examples])
        found = []
        for owner, (source, target) in enumerate(zip(self.sources(examples), targets, strict=True)):
            said, cut = shortened(target, r.limits.target - len(r.frame.before) - 1)
            targeted = np.array([*r.frame.before, *said, end_token(r.tokenizer)], dtype=np.int64)
            tokens = np.concatenate([[r.start], targeted[:-1]])
            made = Example(tokens=tokens, targets=targeted, source=source[0])
            found.append(Encoded(example=made, owner=owner, cut=source[1] + cut))
        return found

    def sources(self, examples: Sequence[Labelled]) -> list[tuple[Tokens, int]]:
        """What the encoder reads of each, and how many tokens of it were left out."""
        r = self.reading
        texts = r.tokenizer.encode([r.task.source_prefix + getattr(example, r.task.inputs[0]) for example in examples])
        return [self._framed(text) for text in texts]

    def starts(self) -> Tokens:
        """What the decoder is given before it writes, of shape (length,)."""
        r = self.reading
        (prefix,) = r.tokenizer.encode([r.task.target_prefix]) if r.task.target_prefix else [np.empty(0, np.int64)]
        return np.array([r.start, *r.frame.before, *prefix], dtype=np.int64)

    def _framed(self, text: NDArray[np.uint32]) -> tuple[Tokens, int]:
        kept, cut = shortened(text, self.reading.limits.source - self.reading.frame.single)
        return self.reading.frame.around(kept), cut
