"""One sequence as the model sees it, and what every objective has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tonne.train.draws import Draws
from tonne.train.samples import Sample

Tokens = NDArray[np.int64]
Layout = Literal["windows", "pieces", "pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Inputs and targets of one sequence.

    Attributes:
        tokens: What the model reads (an encoder-decoder's decoder), of shape (length,).
        targets: What it should say at each position, -100 where nothing is asked, of shape (length,).
        token_types: 0 in the first segment, 1 in the second.
        documents: Number of the document of each token.
        prefix: First tokens that see one another.
        source: What an encoder-decoder's encoder reads.
        next_sentence: 0 where the second segment follows the first, 1 where it does not.
        label: Number of the label of the whole sequence.
        span: Tokens at which an answer starts and ends.
        weight: What its targets count together; None: each counts once.
    """

    tokens: Tokens
    targets: Tokens
    token_types: Tokens | None = None
    documents: Tokens | None = None
    prefix: int | None = None
    source: Tokens | None = None
    next_sentence: int | None = None
    label: int | None = None
    span: tuple[int, int] | None = None
    weight: float | None = None


class Objective(Protocol):
    """Makes an example of a sample; the same sample and draws give the same example."""

    @property
    def name(self) -> str:
        """As a plan calls it."""

    @property
    def layout(self) -> Layout:
        """What it makes examples of: windows (or packs), pieces, or pairs."""

    def text_length(self, length: int) -> int:
        """Tokens of text that fill a sequence (of the encoder, where there are two) of this length."""

    def target_length(self, length: int) -> int | None:
        """Tokens that a decoder of its own reads for a full source of this length; None where there is none."""

    def example(self, sample: Sample, draws: Draws) -> Example:
        """Inputs and targets."""
