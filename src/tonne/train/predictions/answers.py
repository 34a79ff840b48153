"""Answers found in contexts: the best span of all windows of a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from tonne.train.predictions.labels import Ran, states_by_batch

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Encoded, Form

IMPOSSIBLE = float("-inf")


@dataclass(slots=True)
class _Best:
    """The best span of an example so far, and the smallest score of there being none."""

    score: float = IMPOSSIBLE
    characters: tuple[int, int] = (0, 0)
    nowhere: float = float("inf")


def found_answers(
    model: Transformer, form: Form, examples: Sequence[Labelled], size: int, ran: Ran, *, may_be_none: bool
) -> tuple[list[str], list[Encoded]]:
    """The piece of each context with the highest score.

    Equation: s = max over windows and spans i <= j < i + m of a_i + b_j, with a, b = scores of first and last token,
    m = max_answer_length; where a question may have no answer, "" if s <= min over windows of a_0 + b_0.

    Source: devlin2019bert, sections 4.2 and 4.3.
    """
    encoded = form.encoded([replace(example, answers=()) for example in examples])
    best = [_Best() for _ in examples]
    longest = form.reading.task.max_answer_length
    for places, batch, states in states_by_batch(model, form, encoded, size, ran, asked="all"):
        starts, ends = (scores.float().cpu() for scores in model.span(states, batch.mask))  # (B, L) each
        for row, place in enumerate(places):
            one = encoded[place]
            _look(best[one.owner], one, (starts[row], ends[row]), longest)
    texts = []
    for example, own in zip(examples, best, strict=True):
        first, end = own.characters
        none = own.score == IMPOSSIBLE or (may_be_none and own.score <= own.nowhere)
        texts.append("" if none else example.context[first:end])
    return texts, encoded


def _look(best: _Best, one: Encoded, scores: tuple[torch.Tensor, torch.Tensor], longest: int) -> None:
    """Take what a window has where it is better."""
    assert one.offsets is not None, "a form for spans says where its tokens stand"
    places = torch.from_numpy(one.offsets)
    length = len(places)
    start, end = scores[0][:length], scores[1][:length]
    best.nowhere = min(best.nowhere, float(start[0] + end[0]))
    outside = places[:, 0] < 0
    sums = start.masked_fill(outside, IMPOSSIBLE)[:, None] + end.masked_fill(outside, IMPOSSIBLE)[None]  # (L, L)
    allowed = torch.ones(length, length, dtype=torch.bool).triu().tril(longest - 1)
    sums = sums.masked_fill(~allowed, IMPOSSIBLE)
    place = int(sums.argmax())
    first, last = divmod(place, length)
    if float(sums[first, last]) > best.score:
        best.score = float(sums[first, last])
        best.characters = int(places[first, 0]), int(places[last, 1])
