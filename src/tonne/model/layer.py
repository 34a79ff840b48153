"""One layer of an encoder or a decoder, and what all layers of one pass share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from tonne.count.layers import stored_layers
from tonne.model.attention import Attention, CrossAttention
from tonne.model.experts import ExpertFeedForward, has_experts
from tonne.model.feed_forward import FeedForward
from tonne.model.latent_attention import LatentAttention
from tonne.model.making import Making, Norm, Table
from tonne.model.masks import Sees

if TYPE_CHECKING:
    from collections.abc import Callable

    from tonne.describe.architecture import Architecture
    from tonne.model.cache import Cache, LayerCache
    from tonne.model.positions import Rotation


@dataclass(slots=True, kw_only=True)
class Sight:
    """What the layers of one pass share: masks, rotations, the encoder's states, and losses that they hand back.

    ``full`` and ``windowed``: what tokens see in layers without and with a window; ``turn`` and ``windowed_turn``:
    rotations there. ``relative``: DeBERTa's table. ``real``: (batch, length), true for a real token; ``documents``
    likewise. ``balance``: the experts' losses for balance, one a layer.
    """

    full: Sees
    windowed: Sees
    turn: Rotation | None = None
    windowed_turn: Rotation | None = None
    relative: torch.Tensor | None = None
    relative_bias: Callable[[Table], torch.Tensor] | None = None
    encoded: torch.Tensor | None = None
    across: Sees
    real: torch.Tensor | None = None
    documents: torch.Tensor | None = None
    cache: Cache | None = None
    balance: list[torch.Tensor]


def nothing_seen() -> Sight:
    """What a pass starts from: no masks, no encoder, no cache."""
    return Sight(full=Sees(), windowed=Sees(), across=Sees(), balance=[])  # no factories: torch.compile reads none


class Layer(nn.Module):
    """Attention, attention to an encoder where there is one, and a feed-forward block.

    Equation: pre-norm x + f(norm(x)); post-norm norm(x + f(x)), or on the branch x + norm(f(x)); both
    x + norm(f(norm(x))); parallel x + attention(norm(x)) + feed_forward(norm(x)).

    Source: vaswani2017attention, section 3.1; xiong2020prenorm, section 3.
    """

    def __init__(self, architecture: Architecture, *, index: int, cross: bool, making: Making) -> None:
        """The layer with this number, from 0; ``cross``: it attends to an encoder."""
        super().__init__()
        a = architecture
        self.index, self.cross = index, cross
        self.windowed = not attends_fully(a, index)
        self.turns = a.positions == "rotary" and index not in a.unrotated_layers
        self.position, self.branch_norm = a.norm_position, a.reordered_norm
        self.parallel, self.one_norm = a.parallel_blocks, a.shared_block_norm
        self.dropout, self.residual_scale = making.dropout, a.residual_scale
        attention = Attention if a.latent_attention is None else LatentAttention
        self.attention = attention(a, layer=index, making=making)
        self.relative = relative_table(a, making) if a.relative_per_layer else None
        first = index == 0 and not a.first_norm
        self.attention_norm = nn.Identity() if first else Norm(a, a.width, making=making)
        if cross or a.idle_cross_attention:
            self.cross_attention = CrossAttention(a, layer=index, making=making)
            if not self.one_norm:
                self.cross_attention_norm = Norm(a, a.width, making=making)
        if not self.one_norm:
            self.feed_forward_norm = Norm(a, a.width, making=making)
        self.sparse = has_experts(a.experts, index)
        if self.sparse and a.experts is not None:
            self.experts = ExpertFeedForward(a, a.experts, making=making)
        else:
            self.feed_forward = FeedForward(a, making=making)
        if a.norm_position == "both":
            self.attention_after_norm = Norm(a, a.width, making=making)
            self.feed_forward_after_norm = Norm(a, a.width, making=making)
            if cross or a.idle_cross_attention:
                self.cross_attention_after_norm = Norm(a, a.width, making=making)

    def forward(self, states: torch.Tensor, sight: Sight, place: int | None = None) -> torch.Tensor:
        """States (batch, length, width) of the next layer; ``place``: which layer it is now, if it serves several."""
        cache = None if sight.cache is None else sight.cache.layers[self.index if place is None else place]
        if self.parallel:
            return self._side_by_side(states, sight, cache)
        states = self._branch(states, "attention", lambda inner: self._attended(inner, sight, cache))
        if self.cross:
            states = self._branch(states, "cross_attention", lambda inner: self._across(inner, sight, cache))
        return self._branch(states, "feed_forward", lambda inner: self._fed(inner, sight))

    def _branch(self, states: torch.Tensor, name: str, block: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The states with what a block makes of them added, and its norm in its place."""
        norm = getattr(self, f"{name}_norm")
        if self.position == "post":
            if self.branch_norm:
                return states + self._scaled(norm(block(states)))
            normal: torch.Tensor = norm(states + self._scaled(block(states)))
            return normal
        branch = block(norm(states))
        if self.position == "both":
            branch = getattr(self, f"{name}_after_norm")(branch)
        return states + self._scaled(branch)

    def _side_by_side(self, states: torch.Tensor, sight: Sight, cache: LayerCache | None) -> torch.Tensor:
        """Attention and feed-forward of the same states."""
        normal = self.attention_norm(states)
        attended = self._attended(normal, sight, cache)
        fed = self._fed(normal if self.one_norm else self.feed_forward_norm(states), sight)
        if self.position == "both":
            attended, fed = self.attention_after_norm(attended), self.feed_forward_after_norm(fed)
        return states + self._scaled(attended) + self._scaled(fed)

    def _scaled(self, branch: torch.Tensor) -> torch.Tensor:
        branch = functional.dropout(branch, self.dropout, self.training) if self.dropout else branch
        return branch if self.residual_scale == 1 else branch * self.residual_scale

    def _attended(self, states: torch.Tensor, sight: Sight, cache: LayerCache | None) -> torch.Tensor:
        sees = sight.windowed if self.windowed else sight.full
        if self.relative is not None and sight.relative_bias is not None:
            sees = sees.with_bias(sight.relative_bias(self.relative))
        turn = sight.windowed_turn if self.windowed else sight.turn
        mixed: torch.Tensor = self.attention(states, sees, turn if self.turns else None, cache, sight.relative)
        return mixed

    def _across(self, states: torch.Tensor, sight: Sight, cache: LayerCache | None) -> torch.Tensor:
        mixed: torch.Tensor = self.cross_attention(states, sight.encoded, sight.across, cache)
        return mixed

    def _fed(self, states: torch.Tensor, sight: Sight) -> torch.Tensor:
        if not self.sparse:
            fed: torch.Tensor = self.feed_forward(states)
            return fed
        mixed, balance = self.experts(states, sight.real)
        if balance is not None:
            sight.balance.append(balance)
        expert_mixed: torch.Tensor = mixed
        return expert_mixed


def attends_fully(architecture: Architecture, index: int) -> bool:
    """Whether the layer with this number, from 0, sees more than a window."""
    a = architecture
    if a.attention_window is None:
        return True
    if a.full_attention_layers is not None:
        return index in a.full_attention_layers
    if a.window_every is None:
        return False
    first = a.window_every - 1 if a.window_first_full is None else a.window_first_full
    return index >= first and (index - first) % a.window_every == 0


def layers_of(architecture: Architecture, count: int, *, cross: bool, making: Making) -> nn.ModuleList:
    """The layers of a stack that are stored: fewer than run, where layers share weights."""
    stored = stored_layers(architecture, count)
    return nn.ModuleList(Layer(architecture, index=i, cross=cross, making=making) for i in range(stored))


def relative_table(architecture: Architecture, making: Making) -> Table | None:
    """T5's table of scores by bucket and head, where the model has one."""
    a = architecture
    return Table(a.relative_buckets, a.heads, making=making) if a.relative_buckets else None
