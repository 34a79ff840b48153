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
    """Both texts cut to fit in a room together: token by token from the longer one, from the second where alike."""
    room = max(room, 0)
    shorter = min(len(first), len(second), room // 2)
    if len(first) + len(second) <= room:
        return first, second
    if shorter == len(first) and len(first) < len(second):
        return first, second[: room - len(first)]
    if shorter == len(second) and len(second) < len(first):
        return first[: room - len(second)], second
    return first[: room - room // 2], second[: room // 2]
