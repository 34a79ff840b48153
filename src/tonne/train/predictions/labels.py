"""Labels of texts, of pairs of texts and of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from tonne.train.batch import Batch, Padding, collated
from tonne.train.losses import moved, states_of
from tonne.train.predictions.passes import Pass, batches_by_length

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Encoded, Form

Ran = Callable[[Pass], None]
OUTSIDE = "O"  # the label of a word that nothing is known of, where there is such a label


def states_by_batch(
    model: Transformer, form: Form, encoded: Sequence[Encoded], size: int, ran: Ran, *, asked: str = "one"
) -> Iterator[tuple[list[int], Batch, torch.Tensor]]:
    """Places of the sequences of each batch, the batch, and the model's final states of it (batch, length, width)."""
    special = form.reading.tokenizer.special
    padding = Padding(token=next((t for t in (special.pad, special.delimiter, special.separator) if t is not None), 0))
    device = next(model.parameters()).device
    for places in batches_by_length(encoded, _length, size):
        batch = moved(collated([encoded[place].example for place in places], padding), device)
        states = states_of(model, batch)
        ran(
            Pass(
                width=int(batch.tokens.shape[1]),
                lengths=tuple(_length(encoded[place]) for place in places),
                asked=asked,
            )
        )
        yield places, batch, states


def sequence_labels(
    model: Transformer, form: Form, examples: Sequence[Labelled], size: int, ran: Ran
) -> tuple[list[str], list[Encoded]]:
    """The label of each example that has the highest score."""
    encoded = form.encoded([replace(example, label="") for example in examples])
    found = [""] * len(examples)
    for places, batch, states in states_by_batch(model, form, encoded, size, ran):
        numbers = model.labels(states, batch.mask).argmax(-1).tolist()
        for place, number in zip(places, numbers, strict=True):
            found[encoded[place].owner] = form.reading.labels[number]
    return found, encoded


def word_labels(
    model: Transformer, form: Form, examples: Sequence[Labelled], size: int, ran: Ran
) -> tuple[list[tuple[str, ...]], list[Encoded]]:
    """The label of each word, told by the word's first token.

    A sentence that is too long is read in parts. A word of which the tokenizer makes no token is outside everything.
    """
    labels = form.reading.labels
    usual = OUTSIDE if OUTSIDE in labels else labels[0]
    found = [[usual] * len(example.tokens) for example in examples]
    parts = [part for owner, example in enumerate(examples) for part in _parts(form, example, owner, 0)]
    encoded = [one for _, _, one in parts]
    for places, _, states in states_by_batch(model, form, encoded, size, ran, asked="all"):
        numbers = model.token_labels(states).argmax(-1).cpu()  # (B, L)
        for row, place in enumerate(places):
            owner, first, one = parts[place]
            assert one.words is not None, "a form for words says which token begins which"
            for token, word in enumerate(one.words.tolist()):
                if word >= 0:
                    found[owner][first + word] = labels[int(numbers[row, token])]
    return [tuple(each) for each in found], encoded


def _parts(form: Form, example: Labelled, owner: int, first: int) -> list[tuple[int, int, Encoded]]:
    """Owner, number of the first word, and sequence of each part of a sentence; halved until its parts fit."""
    (one,) = form.encoded([replace(example, labels=())])
    half = len(example.tokens) // 2
    if not one.cut or not half:
        return [(owner, first, one)]
    left, right = replace(example, tokens=example.tokens[:half]), replace(example, tokens=example.tokens[half:])
    return [*_parts(form, left, owner, first), *_parts(form, right, owner, first + half)]


def _length(one: Encoded) -> int:
    return len(one.example.tokens)
