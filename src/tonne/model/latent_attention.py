"""DeepSeek's multi-head latent attention: keys and values made from one narrow vector a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tonne.count.layers import has_bias
from tonne.model.attention import Heads
from tonne.model.making import Linear, Making, Norm
from tonne.model.positions import Rotation, rotated

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.model.cache import LayerCache
    from tonne.model.masks import Sees


class LatentAttention(Heads):
    """Self-attention whose cache holds one latent vector and one rotary key a token, shared by all heads.

    Equation: c = W_dkv x, k_h = [W_uk,h norm(c); rotated(W_kr x)], v_h = W_uv,h norm(c),
    q_h = [plain; rotated](W_uq norm(W_dq x)).

    Source: deepseek2024v2, section 2.1 and appendix C.
    """

    def __init__(self, architecture: Architecture, *, layer: int, making: Making) -> None:
        """Attention of the layer with this number, from 0."""
        super().__init__(architecture, layer=layer, making=making)
        a, latent = architecture, architecture.latent_attention
        assert latent is not None  # the layer asks before
        self.kv_heads = a.heads
        self.plain_width, self.rotary_width, self.kv_rank = latent.plain_width, latent.rotary_width, latent.kv_rank
        self.interleaved = a.rotary_interleaved
        wide = a.heads * (latent.plain_width + latent.rotary_width)
        if latent.query_rank is None:
            self.query_down, self.query_norm, given = None, None, a.width
        else:
            self.query_down = Linear(a.width, latent.query_rank, bias=has_bias(a, "query"), making=making)
            self.query_norm, given = Norm(a, latent.query_rank, making=making), latent.query_rank
        self.query = Linear(given, wide, bias=False, making=making)
        self.down = Linear(a.width, latent.kv_rank + latent.rotary_width, bias=has_bias(a, "key"), making=making)
        self.norm = Norm(a, latent.kv_rank, making=making)
        self.key_value = Linear(
            latent.kv_rank, a.heads * (latent.plain_width + latent.value_width), bias=False, making=making
        )
        self.output = Linear(a.heads * latent.value_width, a.width, bias=has_bias(a, "output"), making=making)

    def forward(
        self,
        states: torch.Tensor,
        sees: Sees,
        turn: Rotation | None = None,
        cache: LayerCache | None = None,
        relative: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States (batch, length, width) mixed by attention; the arguments are those of ``Attention``."""
        query = self._queries(states)  # (B, T, H, plain + rotary)
        latent, key = self.down(states).split([self.kv_rank, self.rotary_width], -1)
        latent, key = self.norm(latent), key[:, :, None]  # (B, T, c), (B, T, 1, rotary)
        if turn is not None:
            plain, turned = torch.split(query, [self.plain_width, self.rotary_width], -1)
            query = torch.cat([plain, rotated(turned, turn, interleaved=self.interleaved)], -1)
            key = rotated(key, turn, interleaved=self.interleaved)
        if cache is not None:
            latent, key = cache.append(latent, key)
        both = self.key_value(latent).unflatten(-1, (self.heads, -1))  # (B, S, H, plain + value)
        plain, value = both.split([self.plain_width, both.shape[-1] - self.plain_width], -1)
        keys = torch.cat([plain, key.expand(-1, -1, self.heads, -1)], -1)
        mixed: torch.Tensor = self.output(self.attended(query, keys, value, sees))
        return mixed

    def _queries(self, states: torch.Tensor) -> torch.Tensor:
        if self.query_down is not None and self.query_norm is not None:
            states = self.query_norm(self.query_down(states))
        query: torch.Tensor = self.query(states)
        return torch.unflatten(query, -1, (self.heads, -1))
