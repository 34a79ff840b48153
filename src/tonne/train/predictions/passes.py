"""What was executed: batches with their padding, the tokens in them that are real, and the FLOP of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tonne.count.flops import forward_flop_parts
from tonne.count.inference import decode_run_flop, prefill_flop
from tonne.count.sequence import Sequence as Lengths

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

NOT_RUN = "multi_token"  # layers that guess further tokens rest while a model predicts
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One batch as it was executed.

    ``width``: tokens that each sequence is read with, padding too (of an encoder-decoder: of its source). ``written``:
    tokens that each writes, up to the longest; 0 where nothing is written. ``start``: tokens that an encoder-decoder's
    decoder begins with. ``lengths``, ``new``: real tokens read and written, one of each sequence. ``beams``:
    continuations that are followed side by side. ``asked``: places of a sequence at which a head runs: 1, or all.
    """

    width: int
    lengths: tuple[int, ...]
    written: int = 0
    new: tuple[int, ...] = ()
    start: int = 1
    beams: int = 1
    asked: str = "one"

    @property
    def sequences(self) -> int:
        """How many were read side by side."""
        return len(self.lengths)

    def executed_flop(self, architecture: Architecture) -> int:
        """FLOP of the batch with its padding, every sequence as long as the longest [FLOP].

        Attention is counted under the true mask, as ``tonne count`` counts it.
        """
        reading = _reading_flop(architecture, self.width, self.asked, self.start)
        later = _writing_flop(architecture, self.width, self.written, self.start)
        return self.sequences * (reading + self.beams * later)

    def model_flop(self, architecture: Architecture) -> int:
        """FLOP that the sequences ask for, each by itself and greedily: no padding, no further beam [FLOP]."""
        new = self.new or (0,) * self.sequences
        return sum(
            _reading_flop(architecture, length, self.asked, self.start)
            + _writing_flop(architecture, length, made, self.start)
            for length, made in zip(self.lengths, new, strict=True)
        )


def fill(passes: Sequence[Pass]) -> float:
    """Share of the tokens read and written in all batches that is real, 0 to 1."""
    real = sum(sum(one.lengths) + sum(one.new) for one in passes)
    places = sum(one.sequences * (one.width + one.written) for one in passes)
    return real / max(places, 1)


def batches_by_length(items: Sequence[Item], length: Callable[[Item], int], size: int) -> list[list[int]]:
    """Places of the items, those of like length together, the longest first: what does not fit in memory shows early.

    Args:
        items: Sequences of any length.
        length: Tokens of one.
        size: Items of a batch, at most.
    """
    order = np.argsort([-length(item) for item in items], kind="stable").tolist()
    return [order[start : start + size] for start in range(0, len(order), size)]


@lru_cache(maxsize=4096)
def _reading_flop(a: Architecture, length: int, asked: str, start: int) -> int:
    """FLOP of one pass over a sequence, up to the first token written, or to what the head says."""
    both, labelled = a.kind == "encoder-decoder", a.task_head is not None
    if asked == "one" and (labelled or not both):
        return prefill_flop(a, length)
    decoder = start if both and not labelled else length
    places = 1 if asked == "one" else length
    lengths = Lengths(
        encoder_length=0 if a.kind == "decoder" else length,
        decoder_length=0 if a.kind == "encoder" else decoder,
        labelled=places if labelled else 0,
        predicted=0 if labelled else places,
    )
    return sum(flop for part, flop in forward_flop_parts(a, lengths).items() if part != NOT_RUN)


@lru_cache(maxsize=4096)
def _writing_flop(a: Architecture, length: int, written: int, start: int) -> int:
    """FLOP of the tokens written after the first, which comes with reading."""
    if written < 2:
        return 0
    before, source = (start, length) if a.kind == "encoder-decoder" else (length, 0)
    return decode_run_flop(a, before, written - 1, source)
