"""Further layers that predict later tokens than the next one (DeepSeek-V3's multi-token prediction)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from tonne.model.layer import Layer, Sight
from tonne.model.making import Linear, Making, Norm

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.model.transformer import Transformer


class LaterToken(nn.Module):
    """One such layer.

    Equation: h'_t = layer(W [norm(h_t); norm(e_(t+k))]), with h = states of the depth before, e = vectors of the
    tokens, k = depth; norm(h'_t) predicts token t + k + 1 by the output table that all share.

    Source: deepseek2024v3, section 2.2.
    """

    def __init__(self, architecture: Architecture, index: int, *, making: Making) -> None:
        """The layer with this number, counted on from the last one of the stack."""
        super().__init__()
        a = architecture
        self.state_norm, self.token_norm = Norm(a, a.width, making=making), Norm(a, a.width, making=making)
        self.projection = Linear(2 * a.width, a.width, bias=False, making=making)
        self.layer = Layer(a, index=index, cross=False, making=making)
        self.final_norm = Norm(a, a.width, making=making)

    def forward(self, states: torch.Tensor, vectors: torch.Tensor, sight: Sight) -> torch.Tensor:
        """States of this depth, before their final norm.

        Args:
            states: Of the depth before (batch, length, width).
            vectors: Of the tokens, one further than these states' own (batch, length, width).
            sight: Masks and rotations of the tokens.
        """
        both = torch.cat([self.state_norm(states), self.token_norm(vectors)], -1)
        further: torch.Tensor = self.layer(self.projection(both), sight)
        return further


def later_loss(
    model: Transformer, states: torch.Tensor, tokens: torch.Tensor, targets: torch.Tensor, sight: Sight
) -> torch.Tensor:
    """Mean over the depths of the loss of the token that each predicts.

    Args:
        model: A model with such layers.
        states: Its final states (batch, length, width).
        tokens: Ids (batch, length).
        targets: The next token's id at each position (batch, length); -100 where none is predicted.
        sight: Masks and rotations of that pass.

    Returns:
        A scalar. The last positions, whose later tokens are not known, predict none.
    """
    losses = []
    layers: list[LaterToken] = list(model.multi_token)  # type: ignore[arg-type]  # torch knows modules only
    for depth, further in enumerate(layers, start=1):
        vectors = model.embedding(tokens.roll(-depth, 1), None)
        vectors = vectors if model.embedding.projection is None else model.embedding.projection(vectors)
        states = further(states, vectors, sight)
        wanted = targets.roll(-depth, 1)
        wanted[:, -depth:] = -100
        if sight.documents is not None:
            wanted = wanted.masked_fill(sight.documents.roll(-depth, 1) != sight.documents, -100)
        losses.append(model.loss_of(further.final_norm(states), wanted))
    return torch.stack(losses).mean()


def later_tokens(architecture: Architecture, *, making: Making) -> nn.ModuleList:
    """All such layers of a model; they have experts where any layer has."""
    a = architecture
    first = a.layers or 0
    if a.multi_token_layers:  # the count takes their feed-forward block for that of a layer with experts
        everywhere = None if a.experts is None else a.experts.model_copy(update={"dense_layers": 0, "every": 1})
        everywhere = None if everywhere is None else everywhere.model_copy(update={"dense_at": ()})
        a = a.model_copy(update={"experts": everywhere})
    return nn.ModuleList(LaterToken(a, first + depth, making=making) for depth in range(a.multi_token_layers))
