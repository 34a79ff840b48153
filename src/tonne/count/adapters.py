"""Low-rank adapters: the linears they stand beside, their numbers and their FLOP. The rank may be an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.count.layers import (
    expert_layers,
    has_cross_attention,
    shared_expert_width,
    stack_shape,
    stacks,
    stored_layers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tonne.count.sequence import Sequence
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture

Linear = tuple[int, int]  # features in, features out
Linears = tuple[Linear, ...]  # one after the other
Block = tuple[Linears, Linear]  # the matrices into the inner features (gate and up), and the one out of them


def attention_linears(architecture: Architecture) -> dict[str, Linears]:
    """The linears of one attention by target; the numbers in their matrices sum to ``attention_matrices``.

    With latent attention ``key`` holds the two linears of the latent vector, and there is no ``value``.
    """
    a, latent = architecture, architecture.latent_attention
    if latent is None:
        keys = ((a.width, a.kv_heads * a.head_width),)
        queries = a.heads * a.head_width
        return {"query": ((a.width, queries),), "key": keys, "value": keys, "output": ((queries, a.width),)}
    queries = a.heads * (latent.plain_width + latent.rotary_width)
    rank = latent.query_rank
    return {
        "query": ((a.width, queries),) if rank is None else ((a.width, rank), (rank, queries)),
        "key": (
            (a.width, latent.kv_rank + latent.rotary_width),
            (latent.kv_rank, a.heads * (latent.plain_width + latent.value_width)),
        ),
        "output": ((a.heads * latent.value_width, a.width),),
    }


def feed_forward_linears(architecture: Architecture) -> Block:
    """The linears of one dense feed-forward block."""
    a = architecture
    return _block(a.feed_forward, a.width, a.feed_forward_width)


def expert_linears(architecture: Architecture, *, shared: bool = False) -> Block:
    """The linears of one expert, or of one shared expert; of a dense block where there are none."""
    a, experts = architecture, architecture.experts
    if experts is None:
        return feed_forward_linears(a)
    inner = shared_expert_width(experts) if shared else experts.width
    return _block(experts.feed_forward or a.feed_forward, a.width, inner)


def targets_of(architecture: Architecture, lora: Lora | None) -> frozenset[str]:
    """The groups of linears that have adapters; keys and values are one group with latent attention."""
    if lora is None:
        return frozenset()
    one = architecture.latent_attention is not None
    return frozenset("key" if one and target == "value" else target for target in lora.targets)


def adapter_numbers(linears: Iterable[Linear], rank: int) -> int:
    """Numbers in the adapters beside some linears.

    Equation: sum of r (d + k), with r = rank, d and k = features into and out of a linear.

    Source: hu2021lora, section 4.
    """
    return sum(rank * (into + out) for into, out in linears)


def adapter_parts(architecture: Architecture, lora: Lora) -> dict[str, int]:
    """Numbers that the adapters learn, by part: attention, cross_attention, feed_forward, experts."""
    a = architecture
    parts = {"attention": 0, "cross_attention": 0, "feed_forward": 0, "experts": 0}
    for layers, cross in stacks(a):
        shape, stored = stack_shape(a, decoder=cross), stored_layers(a, layers)
        held = 0 if shape.experts is None else shape.experts.count
        attention, dense, experts = _layer_numbers(shape, lora, routed=held)
        sparse = expert_layers(shape, stored)
        parts["attention"] = parts["attention"] + stored * attention
        parts["cross_attention"] = parts["cross_attention"] + cross * stored * attention
        parts["feed_forward"] = parts["feed_forward"] + (stored - sparse) * dense
        parts["experts"] = parts["experts"] + sparse * experts
    return parts


def adapter_multiply_adds(architecture: Architecture, sequence: Sequence, lora: Lora, *, decoder: bool) -> int:
    """Multiply-adds of one forward pass through the adapters of one stack."""
    a, length = stack_shape(architecture, decoder=decoder), sequence.stack_length(decoder=decoder)
    layers = stacks(a)[-1 if decoder else 0][0]
    met = 0 if a.experts is None else a.experts.per_token
    attention, dense, experts = _layer_numbers(a, lora, routed=met)
    sparse = expert_layers(a, layers)
    work = length * (layers * attention + (layers - sparse) * dense + sparse * experts)
    if has_cross_attention(a) and decoder:
        chosen, linears = targets_of(a, lora), attention_linears(a)
        for name, group in linears.items():
            tokens = sequence.encoder_length if name in ("key", "value") else length
            work = work + (name in chosen) * layers * tokens * adapter_numbers(group, lora.rank)
    return work


def _layer_numbers(a: Architecture, lora: Lora, *, routed: int) -> tuple[int, int, int]:
    """Numbers in the adapters of one attention, one dense block, and ``routed`` experts with the shared ones."""
    chosen = targets_of(a, lora)
    attention = [linear for name, group in attention_linears(a).items() if name in chosen for linear in group]
    dense = experts = 0
    if "feed_forward" in chosen:
        dense = _block_numbers(feed_forward_linears(a), lora.rank)
        if lora.experts and a.experts is not None:
            experts = routed * _block_numbers(expert_linears(a), lora.rank)
            experts = experts + a.experts.shared * _block_numbers(expert_linears(a, shared=True), lora.rank)
    return adapter_numbers(attention, lora.rank), dense, experts


def _block(shape: str, width: int, inner: int) -> Block:
    return ((width, inner),) * (2 if shape == "gated" else 1), (inner, width)


def _block_numbers(block: Block, rank: int) -> int:
    into, out = block
    return adapter_numbers((*into, out), rank)
