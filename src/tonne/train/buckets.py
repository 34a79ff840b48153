"""Sequences of like length together, so that little is padded: sorting within a stretch of the random order.

A stretch of some batches is sorted by length and cut into batches, and the batches are put in random order: lengths of
a batch are alike, and yet no length comes early or late. Any step is told from its own stretch alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonne.train.order import Permutation

BATCHES_TOGETHER = 64


def bucketed(lengths: NDArray[np.int64], batch: int, *, seed: int, stretch: int) -> NDArray[np.int64]:
    """The order in which the sequences of a stretch are taken.

    Args:
        lengths: Of the sequences in their random order, of shape (sequences,).
        batch: Sequences that are taken together.
        seed: Of the run.
        stretch: Which one it is; each has an order of its own.

    Returns:
        Places in the stretch, of shape (sequences,); what does not fill a batch comes last.
    """
    by_length = np.argsort(lengths, kind="stable")
    whole = len(lengths) // batch
    leftover = len(lengths) - whole * batch
    # What is left over is taken evenly from all lengths, lest the shortest or the longest always come last.
    spare = (np.arange(leftover) * len(lengths)) // max(leftover, 1)
    rest, kept = by_length[spare], np.delete(by_length, spare)
    order = Permutation(whole, seed=seed, epoch=stretch).at(np.arange(whole)) if whole else np.arange(0)
    return np.concatenate([kept.reshape(whole, batch)[order].reshape(-1), rest]).astype(np.int64)
