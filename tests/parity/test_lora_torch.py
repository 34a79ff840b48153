"""Executed FLOP of LoRA and of frozen layers against torch's own counter, to the integer, on small eager models."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import pytest

from tonne.count.finetuning import Kernel, Learning, trainable_parameters, training_flop
from tonne.count.sequence import Sequence
from tonne.describe.adapters import Lora
from tonne.describe.architecture import Architecture

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.slow  # a hundred models, each run forward and backward

EAGER = runpy.run_path(str(Path(__file__).with_name("test_flops_torch.py")))  # the small models, and the counter
Attention, LatentAttention, FeedForward = EAGER["Attention"], EAGER["LatentAttention"], EAGER["FeedForward"]
Experts, Layer, Model, plain_layer = EAGER["Experts"], EAGER["Layer"], EAGER["Model"], EAGER["plain_layer"]
SHAPE, WIDTH, HEADS, LENGTH, counted_flop = (
    EAGER[name] for name in ("SHAPE", "WIDTH", "HEADS", "LENGTH", "counted_flop")
)
SQUARE = Kernel(square=True)
RANK = 3
TARGETS = ("query", "key", "value", "output", "feed_forward")
NAMES = {"up": "feed_forward", "gate": "feed_forward", "down": "feed_forward"}
LATENT_NAMES = {"query_down": "query", "query_up": "query", "down": "key", "up": "key", "output": "output"}
SUBSETS = [subset for size in (1, 2, 5) for subset in itertools.combinations(TARGETS, size)]


class Adapted(nn.Module):
    """A linear and its low-rank adapter."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.into = nn.Linear(linear.in_features, RANK, False)
        self.out = nn.Linear(RANK, linear.out_features, False)

    def forward(self, states):
        return self.linear(states) + self.out(self.into(states))


class ParallelLayer(Layer):
    """Attention and feed-forward block read the same norm."""

    def forward(self, states, memory=None):
        seen = self.norms[0](states)
        return states + self.attention(seen) + self.feed_forward(seen)


class PostLayer(Layer):
    """Norms after each branch was added."""

    def forward(self, states, memory=None):
        states = self.norms[0](states + self.attention(states))
        if self.cross is not None:
            states = self.norms[2](states + self.cross(states, memory))
        return self.norms[1](states + self.feed_forward(states))


def with_adapters(model, lora):
    """The model frozen, with an adapter in the place of each target."""
    model.requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(module, Experts) and not lora.experts:
            continue
        names = LATENT_NAMES if isinstance(module, LatentAttention) else NAMES | {name: name for name in TARGETS}
        inside = {id(m) for m in model.modules() if isinstance(m, Experts) for m in m.modules()}
        for name, child in list(module.named_children()):
            if not isinstance(child, nn.Linear) or name not in names:
                continue
            if id(module) in inside and not lora.experts:
                continue
            if names[name] in lora.targets or (
                names[name] == "key" and names is LATENT_NAMES and "value" in lora.targets
            ):
                setattr(module, name, Adapted(child))
    return model


def frozen(model, layers):
    """The model with its table and its first layers frozen; a norm of an encoder without layers that learn too."""
    model.table.requires_grad_(False)
    for index, stack in enumerate(model.stacks):
        for layer in list(stack)[:layers]:
            layer.requires_grad_(False)
        if layers >= len(stack) and index < len(model.stacks) - 1:
            model.final[index].requires_grad_(False)
        layers = max(layers - len(stack), 0)
    return model


def learned(model):
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def check(architecture, sequence, model, learning, *lengths, recomputed=False):
    kernel = Kernel(square=True, recomputation="full") if recomputed else SQUARE
    counted = counted_flop(model, *lengths, predicted=sequence.predicted, recomputed=recomputed)
    assert training_flop(architecture, sequence, learning, kernel) == counted
    assert trainable_parameters(architecture, learning) == learned(model)


DECODER = Architecture(kind="decoder", layers=3, **SHAPE)
ENCODER = Architecture(kind="encoder", layers=3, final_norm=False, **SHAPE)
BOTH = Architecture(kind="encoder-decoder", encoder_layers=2, decoder_layers=3, norm_position="pre", **SHAPE)
ENTERS = Sequence(decoder_length=LENGTH, predicted=LENGTH)


def decoder(layer=Layer, norm=nn.LayerNorm):
    layers = [layer(Attention(HEADS, 6, True, True), FeedForward(50, False, True)) for _ in range(3)]
    return Model(layers, norm=norm)


@pytest.mark.parametrize("targets", SUBSETS, ids="-".join)
def test_decoder_with_adapters(targets):
    lora = Lora(rank=RANK, targets=targets)
    check(DECODER, ENTERS, with_adapters(decoder(), lora), Learning(lora=lora), LENGTH)


@pytest.mark.parametrize("targets", [("query", "value"), TARGETS], ids="-".join)
def test_decoder_with_adapters_under_full_recomputation(targets):
    lora = Lora(rank=RANK, targets=targets)
    check(DECODER, ENTERS, with_adapters(decoder(), lora), Learning(lora=lora), LENGTH, recomputed=True)


@pytest.mark.parametrize("targets", SUBSETS, ids="-".join)
def test_grouped_heads_gated_untied(targets):
    layers = [Layer(Attention(2, 8, True, False), FeedForward(40, True, False), norm=nn.RMSNorm) for _ in range(2)]
    fields = SHAPE | {"kv_heads": 2, "head_width": 8, "feed_forward": "gated", "feed_forward_width": 40}
    architecture = Architecture(kind="decoder", layers=2, norm="rms", bias=False, tied_embeddings=False, **fields)
    lora = Lora(rank=RANK, targets=targets)
    model = with_adapters(Model(layers, norm=nn.RMSNorm, tied=False), lora)
    check(architecture, ENTERS, model, Learning(lora=lora), LENGTH)


@pytest.mark.parametrize("targets", [("query", "value"), ("feed_forward",), TARGETS], ids="-".join)
def test_parallel_blocks(targets):
    layers = [ParallelLayer(Attention(HEADS, 6, True, True), FeedForward(50, False, True)) for _ in range(2)]
    for layer in layers:
        del layer.norms[1]
    fields = SHAPE | {"parallel_blocks": True, "shared_block_norm": True}
    architecture = Architecture(kind="decoder", layers=2, **fields)
    lora = Lora(rank=RANK, targets=targets)
    check(architecture, ENTERS, with_adapters(Model(layers, norm=nn.LayerNorm), lora), Learning(lora=lora), LENGTH)


@pytest.mark.parametrize("targets", SUBSETS, ids="-".join)
def test_encoder_decoder_with_adapters(targets):
    encoder = [plain_layer(causal=False) for _ in range(2)]
    model = Model(encoder, [plain_layer(causal=True, cross=True) for _ in range(3)], norm=nn.LayerNorm)
    sequence = Sequence(encoder_length=13, decoder_length=7, predicted=7)
    lora = Lora(rank=RANK, targets=targets)
    check(BOTH, sequence, with_adapters(model, lora), Learning(lora=lora), 13, 7)


def test_decoder_with_an_inner_width_of_its_own():
    lora = Lora(rank=RANK, targets=TARGETS)
    decoder = [
        Layer(Attention(HEADS, 6, True, True), FeedForward(30, False, True), Attention(HEADS, 6, False, True))
        for _ in range(3)
    ]
    model = Model([plain_layer(causal=False) for _ in range(2)], decoder, norm=nn.LayerNorm)
    sequence = Sequence(encoder_length=13, decoder_length=7, predicted=7)
    architecture = BOTH.model_copy(update={"decoder_feed_forward_width": 30})
    check(architecture, sequence, with_adapters(model, lora), Learning(lora=lora), 13, 7)


@pytest.mark.parametrize("targets", [("query", "value"), ("key",), ("output",), ("feed_forward",)], ids="-".join)
def test_latent_attention(targets):
    layers = [Layer(LatentAttention(), FeedForward(50, True, False), norm=nn.RMSNorm) for _ in range(2)]
    latent = {"kv_rank": 6, "query_rank": 10, "rotary_width": 4, "plain_width": 5, "value_width": 7}
    fields = SHAPE | {"feed_forward": "gated", "norm": "rms", "bias": False}
    architecture = Architecture(kind="decoder", layers=2, latent_attention=latent, **fields)
    lora = Lora(rank=RANK, targets=targets)
    check(architecture, ENTERS, with_adapters(Model(layers, norm=nn.RMSNorm), lora), Learning(lora=lora), LENGTH)


@pytest.mark.parametrize("dense", [0, 1])
@pytest.mark.parametrize("experts", [False, True])
@pytest.mark.parametrize("targets", [("query", "value"), ("feed_forward",), TARGETS], ids="-".join)
def test_experts(targets, experts, dense):
    lora = Lora(rank=RANK, targets=targets, experts=experts)
    shape = {"count": 4, "per_token": 4, "shared": 1, "width": 14, "dense_layers": dense}  # no expert stays unvisited
    fields = SHAPE | {"feed_forward": "gated", "norm": "rms", "bias": False}
    architecture = Architecture(kind="decoder", layers=3, experts=shape, **fields)
    blocks = [FeedForward(50, True, False) for _ in range(dense)]
    blocks += [Experts(4, 4, 1, 14) for _ in range(3 - dense)]
    layers = [Layer(Attention(HEADS, 6, True, False), block, norm=nn.RMSNorm) for block in blocks]
    if targets == ("feed_forward",) and not experts and not dense:
        with pytest.raises(ValueError, match="no linear to stand beside"):
            trainable_parameters(architecture, Learning(lora=lora))
        return
    check(architecture, ENTERS, with_adapters(Model(layers, norm=nn.RMSNorm), lora), Learning(lora=lora), LENGTH)


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_decoder_with_frozen_layers(layers, tied, recomputed):
    architecture = DECODER.model_copy(update={"tied_embeddings": tied})
    model = Model([plain_layer(causal=True) for _ in range(3)], norm=nn.LayerNorm, tied=tied)
    check(architecture, ENTERS, frozen(model, layers), Learning(frozen_layers=layers), LENGTH, recomputed=recomputed)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("pooler", [False, True])
def test_encoder_after_norm_with_frozen_layers(layers, pooler):
    if layers == 3 and not pooler:
        with pytest.raises(ValueError, match="leaves nothing that learns"):
            trainable_parameters(ENCODER, Learning(frozen_layers=3))
        return
    stack = [PostLayer(Attention(HEADS, 6, False, True), FeedForward(50, False, True)) for _ in range(3)]
    model = frozen(Model(stack, pooler=pooler), layers)
    sequence = Sequence(encoder_length=LENGTH, predicted=2, pooled=int(pooler))
    architecture = ENCODER.model_copy(update={"pooler": pooler})
    check(architecture, sequence, model, Learning(frozen_layers=layers), LENGTH)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("position", "layer"), [("pre", Layer), ("post", PostLayer)])
def test_encoder_decoder_with_frozen_layers(layers, position, layer):
    def made(cross):
        other = Attention(HEADS, 6, False, True) if cross else None
        return layer(Attention(HEADS, 6, cross, True), FeedForward(50, False, True), other)

    norm = nn.LayerNorm if position == "pre" else None
    model = Model([made(False) for _ in range(2)], [made(True) for _ in range(3)], norm=norm, tied=False)
    update = {"norm_position": position, "final_norm": norm is not None, "tied_embeddings": False}
    architecture = BOTH.model_copy(update=update)
    sequence = Sequence(encoder_length=13, decoder_length=7, predicted=7)
    check(architecture, sequence, frozen(model, layers), Learning(frozen_layers=layers), 13, 7)


def test_head_for_labels_learns_beside_the_adapters():
    lora = Lora(rank=RANK)
    architecture = Architecture(kind="encoder", layers=2, final_norm=False, task_head={"labels": 5}, **SHAPE)
    stack = [PostLayer(Attention(HEADS, 6, False, True), FeedForward(50, False, True)) for _ in range(2)]
    model = with_adapters(Model(stack), lora)
    model.pooler = nn.Linear(WIDTH, 5)
    sequence = Sequence(encoder_length=LENGTH, labelled=1)
    check(architecture, sequence, model, Learning(lora=lora), LENGTH)
