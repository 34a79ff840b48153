"""Executed FLOP against torch's own counter, to the integer, on small eager models of each kind."""

from __future__ import annotations

import pytest

from tonne.count.flops import executed_flop
from tonne.count.parameters import parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

VOCABULARY, WIDTH, HEADS, LENGTH = 97, 24, 4, 11


class Attention(nn.Module):
    def __init__(self, kv_heads, head_width, causal, bias):
        super().__init__()
        self.kv_heads, self.head_width, self.causal = kv_heads, head_width, causal
        self.query = nn.Linear(WIDTH, HEADS * head_width, bias)
        self.key = nn.Linear(WIDTH, kv_heads * head_width, bias)
        self.value = nn.Linear(WIDTH, kv_heads * head_width, bias)
        self.output = nn.Linear(HEADS * head_width, WIDTH, bias)

    def split(self, states, heads):
        parts = states.view(len(states), heads, self.head_width).transpose(0, 1)  # (H, T, D)
        return parts.repeat_interleave(HEADS // heads, 0)

    def forward(self, states, memory=None):
        seen = states if memory is None else memory
        query = self.split(self.query(states), HEADS)
        key, value = (self.split(linear(seen), self.kv_heads) for linear in (self.key, self.value))
        scores = query @ key.transpose(1, 2)  # (H, T, S): the whole square, masked afterwards
        if self.causal:
            scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), float("-inf"))
        mixed = scores.softmax(-1) @ value
        return self.output(mixed.transpose(0, 1).reshape(len(states), -1))


class LatentAttention(nn.Module):
    """Keys and values from one latent vector of 6, queries from one of 10; widths 4 rotary, 5 plain, 7 value."""

    def __init__(self):
        super().__init__()
        self.query_down, self.query_up = nn.Linear(WIDTH, 10, False), nn.Linear(10, HEADS * (5 + 4), False)
        self.down, self.up = nn.Linear(WIDTH, 6 + 4, False), nn.Linear(6, HEADS * (5 + 7), False)
        self.query_norm, self.norm = nn.RMSNorm(10), nn.RMSNorm(6)
        self.output = nn.Linear(HEADS * 7, WIDTH, False)

    def forward(self, states, memory=None):
        length = len(states)
        query = self.query_up(self.query_norm(self.query_down(states))).view(length, HEADS, 9).transpose(0, 1)
        latent, rotary = self.down(states).split([6, 4], -1)
        plain, value = self.up(self.norm(latent)).view(length, HEADS, 12).transpose(0, 1).split([5, 7], -1)
        key = torch.cat([plain, rotary.expand(HEADS, length, 4)], -1)
        mixed = (query @ key.transpose(1, 2)).softmax(-1) @ value
        return self.output(mixed.transpose(0, 1).reshape(length, -1))


class FeedForward(nn.Module):
    def __init__(self, inner, gated, bias):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, inner, bias), nn.Linear(inner, WIDTH, bias)
        self.gate = nn.Linear(WIDTH, inner, bias) if gated else None

    def forward(self, states):
        up = self.up(states)
        return self.down(up.relu() if self.gate is None else self.gate(states).relu() * up)


class Experts(nn.Module):
    def __init__(self, count, per_token, shared, inner):
        super().__init__()
        self.per_token = per_token
        self.router = nn.Linear(WIDTH, count, False)
        self.experts = nn.ModuleList(FeedForward(inner, True, False) for _ in range(count))
        self.shared = nn.ModuleList(FeedForward(inner, True, False) for _ in range(shared))

    def forward(self, states):
        weights, chosen = self.router(states).softmax(-1).topk(self.per_token)
        mixed = sum((expert(states) for expert in self.shared), torch.zeros_like(states))
        for index, expert in enumerate(self.experts):
            token, place = (chosen == index).nonzero(as_tuple=True)
            if len(token):
                mixed = mixed.index_add(0, token, weights[token, place, None] * expert(states[token]))
        return mixed


class Layer(nn.Module):
    def __init__(self, attention, feed_forward, cross=None, norm=nn.LayerNorm):
        super().__init__()
        self.attention, self.feed_forward, self.cross = attention, feed_forward, cross
        self.norms = nn.ModuleList(norm(WIDTH) for _ in range(2 if cross is None else 3))

    def forward(self, states, memory=None):
        states = states + self.attention(self.norms[0](states))
        if self.cross is not None:
            states = states + self.cross(self.norms[2](states), memory)
        return states + self.feed_forward(self.norms[1](states))


class Model(nn.Module):
    """Stacks of layers under one table; a final norm where it is given."""

    def __init__(self, *stacks, norm=None, tied=True, pooler=False):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.stacks = nn.ModuleList(nn.ModuleList(stack) for stack in stacks)
        self.final = nn.ModuleList(norm(WIDTH) for _ in stacks) if norm else [nn.Identity() for _ in stacks]
        self.head = None if tied else nn.Linear(WIDTH, VOCABULARY, False)
        self.pooler = nn.Linear(WIDTH, WIDTH) if pooler else None

    def forward(self, *lengths, predicted, recomputed=False):
        memory = None
        for stack, final, length in zip(self.stacks, self.final, lengths, strict=True):
            states = self.table(torch.arange(length))
            for layer in stack:
                states = checkpoint(layer, states, memory, use_reentrant=False) if recomputed else layer(states, memory)
            memory = final(states)
        table = self.table.weight if self.head is None else self.head.weight
        loss = nn.functional.linear(memory[:predicted], table).logsumexp(-1).sum()
        return loss if self.pooler is None else loss + self.pooler(memory[:1]).sum()


def counted_flop(model, *lengths, predicted, recomputed=False):
    torch.manual_seed(0)
    with FlopCounterMode(display=False) as counter, set_checkpoint_early_stop(False):
        model(*lengths, predicted=predicted, recomputed=recomputed).backward()
    return counter.get_total_flops()


def learned_numbers(model):
    return sum(weight.numel() for weight in model.parameters())


def plain_layer(causal, cross=False, bias=True):
    other = Attention(HEADS, 6, False, bias) if cross else None
    return Layer(Attention(HEADS, 6, causal, bias), FeedForward(50, False, bias), other)


SHAPE = {"width": WIDTH, "heads": HEADS, "feed_forward_width": 50, "vocabulary": VOCABULARY}


def test_decoder():
    model = Model([plain_layer(causal=True) for _ in range(3)], norm=nn.LayerNorm)
    architecture = Architecture(kind="decoder", layers=3, **SHAPE)
    sequence = Sequence(decoder_length=LENGTH, predicted=LENGTH)
    assert executed_flop(architecture, sequence) == counted_flop(model, LENGTH, predicted=LENGTH)
    assert parameters(architecture) == learned_numbers(model)


def test_decoder_under_full_recomputation():
    model = Model([plain_layer(causal=True) for _ in range(3)], norm=nn.LayerNorm)
    architecture = Architecture(kind="decoder", layers=3, **SHAPE)
    sequence = Sequence(decoder_length=LENGTH, predicted=LENGTH)
    counted = counted_flop(model, LENGTH, predicted=LENGTH, recomputed=True)
    assert executed_flop(architecture, sequence, recomputation="full") == counted


def test_grouped_heads_gated_untied():
    layers = [Layer(Attention(2, 8, True, False), FeedForward(40, True, False), norm=nn.RMSNorm) for _ in range(2)]
    model = Model(layers, norm=nn.RMSNorm, tied=False)
    fields = SHAPE | {"kv_heads": 2, "head_width": 8, "feed_forward": "gated", "feed_forward_width": 40}
    architecture = Architecture(kind="decoder", layers=2, norm="rms", bias=False, tied_embeddings=False, **fields)
    sequence = Sequence(decoder_length=LENGTH, predicted=LENGTH)
    assert executed_flop(architecture, sequence) == counted_flop(model, LENGTH, predicted=LENGTH)
    assert parameters(architecture) == learned_numbers(model)


def test_encoder_that_predicts_two_positions_and_pools():
    model = Model([plain_layer(causal=False) for _ in range(2)], pooler=True)
    architecture = Architecture(kind="encoder", layers=2, pooler=True, **SHAPE)
    sequence = Sequence(encoder_length=LENGTH, predicted=2, pooled=1)
    assert executed_flop(architecture, sequence) == counted_flop(model, LENGTH, predicted=2)
    assert parameters(architecture) == learned_numbers(model)


def test_encoder_decoder_with_two_lengths():
    encoder = [plain_layer(causal=False) for _ in range(2)]
    model = Model(encoder, [plain_layer(causal=True, cross=True) for _ in range(3)])
    architecture = Architecture(kind="encoder-decoder", encoder_layers=2, decoder_layers=3, **SHAPE)
    sequence = Sequence(encoder_length=13, decoder_length=7, predicted=7)
    assert executed_flop(architecture, sequence) == counted_flop(model, 13, 7, predicted=7)
    assert parameters(architecture) == learned_numbers(model)


def test_experts_with_a_dense_first_layer_and_a_shared_expert():
    dense = Layer(Attention(HEADS, 6, True, False), FeedForward(50, True, False), norm=nn.RMSNorm)
    sparse = [Layer(Attention(HEADS, 6, True, False), Experts(5, 2, 1, 14), norm=nn.RMSNorm) for _ in range(2)]
    model = Model([dense, *sparse], norm=nn.RMSNorm)
    experts = {"count": 5, "per_token": 2, "shared": 1, "width": 14, "dense_layers": 1}
    fields = SHAPE | {"feed_forward": "gated", "norm": "rms", "bias": False}
    architecture = Architecture(kind="decoder", layers=3, experts=experts, **fields)
    sequence = Sequence(decoder_length=LENGTH, predicted=LENGTH)
    assert executed_flop(architecture, sequence) == counted_flop(model, LENGTH, predicted=LENGTH)
    assert parameters(architecture) == learned_numbers(model)


def test_latent_attention():
    model = Model([Layer(LatentAttention(), FeedForward(50, True, False), norm=nn.RMSNorm)], norm=nn.RMSNorm)
    latent = {"kv_rank": 6, "query_rank": 10, "rotary_width": 4, "plain_width": 5, "value_width": 7}
    fields = SHAPE | {"feed_forward": "gated", "norm": "rms", "bias": False}
    architecture = Architecture(kind="decoder", layers=1, latent_attention=latent, **fields)
    sequence = Sequence(decoder_length=LENGTH, predicted=LENGTH)
    assert executed_flop(architecture, sequence) == counted_flop(model, LENGTH, predicted=LENGTH)
    assert parameters(architecture) == learned_numbers(model)
