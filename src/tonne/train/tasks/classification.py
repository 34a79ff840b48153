"""A label of a whole text: sentiment, topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tonne.errors import DataError
from tonne.train.objectives.example import Example
from tonne.train.tasks.form import Encoded, Loss, Reading, Tokens, read_only, shortened

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The framed text, cut at its end where it is too long; its label is one number."""

    reading: Reading
    loss: ClassVar[Loss] = "label"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence of each."""
        r = self.reading
        texts = r.tokenizer.encode([r.task.source_prefix + example.text for example in examples])
        found = []
        for owner, (example, text) in enumerate(zip(examples, texts, strict=True)):
            kept, cut = shortened(text, r.limits.source - r.frame.single)
            tokens = r.frame.around(kept)
            check_not_empty(tokens, example)
            types = np.zeros_like(tokens)
            made = labelled(r, read_only(r.architecture, tokens, r.start, types), example)
            found.append(Encoded(example=made, owner=owner, cut=cut))
        return found


def labelled(reading: Reading, example: Example, of: Labelled) -> Example:
    """The example with the number of its label, and what it counts; one without a label has the first."""
    number = reading.labels.index(of.label) if of.label else 0
    weight = None if reading.weights is None else reading.weights[number]
    return replace(example, label=number, weight=weight)


def check_not_empty(tokens: Tokens, of: Labelled) -> None:
    """Refuse a sequence without a token: there is no state that could stand for it.

    Raises:
        DataError: It has none.
    """
    if not len(tokens):
        raise DataError(f"{of.where or of.id}: the text is empty. Leave the example out, or give its text.")
