"""The losses of a batch, as the one module that is called in training: wrappers of processes see nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tonne.model.transformer import Transformer
    from tonne.train.batch import Batch
    from tonne.train.distribution import Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a step's micro-batches hold together: real tokens, predicted ones, pairs of sentences; places with padding.

    ``predicted`` counts each target by its weight, where labels have one.
    """

    tokens: int
    predicted: float
    sentences: int
    places: int = 0

    @classmethod
    def of(cls, batches: Sequence[Batch], processes: Processes | None = None) -> Counted:
        """Those of some batches; of all processes where these are given."""
        values: list[float] = [
            sum(batch.real_tokens for batch in batches),
            sum(batch.predicted if batch.weight is None else batch.weight for batch in batches),
            sum(0 if batch.next_sentence is None else len(batch.next_sentence) for batch in batches),
            sum(batch.places for batch in batches),
        ]
        tokens, predicted, sentences, places = values if processes is None else processes.total(values)
        return cls(tokens=int(tokens), predicted=predicted, sentences=int(sentences), places=int(places))


class Losses(nn.Module):
    """Mean loss of the predicted tokens, and of the pairs of sentences, (2,); a loss that a batch has not is zero."""

    def __init__(self, model: Transformer, *, label_smoothing: float = 0.0) -> None:
        """Of a model; targets are smoothed while it trains, and not where it is evaluated."""
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        """The two losses of a batch."""
        model, extras = self.model, extras_of(batch)
        smoothing = self.label_smoothing if self.training else 0.0
        if batch.next_sentence is None:
            tokens = model.loss(batch.tokens, batch.targets, batch.mask, label_smoothing=smoothing, **extras)
            return torch.stack([tokens, torch.zeros_like(tokens)])
        states = model.states(batch.tokens, batch.mask, **extras)
        tokens = model.loss_of(states, batch.targets, label_smoothing=smoothing)
        scores = model.next_sentence_logits(states, batch.mask)
        sentences = functional.cross_entropy(scores.to(tokens.dtype), batch.next_sentence)
        return torch.stack([tokens, sentences])


def extras_of(batch: Batch) -> dict[str, Any]:
    """What a batch gives the model besides tokens and mask."""
    names = ("token_types", "documents", "positions", "prefix", "source", "source_mask")
    return {name: getattr(batch, name) for name in names if getattr(batch, name) is not None}


def states_of(model: Transformer, batch: Batch) -> Tensor:
    """Final states of a batch, (batch, length, width), what stands at its padding left open.

    Padding comes last, and a decoder sees nothing that comes later: it runs without the mask, which makes attention
    slower. Experts share out their work over all tokens, so that they must know which are real.
    """
    a = model.architecture
    unseen = model.decoder is not None and a.experts is None and a.decoder_experts is None and batch.prefix is None
    return model.states(batch.tokens, None if unseen else batch.mask, **extras_of(batch))


def shares(batch: Batch, counted: Counted) -> tuple[float, float]:
    """What parts of a step's two losses this batch's are: by tokens and by sentences, so that no batch counts double.

    Equation: L = sum_i (m_i / m) L_i, with m_i = predicted tokens of micro-batch i, m = those of the step.
    """
    own = Counted.of([batch])
    return own.predicted / (counted.predicted or 1.0), own.sentences / max(1, counted.sentences)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    if device.type == "cpu":
        return batch
    tensors: dict[str, Any] = {
        field.name: value.to(device, non_blocking=True)
        for field in dataclasses.fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor)
    }
    return dataclasses.replace(batch, **tensors)


def check_ids(batch: Batch, vocabulary: int, step: int) -> None:
    """Whether every id is a row of the token table.

    Raises:
        DescriptionError: One is not; the text names it.
    """
    for name in ("tokens", "source", "targets"):
        ids = getattr(batch, name)
        if ids is None or not ids.numel() or int(ids.max()) < vocabulary:
            continue
        raise DescriptionError(
            f"step {step}: {name} holds the id {int(ids.max())}, and [architecture] vocabulary={vocabulary} has ids 0 "
            f"to {vocabulary - 1}. Were the data prepared with another tokenizer? Prepare them again, or set "
            f"vocabulary to at least {int(ids.max()) + 1}."
        )
