"""Attention to oneself and across, on torch's fused kernel where it serves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from tonne.count.layers import has_bias, key_width
from tonne.model.making import Linear, Making, Norm, Table
from tonne.model.positions import Rotation, deberta_rows, rotated, sinusoids, t5_buckets

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.model.cache import LayerCache
    from tonne.model.masks import Sees


class Heads(nn.Module):
    """What attentions share: scale, softcap, sinks, and the product of scores and values."""

    def __init__(self, architecture: Architecture, *, layer: int, making: Making) -> None:
        """Attention of the layer with this number, from 0."""
        super().__init__()
        a = architecture
        self.heads, self.kv_heads, self.head_width = a.heads, a.kv_heads, a.head_width
        products = a.relative_products * (a.relative_rows > 0)
        self.scale = score_scale(a) / ((layer + 1) if a.attention_scale_by_layer else 1) / math.sqrt(1 + products)
        self.softcap = a.attention_softcap
        self.dropout = making.attention_dropout
        self.sinks = nn.Parameter(torch.zeros(a.heads, **making.place)) if a.attention_sinks else None

    def attended(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees: Sees) -> torch.Tensor:
        """Values weighted by the scores.

        Equation: softmax(Q K^T / sqrt(d_k)) V.

        Args:
            query: (batch, length, heads, width).
            key: (batch, source length, kv_heads, width).
            value: (batch, source length, kv_heads, value width).
            sees: What each query sees.

        Returns:
            (batch, length, heads x value width).

        Source: vaswani2017attention, section 3.2.1; ainslie2023gqa, section 2.
        """
        q, k, v = (states.transpose(1, 2) for states in (query, key, value))  # (B, H, T, D), (B, K, S, D)
        dropout = self.dropout if self.training else 0.0
        if self.softcap is None and self.sinks is None:
            mixed = functional.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=sees.scores_mask(),
                dropout_p=dropout,
                is_causal=sees.causal,
                scale=self.scale,
                enable_gqa=self.heads != k.shape[1],
            )
        else:
            mixed = self._written_out(q, k, v, sees, dropout)
        return mixed.transpose(1, 2).flatten(2)  # (B, T, H D)

    def _written_out(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sees: Sees, dropout: float
    ) -> torch.Tensor:
        """The same with capped scores or with sinks, which the fused kernel does not know."""
        groups = self.heads // k.shape[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = q @ k.transpose(-1, -2) * self.scale  # (B, H, T, S)
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        mask = sees.written(scores.shape[-2], scores.shape[-1], scores.device).scores_mask()
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        if self.sinks is not None:
            sinks = self.sinks[None, :, None, None].expand(*scores.shape[:-1], 1)
            scores = torch.cat([scores, sinks], -1)  # one more score a head, whose weight goes to no value
        weights = scores.softmax(-1)[..., : k.shape[-2]]
        return functional.dropout(weights, dropout) @ v


def score_scale(architecture: Architecture) -> float:
    """What the products of queries and keys are multiplied by."""
    a = architecture
    return 1 / math.sqrt(key_width(a)) if a.attention_scale is None else a.attention_scale


class QueryKeyNorms(nn.Module):
    """Norms of queries and keys: of each head, by one weight or one a head, or over all heads together."""

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """As ``query_key_norm`` says, which must not be none."""
        super().__init__()
        a, self.whole = architecture, architecture.query_key_norm == "full"
        if self.whole:
            self.query = Norm(a, a.heads * a.head_width, making=making)
            self.key = Norm(a, a.kv_heads * a.head_width, making=making)
        else:
            rows = (a.heads, a.kv_heads) if a.query_key_norm == "each-head" else (None, None)
            self.query = Norm(a, a.head_width, making=making, rows=rows[0])
            self.key = Norm(a, a.head_width, making=making, rows=rows[1])

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both normalized, (batch, length, heads, width)."""
        if not self.whole:
            return self.query(query), self.key(key)
        return self.query(query.flatten(2)).view(query.shape), self.key(key.flatten(2)).view(key.shape)


def query_key_norms(architecture: Architecture, *, making: Making) -> QueryKeyNorms | None:
    """The norms of queries and keys, where the model has them."""
    return None if architecture.query_key_norm == "none" else QueryKeyNorms(architecture, making=making)


class Attention(Heads):
    """Self-attention; queries, keys and values come from one product where their biases allow."""

    def __init__(self, architecture: Architecture, *, layer: int, making: Making) -> None:
        """Attention of the layer with this number, from 0."""
        super().__init__(architecture, layer=layer, making=making)
        a = architecture
        inner, shared = a.heads * a.head_width, a.kv_heads * a.head_width
        biases = [has_bias(a, linear) for linear in ("query", "key", "value")]
        self.fused = len(set(biases)) == 1
        if self.fused:
            self.query_key_value = Linear(a.width, inner + 2 * shared, bias=biases[0], making=making)
        else:
            self.query = Linear(a.width, inner, bias=biases[0], making=making)
            self.key = Linear(a.width, shared, bias=biases[1], making=making)
            self.value = Linear(a.width, shared, bias=biases[2], making=making)
        self.norms = query_key_norms(a, making=making)
        self.late_norms = a.query_key_norm_after_rotary
        self.interleaved = a.rotary_interleaved
        self.output = Linear(inner, a.width, bias=has_bias(a, "output"), making=making)
        self.relative = _relative_of(a, making)

    def forward(
        self,
        states: torch.Tensor,
        sees: Sees,
        turn: Rotation | None = None,
        cache: LayerCache | None = None,
        relative: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States (batch, length, width) mixed by attention.

        Args:
            states: (batch, length, width).
            sees: What each token sees.
            turn: Rotation of queries and keys.
            cache: Keys and values of the tokens before; those of these tokens are added.
            relative: DeBERTa's table of relative positions, (rows, width).
        """
        query, key, value = self._projected(states)  # (B, T, H, D), (B, T, K, D) twice
        if self.norms is not None and not self.late_norms:
            query, key = self.norms(query, key)
        if turn is not None:
            query, key = (rotated(part, turn, interleaved=self.interleaved) for part in (query, key))
        if self.norms is not None and self.late_norms:
            query, key = self.norms(query, key)
        if cache is not None:
            key, value = cache.append(key, value)
        if self.relative is not None:
            query, bias = self.relative(self, query, key, relative)
            sees = sees.with_bias(bias)
        mixed: torch.Tensor = self.output(self.attended(query, key, value, sees))
        return mixed

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        """Queries (..., heads, width) of any states: DeBERTa's relative positions share this matrix."""
        return self._split(self._rows(states, 0, self.heads) if self.fused else self.query(states))

    def keys(self, states: torch.Tensor) -> torch.Tensor:
        """Keys (..., kv_heads, width) of any states."""
        return self._split(self._rows(states, self.heads, self.kv_heads) if self.fused else self.key(states))

    def _rows(self, states: torch.Tensor, first: int, heads: int) -> torch.Tensor:
        """The product with some heads' rows of the fused matrix alone."""
        rows = slice(first * self.head_width, (first + heads) * self.head_width)
        bias = self.query_key_value.bias
        return functional.linear(states, self.query_key_value.weight[rows], None if bias is None else bias[rows])

    def _projected(self, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not self.fused:
            return tuple(self._split(linear(states)) for linear in (self.query, self.key, self.value))
        both = self._split(self.query_key_value(states))
        return torch.split(both, [self.heads, self.kv_heads, self.kv_heads], -2)

    def _split(self, states: torch.Tensor) -> torch.Tensor:
        return torch.unflatten(states, -1, (-1, self.head_width))


class CrossAttention(Heads):
    """Attention of a decoder's states to an encoder's. Source: vaswani2017attention, section 3.2.3."""

    def __init__(self, architecture: Architecture, *, layer: int, making: Making) -> None:
        """Attention of the layer with this number, from 0."""
        super().__init__(architecture, layer=layer, making=making)
        a = architecture
        inner, shared = a.heads * a.head_width, a.kv_heads * a.head_width
        biases = [has_bias(a, linear) for linear in ("query", "key", "value")]
        self.fused = biases[1] == biases[2]
        self.query = Linear(a.width, inner, bias=biases[0], making=making)
        if self.fused:
            self.key_value = Linear(a.width, 2 * shared, bias=biases[1], making=making)
        else:
            self.key = Linear(a.width, shared, bias=biases[1], making=making)
            self.value = Linear(a.width, shared, bias=biases[2], making=making)
        self.norms = query_key_norms(a, making=making)
        self.output = Linear(inner, a.width, bias=has_bias(a, "output"), making=making)

    def forward(
        self, states: torch.Tensor, encoded: torch.Tensor, sees: Sees, cache: LayerCache | None = None
    ) -> torch.Tensor:
        """States (batch, length, width) that have seen the encoder's.

        Args:
            states: (batch, length, width).
            encoded: (batch, source length, width).
            sees: What each token sees of the source.
            cache: Keeps the keys and values of the source, which are the same for every token.
        """
        query = self.query(states).unflatten(-1, (-1, self.head_width))
        if cache is not None and cache.across is not None:
            key, value = cache.across
        else:
            key, value = self._keys_values(encoded)
            if cache is not None:
                cache.across = (key, value)
        if self.norms is not None:
            query, key = self.norms(query, key)
        mixed: torch.Tensor = self.output(self.attended(query, key, value, sees))
        return mixed

    def _keys_values(self, encoded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.fused:
            key, value = (m(encoded).unflatten(-1, (-1, self.head_width)) for m in (self.key, self.value))
            return key, value
        both = self.key_value(encoded).unflatten(-1, (-1, self.head_width))
        return both[..., : self.kv_heads, :], both[..., self.kv_heads :, :]


def relative_bias(table: Table, distance: torch.Tensor, longest: int, *, causal: bool) -> torch.Tensor:
    """T5's learned score for each head and distance.

    Args:
        table: (buckets, heads).
        distance: Key minus query, (queries, keys) or (batch, queries, keys) [token].
        longest: Distance beyond which all share a row [token].
        causal: Whether no key stands after its query.

    Returns:
        (batch or 1, heads, queries, keys).
    """
    rows = t5_buckets(distance, table.num_embeddings, longest, causal=causal)
    bias: torch.Tensor = table(rows).movedim(-1, -3)  # (..., H, T, S)
    return bias if bias.dim() == 4 else bias[None]


class _Shifted(nn.Module):
    """Transformer-XL's scores of relative positions.

    Equation: (q + u) k^T + (q + v) (W R)^T, R = sinusoids of the distances.

    Source: dai2019transformerxl, section 3.3.
    """

    def __init__(self, a: Architecture, making: Making) -> None:
        super().__init__()
        self.projection = Linear(a.width, a.heads * a.head_width, bias=False, making=making)
        self.content = nn.Parameter(torch.zeros(a.heads, a.head_width, **making.place))
        self.position = nn.Parameter(torch.zeros(a.heads, a.head_width, **making.place))
        self.width = a.width

    def forward(
        self, attention: Attention, query: torch.Tensor, key: torch.Tensor, table: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries with u added, and the scores of the positions as a bias (batch, heads, queries, keys)."""
        queries, keys = query.shape[1], key.shape[1]
        places = torch.arange(keys - 1, -1, -1, device=query.device)  # distances, the furthest first
        waves = sinusoids(places, self.width, "halves").to(query.dtype)
        rows = self.projection(waves).unflatten(-1, (attention.heads, -1))  # (S, H, D)
        scores = torch.einsum("bthd,shd->bhts", query + self.position, rows) * attention.scale
        reach = (
            torch.arange(keys, device=query.device)[None]
            + torch.arange(queries - 1, -1, -1, device=query.device)[:, None]
        )
        bias = scores.gather(-1, reach.clamp(max=keys - 1).expand_as(scores))  # what lies after a query is masked
        return query + self.content, bias


class _Disentangled(nn.Module):
    """DeBERTa's scores of content to position and of position to content, by a table that all layers share.

    Source: he2020deberta, section 3.1, equation 4.
    """

    def __init__(self, a: Architecture, making: Making) -> None:
        super().__init__()
        inner = a.heads * a.head_width
        self.products, self.rows, self.longest = a.relative_products, a.relative_rows, a.relative_log_distance
        biases = [a.relative_projection_biases > 1, a.relative_projection_biases > 0]  # of one bias, the query's
        self.key = Linear(a.width, inner, bias=biases[0], making=making) if a.relative_projections else None
        self.query = Linear(a.width, inner, bias=biases[1], making=making) if a.relative_projections > 1 else None

    def forward(
        self, attention: Attention, query: torch.Tensor, key: torch.Tensor, table: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The queries, and the scores of the positions as a bias (batch, heads, queries, keys)."""
        assert table is not None  # the stack hands it on
        place = torch.arange(key.shape[1], device=query.device)
        rows = deberta_rows(place[:, None] - place[None], self.rows, self.longest)  # (T, S)
        row_key = attention.keys(table) if self.key is None else _by_head(self.key, table, attention.heads)  # (R, H, D)
        scores = torch.einsum("bthd,rhd->bhtr", query, row_key)
        bias = scores.gather(-1, rows.expand(*scores.shape[:2], -1, -1))
        if self.products > 1:
            linear = self.query
            row_query = attention.queries(table) if linear is None else _by_head(linear, table, attention.heads)
            scores = torch.einsum("bshd,rhd->bhsr", key, row_query)
            bias = bias + scores.gather(-1, rows.T.expand(*scores.shape[:2], -1, -1)).transpose(-1, -2)
        return query, bias * attention.scale


def _by_head(linear: nn.Module, table: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a table projected, (rows, heads, width)."""
    projected: torch.Tensor = linear(table)
    return torch.unflatten(projected, -1, (heads, -1))


def _relative_of(a: Architecture, making: Making) -> nn.Module | None:
    """What adds a product with relative positions to every score, where the model has it."""
    if a.relative_projection:
        return _Shifted(a, making)
    if a.relative_rows:
        return _Disentangled(a, making)
    return None
