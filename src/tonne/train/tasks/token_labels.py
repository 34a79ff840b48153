"""A label of each word: names, parts of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tonne.errors import DataError
from tonne.train.samples import NOTHING
from tonne.train.tasks.classification import check_not_empty
from tonne.train.tasks.form import Encoded, Loss, Reading, Tokens, read_only

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClassification:
    """Words that are given apart; a word's first token is asked for its label, its other tokens are not."""

    reading: Reading
    loss: ClassVar[Loss] = "token-labels"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence of each."""
        return [self._one(owner, example) for owner, example in enumerate(examples)]

    def _one(self, owner: int, of: Labelled) -> Encoded:
        r = self.reading
        if of.labels and len(of.labels) != len(of.tokens):
            raise DataError(
                f"{of.where or of.id}: {len(of.tokens)} tokens have {len(of.labels)} labels. Give one label a token."
            )
        pieces = r.tokenizer.encode(spaced(of.tokens)) if of.tokens else []
        text = np.concatenate([*pieces, np.empty(0, dtype=np.uint32)])
        begins = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        begins[1:][begins[1:] == begins[:-1]] = NOTHING
        room = max(r.limits.source - r.frame.single, 0)
        tokens = r.frame.around(text[:room].astype(np.int64))
        check_not_empty(tokens, of)
        words = np.full_like(tokens, -1)
        start = len(r.frame.before)
        words[start : start + len(text[:room])] = np.where(begins[:room] == NOTHING, -1, begins[:room])
        targets = self._targets(words, of)
        made = read_only(r.architecture, tokens, r.start, np.zeros_like(tokens))
        weights = None if r.weights is None else float(sum(r.weights[t] for t in targets[targets != NOTHING]))
        made = replace(made, targets=targets, weight=weights)
        return Encoded(example=made, owner=owner, cut=max(len(text) - room, 0), words=words)

    def _targets(self, words: Tokens, of: Labelled) -> Tokens:
        """The number of each first token's label, of shape (length,)."""
        if not of.labels:
            return np.full_like(words, NOTHING)
        numbers = np.array([self.reading.labels.index(label) for label in of.labels])
        return np.where(words < 0, NOTHING, numbers[words])


def spaced(words: Sequence[str]) -> list[str]:
    """Words as they stand in a text: all but the first after a space, which many vocabularies write into the token."""
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)]
