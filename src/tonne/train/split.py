"""Which documents are held out for validation: a rule about a document's number alone.

One document of every 1 / fraction in a row, chosen at random within them: so each part of the data is held out alike,
the rule can be followed while documents stream past, and a longer store holds out what the shorter one did.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonne.train.order import mixed_words


def is_held_out(document: int, fraction: float) -> bool:
    """Whether a document is held out, of a store of any length."""
    return fraction > 0 and int(_chosen(np.array([int(document * fraction)]), fraction)[0]) == document


def held_out(documents: int, fraction: float) -> NDArray[np.bool_]:
    """Whether each document is held out, of shape (documents,); the last one where the rule takes none of so few."""
    found = np.zeros(documents, dtype=bool)
    if fraction <= 0 or documents < 2:
        return found
    chosen = _chosen(np.arange(int(documents * fraction) + 1), fraction)
    found[chosen[chosen < documents]] = True
    if not found.any():
        found[-1] = True
    return found


def _chosen(blocks: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """The document that each block holds out; a block are documents whose number x fraction has its whole part."""
    start, end = _first(blocks, fraction), _first(blocks + 1, fraction)
    lots = mixed_words((blocks + 1).astype(np.uint64)) % (end - start).astype(np.uint64)
    return start + lots.astype(np.int64)


def _first(blocks: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """The first document of each block; the quotient is rounded, so its neighbours are looked at too."""
    guess = (blocks / fraction).astype(np.int64)
    near = np.maximum(guess[:, None] + np.arange(-1, 3), 0)
    inside = (near * fraction).astype(np.int64) >= blocks[:, None]
    found: NDArray[np.int64] = near[np.arange(len(blocks)), np.argmax(inside, axis=1)]
    return found
