"""Batches of labelled examples: sequences of like length together, so that little is padded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.batch import Padding
from tonne.train.draws import Draws
from tonne.train.objectives.example import Example
from tonne.train.ordered import OrderedBatches
from tonne.train.tasks.thinned import thinned

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Form

LONGEST_LOOK = 256  # steps that the share of padding is told from
WIDTHS = (1, 2, 4)  # of the steps in which pairs of lengths are ordered: which pads least depends on how many there are


class LabelledBatches(OrderedBatches):
    """Batches of the sequences that a form makes of labelled examples."""

    def __init__(
        self,
        form: Form,
        examples: Sequence[Labelled],
        *,
        batch_sequences: int,
        seed: int = 0,
        shuffle: bool = True,
        token_dropout: float = 0.0,
    ) -> None:
        """In a random order, a new one every epoch; or once, in that of the examples.

        ``token_dropout``: share of each text's tokens that an epoch leaves out.

        Raises:
            DataError: There is no example, or one cannot be read.
        """
        if not examples:
            raise DataError(f"there is no example of {form.reading.task.name}. Give some in [data] source.")
        super().__init__(batch_sequences=batch_sequences, seed=seed, shuffle=shuffle, buckets=True)
        self.form, self.examples, self.token_dropout = form, examples, token_dropout
        self.encoded = form.encoded(examples)
        self.sizes = np.array([_sizes(one.example) for one in self.encoded], dtype=np.int64)  # (sequences, 2)
        self.together = max(1, min(self.together, len(self.encoded) // batch_sequences))  # an epoch at most
        self.padding = _padding_of(form)
        self._keys = self._best_keys()

    @property
    def cut(self) -> tuple[int, int]:
        """Sequences that lost some of their tokens, and tokens that were lost."""
        lost = [one.cut for one in self.encoded if one.cut]
        return len(lost), sum(lost)

    @property
    def mean_lengths(self) -> tuple[float, float]:
        """Tokens of a sequence: what the model reads, or its decoder; and the source, 0 where there is none.

        In the mean, tokens that an epoch leaves out are not read.
        """
        tokens, source = (self.sizes.mean(axis=0) * (1 - self.token_dropout)).tolist()
        return tokens, source

    def __len__(self) -> int:
        return len(self.encoded)

    def keys(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """What puts samples of like length beside one another."""
        found: NDArray[np.int64] = self._keys[samples]
        return found

    def example(self, epoch: int, sample: int) -> Example:
        """The same one in every epoch, but for the tokens that are left out of it."""
        found = self.encoded[sample].example
        if not self.token_dropout:
            return found
        draws = Draws(self.seed, epoch, sample)
        return thinned(found, self.token_dropout, draws, self.form.reading.tokenizer.special.all)

    def facts(self) -> dict[str, Any]:
        """Which examples are read, and how: their digest changes with a text, a label, a prompt or a tokenizer."""
        digest = hashlib.blake2b(digest_size=16)
        for one in self.encoded:
            e = one.example
            for part in (e.tokens, e.targets, e.source):
                digest.update(b"" if part is None else part.tobytes())
            digest.update(repr((e.label, e.span)).encode())
        return {
            "identity": digest.hexdigest(),
            "records": len(self.examples),
            "objective": self.form.reading.task.name,
            "batch_sequences": self.batch_sequences,
        }

    def fill(self) -> float:
        """Share of an epoch's tokens that are no padding, where each step is one batch; of 256 steps of a long one."""
        steps = min(self.steps_per_epoch, LONGEST_LOOK)
        chosen = [self.sizes[self.sequences(step)[1]] for step in range(steps)]
        places = sum(len(sizes) * int(sizes.max(axis=0).sum()) for sizes in chosen if len(sizes))
        return sum(int(sizes.sum()) for sizes in chosen) / max(places, 1)

    def _best_keys(self) -> NDArray[np.int64]:
        """Lengths by which least is padded."""
        tokens, source = self.sizes[:, 0], self.sizes[:, 1]
        if not source.any():
            return tokens
        found = [tokens + source, *(winding(tokens, source, width) for width in WIDTHS)]
        fills = []
        for self._keys in found:
            self._stretch.cache_clear()
            fills.append(self.fill())
        self._stretch.cache_clear()
        return found[int(np.argmax(fills))]


def winding(tokens: NDArray[np.int64], source: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """An order of pairs of lengths in which neighbours are alike in both.

    Pairs go by their longer side in steps of a width, and within a step by how much longer the target is: upwards in
    one step, downwards in the next, so that the end of one is like the beginning of the next.

    Args:
        tokens: Lengths of the targets, of shape (pairs,).
        source: Lengths of the sources, of shape (pairs,).
        width: Of a step [token].

    Returns:
        The place of each in the order, of shape (pairs,); the same for equal pairs.
    """
    step, longer = np.maximum(tokens, source) // width, tokens - source
    most = int(np.abs(longer).max(initial=0))
    return step * (2 * most + 1) + most + np.where(step % 2 == 0, longer, -longer)


def _sizes(example: Example) -> tuple[int, int]:
    return len(example.tokens), 0 if example.source is None else len(example.source)


def _padding_of(form: Form) -> Padding:
    special = form.reading.tokenizer.special
    fillers = (special.pad, special.delimiter, special.separator)
    token = next((token for token in fillers if token is not None), 0)
    return Padding(token=token, causal=form.loss == "text")
