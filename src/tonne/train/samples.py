"""What one sequence is made of: a window of the stream, a pack of documents, a piece of one, or a pair.

Each layout knows how many samples there are and gives any of them in O(1); none of them draws random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.draws import Draws
from tonne.train.packing import best_fit
from tonne.train.store import View

Tokens = NDArray[np.int64]
SHORTEST_PIECE = 2  # tokens: one alone has no two halves


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The tokens of one sequence, before an objective makes inputs and targets of them.

    Attributes:
        tokens: Of shape (length,).
        following: The token after each, of shape (length,); after the last document comes its delimiter; -100 where
            nothing follows.
        documents: Number of the document that each belongs to, from 0 on, of shape (length,).
        target: The second text of a pair.
        elsewhere: Tokens of a piece of another document, which it draws.
    """

    tokens: Tokens
    following: Tokens
    documents: Tokens
    target: Tokens | None = None
    elsewhere: Callable[[Draws], Tokens] | None = None


class Samples(Protocol):
    """The samples of a view of a store."""

    def __len__(self) -> int:
        """How many there are."""

    def lengths(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens in each of these samples, of their shape."""

    def sample(self, number: int) -> Sample:
        """One of them."""


NOTHING = -100  # a target where nothing is predicted, as torch's cross entropy has it


class Windows:
    """The stream of all documents in windows of one length: each token in exactly one, no padding but in the last."""

    def __init__(self, view: View, length: int) -> None:
        """Windows of `length` tokens."""
        self.view, self.length = view, length
        self.end = _delimiter(view)

    def __len__(self) -> int:
        return -(-self.view.tokens // self.length)

    def lengths(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens in each of these windows."""
        return np.minimum(self.length, self.view.tokens - samples * self.length)

    def sample(self, number: int) -> Sample:
        """A window, and the one token after it."""
        start = number * self.length
        tokens, owners = self.view.stream(start, min(start + self.length + 1, self.view.tokens))
        if len(tokens) <= self.length:
            tokens = np.append(tokens, self.end)
        length = len(tokens) - 1
        owners = owners[:length]
        return Sample(tokens=tokens[:-1], following=tokens[1:], documents=owners - owners[0])


class Pieces:
    """Every document by itself, cut where it is longer than a sequence."""

    def __init__(self, view: View, length: int, *, bare: bool = False) -> None:
        """Pieces of at most `length` tokens.

        Args:
            view: Whose documents.
            length: Of a piece.
            bare: Leave out the delimiters, and pieces too short to be halved.
        """
        self.view, self.length = view, length
        self.end = _delimiter(view)
        skipped = int(bare and self.end != NOTHING)
        held = np.maximum(view.lengths - skipped, 0)
        number = -(-held // length)
        self.owners = np.repeat(np.arange(len(held)), number)
        within = np.arange(len(self.owners)) - np.repeat(np.cumsum(number) - number, number)
        self.starts = skipped + within * length
        self.sizes = np.minimum(length, held[self.owners] - within * length)
        if bare:
            kept = self.sizes >= SHORTEST_PIECE
            self.owners, self.starts, self.sizes = self.owners[kept], self.starts[kept], self.sizes[kept]

    def __len__(self) -> int:
        return len(self.owners)

    def lengths(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens in each of these pieces."""
        found: NDArray[np.int64] = self.sizes[samples]
        return found

    def sample(self, number: int) -> Sample:
        """A piece, what follows it, and a way to others."""
        tokens, following = self.piece(number)
        owner = int(self.owners[number])
        return Sample(
            tokens=tokens,
            following=following,
            documents=np.zeros_like(tokens),
            elsewhere=lambda draws: self.elsewhere(owner, draws),
        )

    def piece(self, number: int) -> tuple[Tokens, Tokens]:
        """Tokens of a piece, and the token after each."""
        owner, start, size = int(self.owners[number]), int(self.starts[number]), int(self.sizes[number])
        tokens = self.view.slice(owner, start, min(start + size + 1, int(self.view.lengths[owner])))
        if len(tokens) == size:
            tokens = np.append(tokens, self.end)
        return tokens[:-1], tokens[1:]

    def elsewhere(self, owner: int, draws: Draws) -> Tokens:
        """Tokens of any other document from one of its pieces on, each piece as likely, up to twice a piece's length.

        Raises:
            DataError: There is no other document.
        """
        first, last = (int(place) for place in np.searchsorted(self.owners, [owner, owner + 1]))
        others = len(self.owners) - (last - first)
        if not others:
            raise DataError(
                "The data hold one document, but a random second sentence comes from another. Give more documents, "
                "e.g. documents = 'paragraph', or leave next-sentence prediction out."
            )
        chosen = draws.below(others)
        number = chosen if chosen < first else chosen + last - first
        other, start = int(self.owners[number]), int(self.starts[number])
        return self.view.slice(other, start, min(start + 2 * self.length, int(self.view.lengths[other])))


class Packs:
    """Whole documents side by side, each token in exactly one pack; only documents longer than a pack are cut."""

    def __init__(self, view: View, length: int) -> None:
        """Packs of at most `length` tokens."""
        self.pieces = Pieces(view, length)
        self.plan = best_fit(self.pieces.sizes, length)

    def __len__(self) -> int:
        return self.plan.packs

    def lengths(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens in each of these packs."""
        return np.array(
            [int(self.pieces.sizes[self.plan.pack(int(number))].sum()) for number in samples], dtype=np.int64
        )

    def sample(self, number: int) -> Sample:
        """A pack."""
        parts = [self.pieces.piece(int(piece)) for piece in self.plan.pack(number)]
        return Sample(
            tokens=np.concatenate([tokens for tokens, _ in parts]),
            following=np.concatenate([following for _, following in parts]),
            documents=np.repeat(np.arange(len(parts)), [len(tokens) for tokens, _ in parts]),
        )


class Pairs:
    """Records with a source and a target, each cut at its length."""

    def __init__(self, view: View, length: int, target_length: int) -> None:
        """Sources of at most `length` tokens, targets of at most `target_length`."""
        if view.store.fields != ("source", "target"):
            raise DataError(
                f"{view.store.folder} holds single texts, but the objective wants pairs. Name both columns, e.g. "
                f"columns = {{ source = 'en', target = 'de' }}, and prepare the data anew."
            )
        self.view, self.limits = view, np.array([length, target_length])
        self.sizes = np.minimum(view.lengths.reshape(-1, 2), self.limits)

    @property
    def cut(self) -> int:
        """Pairs of which something had to be left out."""
        return int((self.view.lengths.reshape(-1, 2) > self.limits).any(axis=1).sum())

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of source and target together of each of these pairs."""
        found: NDArray[np.int64] = self.sizes[samples].sum(axis=-1)
        return found

    def sample(self, number: int) -> Sample:
        """A pair."""
        source, target = (self.view.slice(2 * number + part, 0, int(self.sizes[number, part])) for part in (0, 1))
        return Sample(
            tokens=source, following=np.full_like(source, NOTHING), documents=np.zeros_like(source), target=target
        )


def _delimiter(view: View) -> int:
    """The token that stands before each document, and so follows the last; -100 where there is none."""
    found = view.store.special.delimiter
    return NOTHING if found is None else found
