"""The batches of a run on text: how its sequences are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.batch import Padding
from tonne.train.draws import Draws
from tonne.train.objectives.example import Example, Objective
from tonne.train.ordered import OrderedBatches
from tonne.train.samples import Packs, Pairs, Pieces, Samples, Windows
from tonne.train.store import TokenStore, View

Packing = Literal["sequential", "best-fit"]


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


class Batches(OrderedBatches):
    """Batches of a view of a store under an objective."""

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
        self.objective, self.length, self.options = objective, length, options or BatchOptions()
        buckets = self.options.buckets and objective.layout != "windows"
        super().__init__(batch_sequences=batch_sequences, seed=seed, shuffle=self.options.shuffle, buckets=buckets)
        self.samples = self._samples()
        if not len(self.samples):
            raise DataError(
                f"{self.data.store.folder}: no sequence can be made of {self.data.tokens:,} tokens in "
                f"{len(self.data.records):,} "
                f"record(s). Give more text."
            )
        self.padding = self._how_to_pad()

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens of text that are seen in an epoch, frames and padding not included."""
        return int(self.data.tokens)

    def __len__(self) -> int:
        return len(self.samples)

    def keys(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens in each of these samples."""
        return self.samples.lengths(samples)

    def example(self, epoch: int, sample: int) -> Example:
        """Inputs and targets of a sample, with the draws that belong to it."""
        return self.objective.example(self.samples.sample(sample), Draws(self.seed, epoch, sample))

    def facts(self) -> dict[str, Any]:
        """Which text is read, and how."""
        return {
            "identity": self.data.store.identity,
            "records": len(self.data.records),
            "objective": self.objective.name,
            "length": self.length,
            "batch_sequences": self.batch_sequences,
        }

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
