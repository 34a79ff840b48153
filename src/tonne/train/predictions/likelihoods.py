"""How probable texts are to a decoder, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tonne.errors import DescriptionError
from tonne.train.batch import Padding, collated
from tonne.train.losses import extras_of, moved
from tonne.train.metrics.likelihood import Likelihood
from tonne.train.objectives.example import Example
from tonne.train.predictions.labels import Ran
from tonne.train.predictions.passes import Pass, batches_by_length
from tonne.train.samples import NOTHING

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Reading

Tokens = NDArray[np.int64]


def text_likelihoods(
    model: Transformer, reading: Reading, examples: Sequence[Labelled], size: int, ran: Ran
) -> list[Likelihood]:
    """The loss of each text's tokens.

    A text begins after what its tokenizer puts before it, or the token that stands between documents, where there is
    one; else its first token is not predicted. One that is longer than the limit is read in windows that share
    ``[task] stride`` tokens (left out: none), and each token is predicted once.

    Raises:
        DescriptionError: The model is no decoder: it does not say how probable a text is.
    """
    if model.decoder is None or model.encoder is not None:
        raise DescriptionError(
            f"a model of kind {model.architecture.kind!r} gives no probability of a text. Evaluate the task "
            f"'continued' with a decoder."
        )
    texts = [example.text for example in examples]
    windows = list(_windows(reading, texts))
    padding = Padding(token=reading.tokenizer.special.delimiter or 0, causal=True)
    device = next(model.parameters()).device
    nats, tokens = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    for places in batches_by_length(windows, lambda window: len(window[1].tokens), size):
        batch = moved(collated([windows[place][1] for place in places], padding), device)
        scores = model.logits(batch.tokens, batch.mask, **extras_of(batch))  # (B, L, V)
        losses = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=NOTHING, reduction="none"
        ).view_as(batch.targets)
        for place, loss, asked in zip(places, losses.double().sum(1).tolist(), batch.targets, strict=True):
            nats[windows[place][0]] += loss
            tokens[windows[place][0]] += int((asked != NOTHING).sum())
        lengths = tuple(len(windows[place][1].tokens) for place in places)
        ran(Pass(width=max(lengths), lengths=lengths, asked="all"))
    sums = zip(nats.tolist(), tokens.tolist(), texts, strict=True)
    return [Likelihood(total, count, len(text.encode())) for total, count, text in sums]


def _windows(reading: Reading, texts: Sequence[str]) -> Iterator[tuple[int, Example]]:
    """The number of its text and the sequence of each window; a token that was read before is not asked again."""
    delimiter, length = reading.tokenizer.special.delimiter, reading.limits.source
    shared = reading.task.stride or 0
    if shared >= length:
        raise DescriptionError(
            f"[task] stride={shared} tokens are shared by windows of {length}: they would never get on. Give less, "
            f"e.g. {length // 2}."
        )
    before = reading.frame.before or (() if delimiter is None else (delimiter,))
    for owner, ids in enumerate(reading.tokenizer.encode(texts)):
        whole = np.array([*before, *ids], dtype=np.int64)
        asked, start = max(len(before), 1), 0
        while asked < len(whole):
            tokens = whole[start : start + length]
            targets = whole[start + 1 : start + length + 1].copy()
            targets[: asked - start - 1] = NOTHING
            yield owner, Example(tokens=tokens[: len(targets)], targets=targets)
            asked = start + len(targets) + 1
            start = asked - 1 - shared
