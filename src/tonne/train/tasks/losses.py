"""The losses of labels and of spans, as the one module that is called in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from tonne.train.losses import Losses, states_of
from tonne.train.samples import NOTHING

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.batch import Batch
    from tonne.train.tasks.form import Loss


class LabelLosses(nn.Module):
    """Mean loss of a batch's labels, or of its spans, (2,): the second, of pairs of sentences, is zero.

    Weights of labels and smoothing count while the model trains; an evaluation counts every example once.

    Equation: L = sum_i w_i l_i / sum_i w_i, with w_i = weight of the label of i; of a span l = (l_start + l_end) / 2.
    """

    weights: Tensor | None

    def __init__(
        self, model: Transformer, loss: Loss, *, weights: Sequence[float] | None = None, label_smoothing: float = 0.0
    ) -> None:
        """Of a model with a head for labels."""
        super().__init__()
        self.model, self.loss, self.label_smoothing = model, loss, label_smoothing
        place = next(model.parameters())
        held = None if weights is None else torch.tensor(weights, dtype=place.dtype, device=place.device)
        self.register_buffer("weights", held, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch, and a zero."""
        states = states_of(self.model, batch)  # (B, L, D)
        if self.loss == "span":
            assert batch.spans is not None, "a form for spans gives them"
            ends = self.model.span(states, batch.mask)  # (B, L) twice
            parts = [self._entropy(scores, batch.spans[:, place]) for place, scores in enumerate(ends)]
            found = (parts[0] + parts[1]) / 2
        elif self.loss == "label":
            assert batch.labels is not None, "a form for labels gives them"
            found = self._entropy(self.model.labels(states, batch.mask), batch.labels, self.weights)
        else:
            kept = batch.targets != NOTHING
            found = self._entropy(self.model.token_labels(states)[kept], batch.targets[kept], self.weights)
        return torch.stack([found, torch.zeros_like(found)])

    def _entropy(self, scores: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean cross-entropy (0 of no target) of scores (rows, choices)."""
        if not len(wanted):
            return scores.sum() * 0
        if not self.training:
            return functional.cross_entropy(scores, wanted)
        # Choices that cannot be, such as padding, have no share of the smoothing: theirs would be infinitely wrong.
        smoothing = 0.0 if self.loss == "span" else self.label_smoothing
        return functional.cross_entropy(scores, wanted, weights, label_smoothing=smoothing)


def losses_of(
    model: Transformer, loss: Loss, *, weights: Sequence[float] | None = None, label_smoothing: float = 0.0
) -> nn.Module:
    """The losses of a form: of labels and spans, or of text."""
    if loss == "text":
        return Losses(model, label_smoothing=label_smoothing)
    return LabelLosses(model, loss, weights=weights, label_smoothing=label_smoothing)


def label_weights(labels: Sequence[str], known: tuple[str, ...], given: str | dict[str, float]) -> tuple[float, ...]:
    """What an example of each label counts.

    Equation: balanced: w_c = n / (k n_c), with n examples, k labels, n_c examples of label c; one never seen counts 1.

    Args:
        labels: Of the examples, one by one.
        known: All labels, in the order of their numbers.
        given: "balanced", or weights by label; one that is not named counts 1.
    """
    if isinstance(given, dict):
        return tuple(given.get(label, 1.0) for label in known)
    counts = [sum(label == one for label in labels) for one in known]
    return tuple(len(labels) / (len(known) * count) if count else 1.0 for count in counts)
