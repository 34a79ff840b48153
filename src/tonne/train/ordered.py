"""Which sequences a step sees, whoever computes it, and in however many parts: what all batches have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.batch import Batch, Padding, collated
from tonne.train.buckets import BATCHES_TOGETHER, bucketed
from tonne.train.objectives.example import Example
from tonne.train.order import samples_at

Sequences = tuple[NDArray[np.int64], NDArray[np.int64]]  # epochs and samples


class OrderedBatches(ABC):
    """Batches of numbered samples.

    Every step is a pure function of its number: nothing is remembered from one to the next, so a run goes on anywhere.
    An epoch need not be a whole number of batches: the batch that ends one begins the next.
    """

    padding: Padding

    def __init__(self, *, batch_sequences: int, seed: int, shuffle: bool, buckets: bool) -> None:
        """An order: random and endless, or the samples' own, once; ``buckets``: like lengths together."""
        self.batch_sequences, self.seed = batch_sequences, seed
        self._shuffles, self._bucketed = shuffle, buckets
        self.together = BATCHES_TOGETHER
        self._stretch = lru_cache(maxsize=2)(self._stretch_sequences)

    @abstractmethod
    def __len__(self) -> int:
        """Samples in an epoch."""

    @abstractmethod
    def keys(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """By what samples of like length are put together, of their shape."""

    @abstractmethod
    def example(self, epoch: int, sample: int) -> Example:
        """What is learned from a sample in an epoch."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a resumed run must share with the one it goes on from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that see every sequence once; the last may be part of the next epoch's."""
        return -(-len(self) // self.batch_sequences)

    def sequences(self, step: int) -> Sequences:
        """Epochs and samples of a step's sequences, each of shape (sequences,)."""
        batch = self.batch_sequences
        if self._bucketed:
            epochs, samples = self._stretch(step // self.together)
            start = step % self.together * batch
            return epochs[start : start + batch], samples[start : start + batch]
        return self._ordered(step * batch, (step + 1) * batch)

    def micro_batches(
        self, step: int, *, rank: int = 0, ranks: int = 1, micro_batch_sequences: int | None = None
    ) -> list[Batch]:
        """A rank's share of a step, in parts.

        Args:
            step: From 0 on.
            rank: Which share.
            ranks: How many share a step: each gets neighbouring sequences, as many as the others or one more.
            micro_batch_sequences: Sequences of a part; left out, the share is one part.

        Returns:
            The parts; none where a validation's last batch has fewer sequences than there are ranks.

        Raises:
            DataError: A whole batch has fewer sequences than there are ranks.
        """
        if self.batch_sequences < ranks:
            raise DataError(
                f"A batch of {self.batch_sequences} sequence(s) cannot be shared by {ranks} processes. Make "
                f"global_batch_sequences at least {ranks}, or start fewer processes."
            )
        epochs, samples = self.sequences(step)
        bounds = [len(samples) * number // ranks for number in (rank, rank + 1)]
        size = micro_batch_sequences or max(bounds[1] - bounds[0], 1)
        starts = range(bounds[0], bounds[1], size)
        parts = [slice(start, min(start + size, bounds[1])) for start in starts]
        return [self._batch(epochs[part], samples[part]) for part in parts]

    def _batch(self, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> Batch:
        pairs = zip(epochs.tolist(), samples.tolist(), strict=True)
        return collated([self.example(epoch, number) for epoch, number in pairs], self.padding)

    def _ordered(self, start: int, end: int) -> Sequences:
        """Epochs and samples from one position of the run to another."""
        size = len(self)
        if self._shuffles:
            return samples_at(np.arange(start, end), size, self.seed)
        samples = np.arange(min(start, size), min(end, size))
        return np.zeros_like(samples), samples

    def _stretch_sequences(self, stretch: int) -> Sequences:
        """The sequences of some batches, those of like length together."""
        width = self.together * self.batch_sequences
        epochs, samples = self._ordered(stretch * width, (stretch + 1) * width)
        order = bucketed(self.keys(samples), self.batch_sequences, seed=self.seed, stretch=stretch)
        return epochs[order], samples[order]
