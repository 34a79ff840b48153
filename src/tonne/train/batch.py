"""Examples side by side as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tonne.train.objectives.example import Example
from tonne.train.samples import NOTHING

Tokens = NDArray[np.int64]
PADDED = -1  # document of a padded position


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model reads at once, (B, L) where not said otherwise; None stands for what the objective has not.

    Attributes:
        tokens: int64.
        targets: int64, -100 where nothing is predicted.
        mask: 1 for a real token, 0 for padding. None where all are real, and where each position sees only what comes
            before it, so that nothing real ever sees the padding behind it.
        token_types: 0 in the first segment, 1 in the second.
        documents: Number of each token's document, which must not see the others; -1 in the padding.
        positions: Counted from each document's first token here.
        prefix: First tokens that see one another, of shape (B,).
        source: What the encoder reads, of shape (B, S).
        source_mask: As mask, of shape (B, S).
        next_sentence: 0 where B follows A, 1 where not, of shape (B,).
        labels: Numbers of the labels of whole sequences, of shape (B,).
        spans: Tokens at which answers start and end, of shape (B, 2).
        weight: What the predicted targets count together; None: each counts once.
        real_tokens: Tokens that are no padding, of tokens and source.
        predicted: Targets that are predicted: tokens, labels or spans.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    mask: torch.Tensor | None = None
    token_types: torch.Tensor | None = None
    documents: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    source: torch.Tensor | None = None
    source_mask: torch.Tensor | None = None
    next_sentence: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    spans: torch.Tensor | None = None
    weight: float | None = None
    real_tokens: int
    predicted: int

    @property
    def sequences(self) -> int:
        """How many there are."""
        return int(self.tokens.shape[0])

    @property
    def places(self) -> int:
        """Tokens and source with their padding."""
        return self.tokens.numel() + (0 if self.source is None else self.source.numel())


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """How examples of different lengths are brought to one.

    Attributes:
        token: Id of the padding; any will do, for nothing sees it.
        width: Length of all sequences; None for that of the longest.
        source_width: The same of the sources.
        causal: Whether each position sees only what comes before it.
        isolate: Whether documents of one sequence see one another not.
    """

    token: int
    width: int | None = None
    source_width: int | None = None
    causal: bool = False
    isolate: bool = False


def collated(examples: Sequence[Example], padding: Padding) -> Batch:
    """The examples as one batch."""
    width = padding.width or max(len(example.tokens) for example in examples)
    lengths = np.array([len(example.tokens) for example in examples])
    targets = _rows([example.targets for example in examples], width, NOTHING)
    documents = _documents(examples, width) if padding.isolate else None
    source, source_mask, source_tokens = _sources(examples, padding)
    first = examples[0]
    return Batch(
        tokens=torch.from_numpy(_rows([example.tokens for example in examples], width, padding.token)),
        targets=torch.from_numpy(targets),
        mask=None if padding.causal or (lengths == width).all() else _mask(lengths, width),
        token_types=_optional([example.token_types for example in examples], width, 0),
        documents=None if documents is None else torch.from_numpy(documents),
        positions=None if documents is None else torch.from_numpy(_positions(documents)),
        prefix=_labels([example.prefix for example in examples]) if first.prefix is not None else None,
        source=source,
        source_mask=source_mask,
        next_sentence=_labels([example.next_sentence for example in examples]),
        real_tokens=int(lengths.sum()) + source_tokens,
        labels=_labels([example.label for example in examples]),
        spans=_spans([example.span for example in examples]),
        weight=_weight([example.weight for example in examples]),
        predicted=_predicted(examples, targets),
    )


def _rows(rows: Sequence[Tokens], width: int, filler: int) -> Tokens:
    """The rows below one another, filled up to the width, of shape (rows, width)."""
    found = np.full((len(rows), width), filler, dtype=np.int64)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = row
    return found


def _optional(rows: Sequence[Tokens | None], width: int, filler: int) -> torch.Tensor | None:
    known = [row for row in rows if row is not None]
    return torch.from_numpy(_rows(known, width, filler)) if len(known) == len(rows) else None


def _mask(lengths: NDArray[np.int64], width: int) -> torch.Tensor:
    return torch.from_numpy((np.arange(width) < lengths[:, None]).astype(np.int64))


def _labels(values: Sequence[int | None]) -> torch.Tensor | None:
    known = [value for value in values if value is not None]
    return torch.tensor(known, dtype=torch.int64) if len(known) == len(values) else None


def _spans(spans: Sequence[tuple[int, int] | None]) -> torch.Tensor | None:
    known = [span for span in spans if span is not None]
    return torch.tensor(known, dtype=torch.int64) if len(known) == len(spans) else None


def _weight(weights: Sequence[float | None]) -> float | None:
    known = [weight for weight in weights if weight is not None]
    return sum(known) if len(known) == len(weights) else None


def _predicted(examples: Sequence[Example], targets: Tokens) -> int:
    """One of a sequence that has a label or a span, else the tokens."""
    whole = sum(example.label is not None or example.span is not None for example in examples)
    return whole or int((targets != NOTHING).sum())


def _sources(examples: Sequence[Example], padding: Padding) -> tuple[torch.Tensor | None, torch.Tensor | None, int]:
    """What the encoder reads, its mask, and its real tokens."""
    sources = [example.source for example in examples if example.source is not None]
    if not sources:
        return None, None, 0
    lengths = np.array([len(source) for source in sources])
    width = padding.source_width or int(lengths.max())
    mask = None if (lengths == width).all() else _mask(lengths, width)
    return torch.from_numpy(_rows(sources, width, padding.token)), mask, int(lengths.sum())


def _documents(examples: Sequence[Example], width: int) -> Tokens | None:
    """Numbers of documents, or None where no sequence holds two."""
    rows = [example.documents for example in examples if example.documents is not None]
    if len(rows) < len(examples) or not any(len(row) and row[-1] != row[0] for row in rows):
        return None
    return _rows(rows, width, PADDED)


def _positions(documents: Tokens) -> Tokens:
    """Each token's place in its document, counted from the document's first token in the sequence."""
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    begins = np.diff(documents, axis=1, prepend=documents[:, :1] - 1) != 0
    return places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
