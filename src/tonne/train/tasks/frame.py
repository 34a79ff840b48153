"""What stands around the text that a model reads, as its own tokenizer puts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError

if TYPE_CHECKING:
    from tonne.train.tokenizer import TextTokenizer

Tokens = NDArray[np.int64]
Ids = Sequence[int] | NDArray[np.int64] | NDArray[np.uint32]
Kind = Literal["encoder", "decoder", "encoder-decoder"]
PROBE = "a"  # some text, to see what a tokenizer puts around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Tokens before, between and after one text or two; ``second``: token type of the second text."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    second: int = 1

    @property
    def single(self) -> int:
        """Tokens around one text."""
        return len(self.before) + len(self.after)

    @property
    def pair(self) -> int:
        """Tokens around two texts."""
        return self.single + len(self.between)

    def around(self, text: Ids) -> Tokens:
        """One text framed, of shape (length,)."""
        return np.array([*self.before, *text, *self.after], dtype=np.int64)

    def around_both(self, first: Ids, second: Ids) -> tuple[Tokens, Tokens]:
        """Two texts framed, and the type of each token, both of shape (length,)."""
        head = [*self.before, *first, *self.between]
        tail = [*second, *self.after]
        types = np.repeat(np.array([0, self.second], dtype=np.int64), [len(head), len(tail)])
        return np.array(head + tail, dtype=np.int64), types


def frame_of(tokenizer: TextTokenizer, kind: Kind) -> Frame:
    """The frame that a tokenizer puts around what it is given; where it has none, that of the kind of model.

    Args:
        tokenizer: The model's own.
        kind: Of the model: an encoder's text begins with [CLS] and ends with [SEP], an encoder-decoder's ends with its
            end token, a decoder's stands alone.

    Raises:
        DataError: An encoder's vocabulary has not these tokens.
    """
    one = tokenizer.inner.encode(PROBE, add_special_tokens=True)
    marks = one.special_tokens_mask
    if not any(marks):
        return _usual_frame(tokenizer, kind)
    text = [place for place, mark in enumerate(marks) if not mark]
    two = tokenizer.inner.encode(PROBE, PROBE, add_special_tokens=True)
    places = [place for place, mark in enumerate(two.special_tokens_mask) if not mark]
    half = len(places) // 2
    before, after = one.ids[: text[0]], one.ids[text[-1] + 1 :]
    return Frame(
        before=tuple(before),
        between=tuple(two.ids[places[half - 1] + 1 : places[half]]),
        after=tuple(after),
        second=two.type_ids[places[-1]],
    )


def _usual_frame(tokenizer: TextTokenizer, kind: Kind) -> Frame:
    special = tokenizer.special
    if kind == "decoder":
        between = () if special.delimiter is None else (special.delimiter,)
        return Frame(between=between, second=0)
    if kind == "encoder-decoder":
        (end,) = special.required("delimiter", objective="seq2seq")
        return Frame(between=(end,), after=(end,), second=0)
    begin, separator = special.required("begin", "separator", objective="classification")
    return Frame(before=(begin,), between=(separator,), after=(separator,))


def end_token(tokenizer: TextTokenizer) -> int:
    """The token that ends what a model writes.

    Raises:
        DataError: The vocabulary has none.
    """
    found = tokenizer.special.delimiter
    if found is None:
        raise DataError(
            "the tokenizer has no token that ends a text, such as </s> or <|endoftext|>: a model could not say that it "
            "is done. Add one to its special tokens, or start from another model."
        )
    return found
