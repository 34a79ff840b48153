"""The batches of a run: which sequences a step sees, whoever computes it, and in however many parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.batch import Batch, Padding, collated
from tonne.train.buckets import BATCHES_TOGETHER, bucketed
from tonne.train.draws import Draws
from tonne.train.objectives.example import Objective
from tonne.train.order import samples_at
from tonne.train.samples import Packs, Pairs, Pieces, Samples, Windows
from tonne.train.store import TokenStore, View

Packing = Literal["sequential", "best-fit"]
Sequences = tuple[NDArray[np.int64], NDArray[np.int64]]  # epochs and samples


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How sequences are made and ordered.

    Attributes:
        packing: ``sequential`` cuts the stream of documents into windows; ``best-fit`` keeps documents whole.
        isolate: Documents of one sequence do not see one another.
        shuffle: A random order, a new one every epoch, for ever; else the store's own order, once.
        buckets: Put sequences of like length together; it matters where they are not all as long.
    """

    packing: Packing = "sequential"
    isolate: bool = False
    shuffle: bool = True
    buckets: bool = True


class Batches:
    """Batches of a view of a store under an objective.

    Every step is a pure function of its number: nothing is remembered from one to the next, so a run goes on anywhere.
    An epoch need not be a whole number of batches: the batch that ends one begins the next.
    """

    def __init__(
        self,
        data: View | TokenStore,
        objective: Objective,
        *,
        batch_sequences: int,
        length: int,
        seed: int = 0,
        options: BatchOptions | None = None,
    ) -> None:
        """Batches of `batch_sequences` sequences of at most `length` tokens (of an encoder-decoder's encoder).

        Raises:
            DataError: There is nothing to make a sequence of, or the sequence is too short for the objective.
        """
        self.data = data if isinstance(data, View) else data.training()
        self.objective, self.length, self.seed = objective, length, seed
        self.batch_sequences, self.options = batch_sequences, options or BatchOptions()
        self.samples = self._samples()
        if not len(self.samples):
            raise DataError(
                f"{self.data.store.folder}: no sequence can be made of {self.data.tokens:,} tokens in "
                f"{len(self.data.records):,} "
                f"record(s). Give more text."
            )
        self._bucketed = self.options.buckets and objective.layout != "windows"
        self._stretch = lru_cache(maxsize=2)(self._stretch_sequences)
        self._padding = self._how_to_pad()

    @property
    def steps_per_epoch(self) -> int:
        """Batches that see every sequence once; the last may be part of the next epoch's."""
        return -(-len(self.samples) // self.batch_sequences)

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens of text that are seen in an epoch, frames and padding not included."""
        return int(self.data.tokens)

    def sequences(self, step: int) -> Sequences:
        """Epochs and samples of a step's sequences, each of shape (sequences,)."""
        batch = self.batch_sequences
        if self._bucketed:
            epochs, samples = self._stretch(step // BATCHES_TOGETHER)
            start = step % BATCHES_TOGETHER * batch
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
        make = self.objective.example
        examples = [make(self.samples.sample(number), Draws(self.seed, epoch, number)) for epoch, number in pairs]
        return collated(examples, self._padding)

    def _ordered(self, start: int, end: int) -> Sequences:
        """Epochs and samples from one position of the run to another."""
        size = len(self.samples)
        if self.options.shuffle:
            return samples_at(np.arange(start, end), size, self.seed)
        samples = np.arange(min(start, size), min(end, size))
        return np.zeros_like(samples), samples

    def _stretch_sequences(self, stretch: int) -> Sequences:
        """The sequences of some batches, those of like length together."""
        together = BATCHES_TOGETHER * self.batch_sequences
        epochs, samples = self._ordered(stretch * together, (stretch + 1) * together)
        order = bucketed(self.samples.lengths(samples), self.batch_sequences, seed=self.seed, stretch=stretch)
        return epochs[order], samples[order]

    def _samples(self) -> Samples:
        text = self.objective.text_length(self.length)
        if text < 2:
            raise DataError(
                f"Sequences of {self.length} token(s) leave {max(text, 0)} for text under objective = "
                f"{self.objective.name!r}. Use longer ones, e.g. 128."
            )
        if self.objective.layout == "pairs":
            target = self.objective.target_length(self.length) or self.length
            return Pairs(self.data, text, target - 1)
        if self.objective.layout == "pieces":
            return Pieces(self.data, text, bare=True)
        make: Callable[[View, int], Samples] = Packs if self.options.packing == "best-fit" else Windows
        return make(self.data, text)

    def _how_to_pad(self) -> Padding:
        """Windows to one length, so that all steps have one shape; others to that of the longest beside them."""
        special, windows = self.data.store.special, self.objective.layout == "windows"
        target = self.objective.target_length(self.length)
        fillers = (special.pad, special.delimiter, special.separator)
        return Padding(
            token=next((token for token in fillers if token is not None), 0),
            width=(target or self.length) if windows else None,
            source_width=self.length if windows and target is not None else None,
            causal=target is not None or self.objective.name in ("causal-lm", "prefix-lm"),
            isolate=self.options.isolate,
        )


def checked_length(length: int, max_positions: int | None, *, what: str = "sequence_length") -> int:
    """The length, which a model has positions for.

    Raises:
        DataError: It has not.
    """
    if max_positions is not None and length > max_positions:
        raise DataError(
            f"{what} = {length}, but the model has positions for {max_positions} tokens. Use at most {max_positions}, "
            f"or a model with more (max_positions)."
        )
    return length
