"""A label of two texts: whether one follows from the other, whether they say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tonne.train.tasks.classification import check_not_empty, labelled
from tonne.train.tasks.form import Encoded, Loss, Reading, read_only

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class PairClassification:
    """Both texts in one frame; where they are too long, the longer one loses its end first."""

    reading: Reading
    loss: ClassVar[Loss] = "label"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence of each."""
        r = self.reading
        firsts = r.tokenizer.encode([r.task.source_prefix + example.first for example in examples])
        seconds = r.tokenizer.encode([example.second for example in examples])
        found = []
        for owner, (example, first, second) in enumerate(zip(examples, firsts, seconds, strict=True)):
            one, two = longest_first(first, second, r.limits.source - r.frame.pair)
            tokens, types = r.frame.around_both(one, two)
            check_not_empty(tokens, example)
            made = labelled(r, read_only(r.architecture, tokens, r.start, types), example)
            cut = len(first) + len(second) - len(one) - len(two)
            found.append(Encoded(example=made, owner=owner, cut=cut))
        return found


def longest_first(
    first: NDArray[np.uint32], second: NDArray[np.uint32], room: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Both texts cut to fit in a room together, as the package tokenizers cuts the longest first.

    The longer text gives until it is as short as the other, then both give; where the room is odd, the one that was
    longer has the odd token, of two as long the second.
    """
    room = max(room, 0)
    lengths = (len(first), len(second))
    if sum(lengths) <= room:
        return first, second
    shorter = min(*lengths, room // 2)
    longer = room - shorter
    return (first[:shorter], second[:longer]) if lengths[0] <= lengths[1] else (first[:longer], second[:shorter])
