"""Texts that a decoder writes: translations, summaries, answers to instructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tonne.model.beam import Beam
from tonne.model.generation import generate
from tonne.model.sampling import Greedy
from tonne.train.predictions.labels import Ran
from tonne.train.predictions.passes import Pass, batches_by_length
from tonne.train.tasks.frame import end_token
from tonne.train.tasks.prompts import PromptedText
from tonne.train.tasks.seq2seq import Seq2SeqText

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled

Tokens = NDArray[np.int64]


def written_texts(
    model: Transformer, form: Seq2SeqText | PromptedText, examples: Sequence[Labelled], size: int, ran: Ran
) -> tuple[list[str], int]:
    """What the model writes for each example, up to its end token, and how many inputs were cut.

    Greedy, or by a search with as many ``beams`` as the task says.
    """
    inputs = form.sources(examples) if isinstance(form, Seq2SeqText) else form.prompts(examples)
    start = len(form.starts()) if isinstance(form, Seq2SeqText) else 1
    read = [tokens for tokens, _ in inputs]
    end, beams = end_token(form.reading.tokenizer), form.reading.task.beams
    made = [np.empty(0, dtype=np.int64)] * len(read)
    for places in batches_by_length(read, len, size):
        rows = _written(model, form, [read[place] for place in places], end)
        written = max(len(row) for row in rows)
        for place, row in zip(places, rows, strict=True):
            stop = np.flatnonzero(row == end)
            made[place] = row[: stop[0]] if len(stop) else row
        new = tuple(min(len(made[place]) + 1, written) for place in places)
        lengths = tuple(len(read[place]) for place in places)
        ran(Pass(width=max(lengths), lengths=lengths, written=written, new=new, start=start, beams=beams))
    texts = form.reading.tokenizer.decode_all(made)
    return [text.strip() for text in texts], sum(cut > 0 for _, cut in inputs)


def _written(model: Transformer, form: Seq2SeqText | PromptedText, read: Sequence[Tokens], end: int) -> list[Tokens]:
    """The new tokens of each sequence of a batch."""
    reading, device = form.reading, next(model.parameters()).device
    inputs, mask = (tensor.to(device) for tensor in _padded(read, end))
    strategy = Greedy() if reading.task.beams == 1 else Beam(size=reading.task.beams)
    whole = {"strategy": strategy, "stop_tokens": (end,), "pad_token": end}
    if isinstance(form, Seq2SeqText):
        start = torch.from_numpy(form.starts()).to(device).expand(len(read), -1)
        room = max(1, reading.limits.target + 1 - start.shape[1])
        made = generate(model, start, source=inputs, source_mask=mask, max_new_tokens=room, **whole)  # type: ignore[arg-type]
        before = start.shape[1]
    else:
        made = generate(model, inputs, mask, max_new_tokens=reading.limits.target, **whole)  # type: ignore[arg-type]
        before = inputs.shape[1]
    return [row.numpy() for row in made[:, before:].cpu()]


def _padded(rows: Sequence[Tokens], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows as a tensor (rows, width), and its mask."""
    width = max(len(row) for row in rows)
    tokens = np.full((len(rows), width), filler, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)], mask[place, : len(row)] = row, 1
    return torch.from_numpy(tokens), torch.from_numpy(mask)
