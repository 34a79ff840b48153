"""Predicting the next token: of the whole text, or of what comes after a prefix that is read both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tonne.train.draws import Draws
from tonne.train.objectives.example import Example, Layout
from tonne.train.samples import NOTHING, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalLm:
    """Each token predicts the one after it; the delimiter at a document's end is the last."""

    name: ClassVar[str] = "causal-lm"
    layout: ClassVar[Layout] = "windows"

    def text_length(self, length: int) -> int:
        """Every position holds text."""
        return length

    def target_length(self, length: int) -> int | None:
        """There is one sequence."""
        return None

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The tokens, and those after them."""
        return Example(tokens=sample.tokens, targets=sample.following, documents=sample.documents)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixLm:
    """The first tokens, a number drawn evenly, see one another; the rest is predicted one by one.

    Source: raffel2020t5, section 3.2.1.
    """

    name: ClassVar[str] = "prefix-lm"
    layout: ClassVar[Layout] = "windows"

    def text_length(self, length: int) -> int:
        """Every position holds text."""
        return length

    def target_length(self, length: int) -> int | None:
        """There is one sequence."""
        return None

    def example(self, sample: Sample, draws: Draws) -> Example:
        """The tokens, and from the prefix's last on, those after them."""
        length = len(sample.tokens)
        prefix = 1 + draws.below(length - 1) if length > 1 else 1
        targets = sample.following.copy()
        targets[: prefix - 1] = NOTHING  # the prefix's last token already knows nothing of the next
        return Example(tokens=sample.tokens, targets=targets, documents=sample.documents, prefix=prefix)
