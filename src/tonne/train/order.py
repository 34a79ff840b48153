"""The order in which samples are seen: a permutation by arithmetic, any position of it in O(1).

Nothing is shuffled in memory and nothing is replayed: position 10^9 of epoch 7 costs what position 0 costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = (
    6  # three make a permutation look random to one who does not choose the inputs; six also for a handful of samples
)
WORD = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64's step between two keys: odd, with bits like a random number's


class Permutation:
    """A random order of 0 to size - 1, for one seed and epoch.

    A Feistel network permutes the numbers of 2k bits whatever its round function is; numbers that fall outside are sent
    through it again until they fall inside, which they do after fewer than four rounds on average.
    """

    def __init__(self, size: int, *, seed: int, epoch: int = 0) -> None:
        """Keys for each round, from the seed and the epoch."""
        self.size = size
        half = max(1, -(-max(size - 1, 1).bit_length() // 2))
        self._half = np.uint64(half)
        self._mask = np.uint64(2**half - 1)
        start = mixed(mixed(seed & WORD) ^ (epoch & WORD))
        self._keys = [np.uint64(mixed((start + number * GOLDEN) & WORD)) for number in range(1, ROUNDS + 1)]

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples at these positions, each in [0, size); the shape is kept."""
        found = self._through(positions.astype(np.uint64))
        outside = found >= np.uint64(self.size)
        while outside.any():
            found[outside] = self._through(found[outside])
            outside = found >= np.uint64(self.size)
        return found.astype(np.int64)

    def _through(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The numbers sent once through the network."""
        left, right = numbers >> self._half, numbers & self._mask
        for key in self._keys:
            left, right = right, left ^ (mixed_words(right ^ key) & self._mask)
        return (left << self._half) | right


def samples_at(positions: NDArray[np.int64], size: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Epoch and sample at each position of an endless run over `size` samples, every epoch in an order of its own.

    Args:
        positions: How many samples came before, of any shape.
        size: Samples in an epoch.
        seed: Of the run.

    Returns:
        The epochs and the samples, of the positions' shape.
    """
    epochs, within = np.divmod(positions, size)
    samples = np.empty_like(positions)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        samples[chosen] = Permutation(size, seed=seed, epoch=int(epoch)).at(within[chosen])
    return epochs, samples


def mixed(word: int) -> int:
    """A 64-bit word whose every bit depends on every bit of the given one, one to one."""
    return int(mixed_words(np.array([word], dtype=np.uint64))[0])


def mixed_words(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: multiplications by odd numbers and shifts; overflow wraps around, as it is meant to.

    Source: steele2014splitmix, figure 16.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
