"""The transformer as every course teaches it: each class one formula, nothing fused that the formula does not fuse.

These classes are to be read; they are also the measure of the fast path, ``tonne.model.Transformer``, which gives the
same numbers to rounding. Norms stand behind the blocks, the activation is ReLU, and there is no dropout.

Letters: B = batch, T = length, S = source length, d = d_model, h = heads, d_k = d / h, f = d_ff, V = vocabulary.

Source: vaswani2017attention, section 3.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tonne.errors import DescriptionError

FULLY_MASKED = float("-inf")


class ScaledDotProductAttention(nn.Module):
    """Each query takes the mean of the values, weighted by how well their keys fit it.

    Equation: Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V.

    Q (..., T, d_k), K (..., S, d_k), V (..., S, d_v) -> (..., T, d_v). Dividing by sqrt(d_k) keeps the variance of the
    products at 1, where softmax still has a slope.

    Source: vaswani2017attention, section 3.2.1, equation 1.
    """

    def __init__(self, d_k: int) -> None:
        """For keys ``d_k`` wide."""
        super().__init__()
        self.d_k = d_k

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Weighted values.

        Args:
            query: (..., T, d_k).
            key: (..., S, d_k).
            value: (..., S, d_v).
            mask: What broadcasts to (..., T, S): true (or 1) where a query sees a key; None: all see all.

        Returns:
            (..., T, d_v).
        """
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.d_k)  # (..., T, S)
        if mask is not None:
            scores = scores.masked_fill(~mask.bool(), FULLY_MASKED)
        weights = torch.softmax(scores, dim=-1)  # each row sums to 1
        return weights @ value  # (..., T, d_v)


class MultiHeadAttention(nn.Module):
    """Attention in h subspaces at once, each of its own projections.

    Equation: MultiHead(Q, K, V) = [head_1; ...; head_h] W^O, head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V).

    The 3 h projections of self-attention are one matrix (3 d, d): one product in place of many. Every projection has
    a bias, which the paper's formula leaves out.

    Source: vaswani2017attention, section 3.2.2.
    """

    def __init__(self, d_model: int, num_heads: int) -> None:
        """``num_heads`` heads, each d_model / num_heads wide.

        Raises:
            DescriptionError: The width does not split over the heads.
        """
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise DescriptionError(
                f"d_model={d_model} cannot be split over num_heads={num_heads}. Use a d_model that is a multiple of "
                f"num_heads, e.g. {max(num_heads, 1) * max(d_model // max(num_heads, 1), 1)}."
            )
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)  # W^Q, W^K, W^V of all heads, one above the other
        self.attention = ScaledDotProductAttention(self.d_k)
        self.output = nn.Linear(d_model, d_model)  # W^O

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor | None = None, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """States mixed by attention.

        Args:
            states: (B, T, d): queries come from them, and without ``memory`` keys and values too.
            mask: What broadcasts to (B, h, T, S), true where a query sees a key.
            memory: (B, S, d): an encoder's states, for keys and values (cross-attention).

        Returns:
            (B, T, d).
        """
        if memory is None:
            query, key, value = self.qkv(states).chunk(3, dim=-1)  # (B, T, d) three times
        else:
            (w_q, w_k, w_v), (b_q, b_k, b_v) = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)  # (d, d), (d)
            query, key, value = states @ w_q.T + b_q, memory @ w_k.T + b_k, memory @ w_v.T + b_v
        heads = self.attention(self._split(query), self._split(key), self._split(value), mask)  # (B, h, T, d_k)
        joined: torch.Tensor = self.output(heads.transpose(1, 2).flatten(2))  # (B, T, d)
        return joined

    def _split(self, states: torch.Tensor) -> torch.Tensor:
        """(B, T, d) -> (B, h, T, d_k)."""
        batch, length, _ = states.shape
        return states.view(batch, length, self.num_heads, self.d_k).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between, the same at every position.

    Equation: FFN(x) = max(0, x W_1 + b_1) W_2 + b_2. (B, T, d) -> (B, T, f) -> (B, T, d).

    Source: vaswani2017attention, section 3.3, equation 2.
    """

    def __init__(self, d_model: int, d_ff: int) -> None:
        """``d_ff`` is 4 d_model in the paper."""
        super().__init__()
        self.inner = nn.Linear(d_model, d_ff)
        self.outer = nn.Linear(d_ff, d_model)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, T, d), each position on its own."""
        mapped: torch.Tensor = self.outer(torch.relu(self.inner(states)))
        return mapped


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward map, each added to its input and normalized.

    Equation: y = LayerNorm(x + MultiHead(x, x, x)), z = LayerNorm(y + FFN(y)).

    LayerNorm(x) = (x - mean) / sqrt(variance + epsilon) * gain + bias, over the d features of one position.

    Source: vaswani2017attention, section 3.1; ba2016layer, section 3.
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int) -> None:
        """One layer of an encoder."""
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_ff)
        self.feed_forward_norm = nn.LayerNorm(d_model)

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, d) -> (B, T, d)."""
        states = self.attention_norm(states + self.attention(states, mask))
        normal: torch.Tensor = self.feed_forward_norm(states + self.feed_forward(states))
        return normal


class Encoder(nn.Module):
    """N encoder layers, one after the other.

    ``Encoder(512, 8, 2048, 6)`` is that of the paper's base model.

    Source: vaswani2017attention, section 3.1.
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int, num_layers: int) -> None:
        """``num_layers`` layers, each with numbers of its own."""
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(d_model, num_heads, d_ff) for _ in range(num_layers))

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); ``mask`` as in ``ScaledDotProductAttention``."""
        for layer in self.layers:
            states = layer(states, mask)
        return states


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the encoder, and a feed-forward map.

    Equation: u = LayerNorm(x + MultiHead(x, x, x)), y = LayerNorm(u + MultiHead(u, m, m)),
    z = LayerNorm(y + FFN(y)), with m = states of the encoder.

    Source: vaswani2017attention, section 3.1.
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int) -> None:
        """One layer of a decoder."""
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.attention_norm = nn.LayerNorm(d_model)
        self.cross_attention = MultiHeadAttention(d_model, num_heads)
        self.cross_attention_norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_ff)
        self.feed_forward_norm = nn.LayerNorm(d_model)

    def forward(
        self,
        states: torch.Tensor,
        memory: torch.Tensor,
        mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, T, d) of the target and (B, S, d) of the encoder -> (B, T, d).

        Args:
            states: (B, T, d).
            memory: (B, S, d).
            mask: Over the target, (T, T) or what broadcasts to (B, h, T, T); None: causal.
            memory_mask: Over the source, what broadcasts to (B, h, T, S).
        """
        mask = causal_mask(states.shape[1], states.device) if mask is None else mask
        states = self.attention_norm(states + self.attention(states, mask))
        states = self.cross_attention_norm(states + self.cross_attention(states, memory_mask, memory))
        normal: torch.Tensor = self.feed_forward_norm(states + self.feed_forward(states))
        return normal


class Decoder(nn.Module):
    """N decoder layers, one after the other. Source: vaswani2017attention, section 3.1."""

    def __init__(self, d_model: int, num_heads: int, d_ff: int, num_layers: int) -> None:
        """``num_layers`` layers, each with numbers of its own."""
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(d_model, num_heads, d_ff) for _ in range(num_layers))

    def forward(
        self,
        states: torch.Tensor,
        memory: torch.Tensor,
        mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, T, d) -> (B, T, d); the arguments are those of ``DecoderLayer``."""
        for layer in self.layers:
            states = layer(states, memory, mask, memory_mask)
        return states


class EncoderDecoder(nn.Module):
    """The whole of the paper: token tables, positions, both stacks, and the probabilities of the next token.

    Equation: P(y_t | y_<t, X) = softmax(z_t E^T)_(y_t), with E = the token table, which both inputs and the output
    share; tokens enter as sqrt(d) E_x + PE(position).

    Training minimizes L = -1/m sum_t log P(y_t | y_<t, X) over the m tokens of the target.

    Source: vaswani2017attention, sections 3.1, 3.4 and 3.5.
    """

    def __init__(self, vocabulary: int, d_model: int, num_heads: int, d_ff: int, num_layers: int) -> None:
        """``num_layers`` layers in either stack."""
        super().__init__()
        self.d_model = d_model
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.encoder = Encoder(d_model, num_heads, d_ff, num_layers)
        self.decoder = Decoder(d_model, num_heads, d_ff, num_layers)

    def forward(
        self, source: torch.Tensor, target: torch.Tensor, source_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the token after each one of the target.

        Args:
            source: Ids (B, S).
            target: Ids (B, T), the first of them the start token.
            source_mask: (B, S), 1 for a real token.

        Returns:
            (B, T, V).
        """
        seen = None if source_mask is None else source_mask[:, None, None, :]  # (B, 1, 1, S)
        memory = self.encoder(self.embedded(source), seen)  # (B, S, d)
        states = self.decoder(self.embedded(target), memory, None, seen)  # (B, T, d)
        logits: torch.Tensor = states @ self.tokens.weight.T  # (B, T, V)
        return logits

    def embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of tokens with their positions, (B, T) -> (B, T, d)."""
        vectors: torch.Tensor = self.tokens(ids) * math.sqrt(self.d_model)
        return vectors + positional_encoding(ids.shape[1], self.d_model).to(vectors)


def causal_mask(length: int, device: torch.device | None = None) -> torch.Tensor:
    """True where a token may look: at itself and at those before it, (T, T).

    Source: vaswani2017attention, section 3.2.3.
    """
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def positional_encoding(length: int, d_model: int) -> torch.Tensor:
    """A wave of its own length in each pair of features tells where a token stands.

    Equation: PE(p, 2i) = sin(p / 10000^(2i / d)), PE(p, 2i + 1) = cos(p / 10000^(2i / d)).

    Returns:
        (T, d), in fp64.

    Source: vaswani2017attention, section 3.5.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]  # (T, 1)
    pair = torch.arange(0, d_model, 2, dtype=torch.float64)  # 2i
    angle = position / 10000 ** (pair / d_model)  # (T, d / 2)
    encoding = torch.empty(length, d_model, dtype=torch.float64)
    encoding[:, 0::2] = angle.sin()
    encoding[:, 1::2] = angle.cos()[:, : d_model // 2]
    return encoding


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How improbable the right tokens are, on average.

    Equation: L = -1/m sum_t log P(y_t | y_<t, X), P = softmax of the logits, m = tokens predicted.

    Args:
        logits: (B, T, V).
        targets: Ids (B, T); -100 where nothing is predicted, which m does not count.

    Returns:
        A scalar [nat/token].
    """
    predicted = targets != -100  # (B, T)
    log_probability = torch.log_softmax(logits[predicted], dim=-1)  # (m, V)
    right = log_probability.gather(-1, targets[predicted][:, None])  # (m, 1)
    mean: torch.Tensor = -right.mean()
    return mean
