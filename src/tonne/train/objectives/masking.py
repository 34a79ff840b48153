"""Masked language modelling: some tokens are hidden, and predicted from both sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tonne.train.draws import Draws
from tonne.train.objectives.example import Example, Layout, Tokens
from tonne.train.samples import NOTHING, Sample
from tonne.train.special_tokens import SpecialTokens

# Of the chosen tokens, BERT shows 80 % as [MASK], 10 % as a random token and 10 % as they are: devlin2019bert, section
# 3.1.
SHOWN_AS_MASK, SHOWN_AS_MASK_OR_RANDOM = 0.8, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """Hides a share of the tokens of a sequence; special tokens never.

    Attributes:
        mask: The id of [MASK].
        special: Whether each id is special, of shape (vocabulary,).
        fraction: Share that is predicted, of the tokens that may be; at least one is.
        begins_word: Whether each id begins a word, of shape (vocabulary,); given, words are hidden whole.

    Source: devlin2019bert, section 3.1.
    """

    mask: int
    special: NDArray[np.bool_]
    fraction: float = 0.15
    begins_word: NDArray[np.bool_] | None = None

    def __call__(self, example: Example, draws: Draws) -> Example:
        """The example with tokens hidden, and the hidden ones as its targets."""
        chosen = self.chosen(example.tokens, draws)
        targets = np.full_like(example.tokens, NOTHING)
        targets[chosen] = example.tokens[chosen]
        return replace(example, tokens=self.shown(example.tokens, chosen, draws), targets=targets)

    def chosen(self, tokens: Tokens, draws: Draws) -> NDArray[np.int64]:
        """The positions that are predicted."""
        maskable = np.flatnonzero(~self.special[tokens])
        if not len(maskable):
            return maskable
        number = max(1, round(len(maskable) * self.fraction))
        if self.begins_word is None:
            return np.sort(maskable[draws.shuffled(len(maskable))[:number]])
        return self._whole_words(tokens, maskable, number, draws)

    def shown(self, tokens: Tokens, chosen: NDArray[np.int64], draws: Draws) -> Tokens:
        """The tokens as the model reads them: chosen ones as [MASK], as a random token, or as they are."""
        shown, lot = tokens.copy(), draws.uniform(len(chosen))
        shown[chosen[lot < SHOWN_AS_MASK]] = self.mask
        swapped = chosen[(lot >= SHOWN_AS_MASK) & (lot < SHOWN_AS_MASK_OR_RANDOM)]
        ordinary = np.flatnonzero(~self.special)
        shown[swapped] = ordinary[(draws.uniform(len(swapped)) * len(ordinary)).astype(np.int64)]
        return shown

    def _whole_words(self, tokens: Tokens, maskable: NDArray[np.int64], number: int, draws: Draws) -> NDArray[np.int64]:
        """Positions of whole words, in random order as long as they fit in the number; one word at least."""
        assert self.begins_word is not None
        apart = np.diff(maskable, prepend=-2) > 1  # after a special token
        words = np.split(maskable, np.flatnonzero(self.begins_word[tokens[maskable]] | apart)[1:])
        order = draws.shuffled(len(words))
        taken: list[NDArray[np.int64]] = []
        held = 0
        for word in (words[i] for i in order):
            if held + len(word) <= number:
                taken.append(word)
                held += len(word)
        return np.sort(np.concatenate(taken or [min(words, key=len)]))


class Framing(Protocol):
    """Makes one framed sequence of a sample, nothing hidden yet."""

    @property
    def name(self) -> str:
        """What it adds to the objective's name; empty where it adds nothing to be learned."""

    @property
    def layout(self) -> Layout:
        """What it frames."""

    @property
    def added(self) -> int:
        """Tokens that frame the text."""

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The framed sequence; no targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLm:
    """A framing, then masking: alone it is masked LM, with next sentence it is BERT's objective."""

    framing: Framing
    masking: Masking

    @property
    def name(self) -> str:
        """As a plan calls it."""
        return f"masked-lm+{self.framing.name}" if self.framing.name else "masked-lm"

    @property
    def layout(self) -> Layout:
        """That of the framing."""
        return self.framing.layout

    def text_length(self, length: int) -> int:
        """What the frame leaves."""
        return length - self.framing.added

    def target_length(self, length: int) -> int | None:
        """There is one sequence."""
        return None

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The framed sequence with tokens hidden."""
        return self.masking(self.framing.example(sample, draws), draws)


def special_ids(special: SpecialTokens, vocabulary: int) -> NDArray[np.bool_]:
    """Whether each id is special, of shape (vocabulary,)."""
    found = np.zeros(vocabulary, dtype=bool)
    found[sorted(special.all)] = True
    return found
