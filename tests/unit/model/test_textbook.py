"""The readable twin: its formulas worked out by hand, and the fast path equal to it."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from tonne.count.parameters import parameters  # noqa: E402
from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.textbook import (  # noqa: E402
    Encoder,
    EncoderDecoder,
    MultiHeadAttention,
    ScaledDotProductAttention,
    causal_mask,
    cross_entropy,
    positional_encoding,
)

TWIN = {
    "width": 32,
    "heads": 4,
    "feed_forward_width": 48,
    "activation": "relu",
    "norm_position": "post",
    "final_norm": False,
}


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def test_attention_weighs_values_by_hand():
    # d_k = 4: scores are q k / 2. q = (2, 0, 0, 0) fits k1 = (2 ln 3 / 2, 0, 0, 0) with ln 3, k2 = 0 with 0:
    # weights 3 / 4 and 1 / 4, so the mean of the values 8 and 4 is 7
    query, key = exact([[2, 0, 0, 0]]), exact([[math.log(3), 0, 0, 0], [0, 5, 0, 0]])
    mixed = ScaledDotProductAttention(4)(query, key, exact([[8], [4]]))
    assert mixed.item() == pytest.approx(7.0, abs=1e-12)


def test_attention_does_not_see_what_is_masked():
    query, key, value = exact([[1, 0]]), exact([[9, 9], [0, 0]]), exact([[5], [-3]])
    assert ScaledDotProductAttention(2)(query, key, value, torch.tensor([[0, 1]])).item() == -3.0


def test_a_causal_mask_looks_back_only():
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_positions_are_waves():
    # d = 4: features sin p, cos p, sin(p / 100), cos(p / 100)
    row = positional_encoding(3, 4)[2].tolist()
    assert row == pytest.approx([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)], abs=1e-15)


def test_heads_split_the_width():
    with pytest.raises(DescriptionError, match=r"d_model=510 cannot be split over num_heads=8.*e\.g\. 504"):
        MultiHeadAttention(510, 8)


def test_the_papers_encoder_has_as_many_numbers_as_count_says():
    # a layer: 4 matrices 512 x 512 with biases, 2 x 512 x 2048 with 2048 + 512 biases, 2 norms of 2 x 512
    layer = 4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 4 * 512
    assert 6 * layer == 18_914_304
    described = Architecture(
        kind="encoder", layers=6, width=512, heads=8, feed_forward_width=2048, activation="relu", positions="none"
    )
    with torch.device("meta"):
        twin = Encoder(512, 8, 2048, 6)
    assert sum(p.numel() for p in twin.parameters()) == parameters(described) == 18_914_304
    assert sum(p.numel() for p in Transformer(described, device="meta").parameters()) == 18_914_304


def test_cross_entropy_by_hand():
    # P(right) = 3 / 4 at the first place and 1 / 2 at the second; the third predicts nothing
    logits = exact([[[math.log(3), 0.0], [1.0, 1.0], [7.0, 0.0]]])
    loss = cross_entropy(logits, torch.tensor([[0, 1, -100]]))
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2, abs=1e-12)


def copy_layer(fast, twin):
    """The twin's weights into a fast layer."""
    pairs = [(fast.attention.query_key_value, twin.attention.qkv), (fast.attention.output, twin.attention.output)]
    pairs += [(fast.attention_norm, twin.attention_norm), (fast.feed_forward_norm, twin.feed_forward_norm)]
    pairs += [(fast.feed_forward.up, twin.feed_forward.inner), (fast.feed_forward.down, twin.feed_forward.outer)]
    if fast.cross:
        pairs += [(fast.cross_attention.output, twin.cross_attention.output)]
        pairs += [(fast.cross_attention_norm, twin.cross_attention_norm)]
        for name in ("weight", "bias"):
            theirs = getattr(twin.cross_attention.qkv, name)
            getattr(fast.cross_attention.query, name).copy_(theirs[:32])
            getattr(fast.cross_attention.key_value, name).copy_(theirs[32:])
    for ours, theirs in pairs:
        ours.load_state_dict(theirs.state_dict())


def twins_of_both_kinds():
    torch.manual_seed(0)
    twin = EncoderDecoder(61, 32, 4, 48, 3).double()
    described = Architecture(
        kind="encoder-decoder",
        encoder_layers=3,
        decoder_layers=3,
        vocabulary=61,
        positions="sinusoidal",
        embedding_scale=math.sqrt(32),
        **TWIN,
    )
    fast = Transformer(described, dtype=torch.float64)
    with torch.no_grad():
        fast.embedding.tokens.weight.copy_(twin.tokens.weight)
        for side in ("encoder", "decoder"):
            for ours, theirs in zip(getattr(fast, side).layers, getattr(twin, side).layers, strict=True):
                copy_layer(ours, theirs)
    return fast, twin


def test_the_fast_path_gives_the_twins_numbers():
    fast, twin = twins_of_both_kinds()
    source, target = torch.randint(0, 61, (3, 9)), torch.randint(0, 61, (3, 7))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 8 + [0]])
    ours, theirs = fast.logits(target, source=source, source_mask=mask), twin(source, target, mask)
    assert (ours - theirs).abs().max() <= 1e-12
    labels = torch.randint(0, 61, (3, 7))
    labels[1, 3:] = -100
    loss = fast.loss(target, labels, source=source, source_mask=mask)
    own = cross_entropy(theirs, labels)
    assert abs(loss.item() - own.item()) <= 1e-12
    loss.backward()
    own.backward()
    for ours, theirs in zip(fast.decoder.layers, twin.decoder.layers, strict=True):
        assert (ours.feed_forward.up.weight.grad - theirs.feed_forward.inner.weight.grad).abs().max() <= 1e-12
        assert (ours.attention.query_key_value.weight.grad - theirs.attention.qkv.weight.grad).abs().max() <= 1e-12
    assert (fast.embedding.tokens.weight.grad - twin.tokens.weight.grad).abs().max() <= 1e-12


def test_the_fast_encoder_without_a_vocabulary_gives_the_twins_numbers():
    torch.manual_seed(1)
    twin = Encoder(32, 4, 48, 2).double()
    fast = Transformer(Architecture(kind="encoder", layers=2, positions="none", **TWIN), dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(fast.encoder.layers, twin.layers, strict=True):
            copy_layer(ours, theirs)
    vectors = torch.randn(2, 6, 32, dtype=torch.float64)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    theirs = twin(vectors, mask[:, None, None, :])
    assert (fast.states(vectors, mask) - theirs)[mask.bool()].abs().max() <= 1e-12
    assert (fast.states(vectors) - twin(vectors)).abs().max() <= 1e-12
