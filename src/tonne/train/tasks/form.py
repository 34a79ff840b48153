"""How a task's examples are read by a model, and how long they may be: what all tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tonne.train.objectives.example import Example
from tonne.train.samples import NOTHING
from tonne.train.tasks.frame import Frame

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.task import Task
    from tonne.train.labelled import Labelled
    from tonne.train.tokenizer import TextTokenizer

Tokens = NDArray[np.int64]
Loss = Literal["label", "token-labels", "span", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Tokens of an input and of a target, their frames included."""

    source: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a form is made of: the task, the model that reads, its tokenizer, and how much it may read.

    ``start``: the token that an encoder-decoder's decoder begins with. ``labels``: in the order of their numbers.
    ``weights``: what an example of each label counts; None: each once.
    """

    task: Task
    architecture: Architecture
    tokenizer: TextTokenizer
    frame: Frame
    limits: Limits
    start: int = 0
    labels: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One sequence that is made of an example; a long context gives several.

    Attributes:
        example: What the model reads and should say.
        owner: Number of the example among those that were given together.
        cut: Tokens that were left out, for want of room.
        offsets: First and last + 1 character of each token in the context, -1 outside it, of shape (length, 2).
        words: Number of the word that each token begins, -1 where it begins none, of shape (length,).
    """

    example: Example
    owner: int
    cut: int = 0
    offsets: Tokens | None = None
    words: Tokens | None = None


class Form(Protocol):
    """Makes sequences of a task's examples."""

    @property
    def reading(self) -> Reading:
        """What it is made of."""

    @property
    def loss(self) -> Loss:
        """Which loss its sequences have."""

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """The sequences of some examples, in their order.

        Raises:
            DataError: An example cannot be read; the text says which and why.
        """


def read_only(architecture: Architecture, tokens: Tokens, start: int, token_types: Tokens | None = None) -> Example:
    """An input whose targets are no tokens, as the kind of model reads it.

    An encoder-decoder reads it twice: its decoder sees it one place later, behind the start token, as transformers'
    classes for labels have it.
    """
    targets = np.full_like(tokens, NOTHING)
    if architecture.kind == "encoder-decoder":
        return Example(tokens=np.concatenate([[start], tokens[:-1]]), targets=targets, source=tokens)
    types = token_types if architecture.token_types > 1 else None
    return Example(tokens=tokens, targets=targets, token_types=types)


def shortened(tokens: NDArray[np.uint32], room: int) -> tuple[NDArray[np.uint32], int]:
    """The first tokens that there is room for, and how many were left out."""
    kept = tokens[: max(room, 0)]
    return kept, len(tokens) - len(kept)
