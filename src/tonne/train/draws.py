"""Random numbers that belong to a sample, whoever draws them and when.

A generator is made of (seed, epoch, sample) alone, so that a run that was resumed, or is spread over other processes,
draws what the undisturbed run drew. Everything is made of `uniform`, whose bits NumPy promises to keep: the ways in
which it makes integers or shuffles of them may change from one version to the next.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

WORD = 2**64 - 1


class Draws:
    """The numbers that one sample of one epoch draws."""

    def __init__(self, seed: int, epoch: int, sample: int) -> None:
        """Name the stream; it is made when something is drawn."""
        self._seed, self._epoch, self._sample = seed, epoch, sample

    @cached_property
    def _bits(self) -> np.random.Generator:
        """The stream: the counter's first word counts, the others keep the streams apart."""
        key = np.array([self._seed & WORD, (self._seed >> 64) & WORD], dtype=np.uint64)
        counter = np.array([0, 0, self._sample & WORD, self._epoch & WORD], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def uniform(self, number: int) -> NDArray[np.float64]:
        """Numbers in [0, 1), of shape (number,)."""
        return self._bits.random(number)

    def chance(self) -> float:
        """One number in [0, 1)."""
        return float(self._bits.random())

    def below(self, limit: int) -> int:
        """A whole number in [0, limit)."""
        return min(int(self.chance() * limit), limit - 1)

    def shuffled(self, number: int) -> NDArray[np.int64]:
        """The numbers 0 to number - 1 in random order, of shape (number,)."""
        return np.argsort(self.uniform(number), kind="stable")
