"""A stack of layers with its positions and norms: an encoder, or a decoder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tonne.errors import DescriptionError
from tonne.model.attention import relative_bias
from tonne.model.embeddings import StackInputs
from tonne.model.layer import Sight, attends_fully, layers_of, nothing_seen, relative_table
from tonne.model.making import Making, Norm, Table
from tonne.model.masks import Sees, Tokens, seen
from tonne.model.positions import alibi_slopes, rotation

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture


class Convolution(nn.Module):
    """DeBERTa's convolution of what enters the first layer, added to what leaves it, and a norm."""

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """Of ``convolution_width`` tokens, in groups of features."""
        super().__init__()
        a = architecture
        self.convolution = nn.Conv1d(
            a.width,
            a.width,
            a.convolution_width,
            padding=(a.convolution_width - 1) // 2,
            groups=a.convolution_groups,
            **making.place,
        )
        self.norm, self.dropout = Norm(a, a.width, making=making), making.dropout

    def forward(self, entered: torch.Tensor, left: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """(batch, length, width); padding is zero before and after."""
        if real is not None:
            entered = entered.masked_fill(~real[..., None], 0)  # its neighbours see padding as the end of the sequence
        mixed = self.convolution(entered.transpose(1, 2)).transpose(1, 2)
        mixed = mixed if real is None else mixed.masked_fill(~real[..., None], 0)
        mixed = torch.tanh(functional.dropout(mixed, self.dropout, self.training))
        states: torch.Tensor = self.norm(left + mixed)
        return states if real is None else states.masked_fill(~real[..., None], 0)


class Stack(nn.Module):
    """The layers of an encoder or a decoder, from token vectors to final states."""

    def __init__(self, architecture: Architecture, *, decoder: bool, making: Making) -> None:
        """Of an architecture as this stack sees it; ``decoder``: its mask is causal."""
        super().__init__()
        a = self.architecture = architecture
        self.decoder = decoder
        cross = decoder and a.kind == "encoder-decoder"
        count = (a.decoder_layers if decoder else a.encoder_layers) if a.kind == "encoder-decoder" else a.layers
        assert count is not None  # by construction of an Architecture
        self.count, self.recomputes = count, False
        self.inputs = StackInputs(a, making=making)
        self.relative = None if a.relative_per_layer else relative_table(a, making)
        self.relative_rows = Table(a.relative_rows, a.width, making=making) if a.relative_rows else None
        self.relative_norm = Norm(a, a.width, making=making) if a.relative_norm else None
        self.layers = layers_of(a, count, cross=cross, making=making)
        self.convolution = Convolution(a, making=making) if a.convolution_width else None
        self.final_norm = Norm(a, a.width, making=making) if a.final_norm else None

    def forward(
        self, states: torch.Tensor, tokens: Tokens, sight: Sight | None = None, places: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Sight]:
        """States of all layers but none in between.

        Args:
            states: Vectors of the tokens, positions added, (batch, length, width).
            tokens: Their padding, documents and prefix.
            sight: What the layers see besides: the encoder's states, the cache.
            places: Positions of the tokens (batch or 1, length) where they are not 0, 1, ... [token].

        Returns:
            Final states (batch, length, width), and what the layers handed back.
        """
        if self.convolution is not None and tokens.documents is not None:
            raise DescriptionError(
                "a convolution reaches over the ends of packed documents. Leave documents out, one a sequence."
            )
        sight = self._sight(states, tokens, sight or nothing_seen(), places)
        entered = states
        for place in range(self.count):
            layer = self.layers[place * len(self.layers) // self.count]
            if self.recomputes and torch.is_grad_enabled() and sight.cache is None:
                states = checkpoint(layer, states, sight, place, use_reentrant=False)
            else:
                states = layer(states, sight, place)
            if place == 0 and self.convolution is not None:
                states = self.convolution(entered, states, tokens.mask)
        return (states if self.final_norm is None else self.final_norm(states)), sight

    def _sight(self, states: torch.Tensor, tokens: Tokens, sight: Sight, places: torch.Tensor | None) -> Sight:
        """Masks, biases and rotations, made once for all layers."""
        a = self.architecture
        fully = [attends_fully(a, index) for index in range(self.count + a.multi_token_layers)]
        full = seen(tokens, causal=self.decoder, window=None) if any(fully) else Sees()
        windowed = Sees() if all(fully) else seen(tokens, causal=self.decoder, window=a.attention_window)
        bias = self._bias(tokens, states, places)
        if bias is not None:
            full, windowed = full.with_bias(bias), windowed.with_bias(bias)
        sight = replace(sight, full=full, windowed=windowed, documents=tokens.documents, balance=[])
        sight.real = tokens.mask if tokens.mask is None else tokens.mask[:, tokens.before :]
        if a.positions == "rotary":
            at = tokens.query_positions()[None] if places is None else places
            sight.turn = rotation(a, at, states.dtype, window=False)
            own = a.window_rotary_base is not None
            sight.windowed_turn = rotation(a, at, states.dtype, window=True) if own else sight.turn
        if a.relative_buckets and a.relative_per_layer:
            sight.relative_bias = partial(
                relative_bias, distance=_distance(tokens), longest=a.relative_max_distance, causal=self.decoder
            )
        if self.relative_rows is not None:
            table = self.relative_rows.weight
            sight.relative = table if self.relative_norm is None else self.relative_norm(table)
        return sight

    def _bias(self, tokens: Tokens, states: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor | None:
        """What all layers add to their scores: T5's table or ALiBi's slopes."""
        a = self.architecture
        if self.relative is not None:
            distance = _distance(tokens)
            return relative_bias(self.relative, distance, longest=a.relative_max_distance, causal=self.decoder)
        if a.positions != "alibi":
            return None
        slopes = torch.tensor(alibi_slopes(a.heads), dtype=states.dtype, device=states.device)
        return (-slopes[:, None, None] * _distance(tokens).abs())[None]


def _distance(tokens: Tokens) -> torch.Tensor:
    """Key minus query, (queries, keys) [token]; of packed documents too, as what stands apart is masked."""
    return tokens.key_positions()[None] - tokens.query_positions()[:, None]
