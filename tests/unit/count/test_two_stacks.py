"""An encoder and a decoder of unequal shape, and what a family adds, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from tonne.count.flops import executed_flop, forward_flop_parts
from tonne.count.inference import decode_weights_bytes
from tonne.count.layers import stack_shape
from tonne.count.memory import feed_forward_states, layer_activation_bytes
from tonne.count.parameters import matmul_parameters, parameter_parts, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

SHAPE = {"width": 8, "heads": 2, "feed_forward_width": 16, "vocabulary": 10}
BOTH = {"kind": "encoder-decoder", "encoder_layers": 3, "decoder_layers": 2, **SHAPE}
ATTENTION = 4 * (64 + 8)


def test_a_decoder_with_its_own_feed_forward_width():
    a = Architecture(decoder_feed_forward_width=5, decoder_heads=4, **BOTH)
    parts = parameter_parts(a)
    assert parts["feed_forward"] == 3 * (2 * 8 * 16 + 16 + 8) + 2 * (2 * 8 * 5 + 5 + 8)
    assert parts["attention"] == (3 + 2) * ATTENTION
    assert parts["cross_attention"] == 2 * ATTENTION  # as wide in all, with any number of heads
    assert matmul_parameters(a) == 7 * 256 + 3 * 256 + 2 * 80 + 10 * 8
    flop = forward_flop_parts(a, Sequence(encoder_length=7, decoder_length=3, predicted=3))
    assert flop["feed_forward"] == 2 * (7 * 3 * 256 + 3 * 2 * 80)
    assert flop["attention_scores"] == 2 * 16 * (3 * 49 + 2 * 6)
    assert flop["cross_attention"] == 2 * 2 * (3 * 128 + 7 * 128)


def test_shape_of_one_stack():
    a = Architecture(decoder_feed_forward_width=5, decoder_heads=4, **BOTH)
    own = stack_shape(a, decoder=True)
    assert (own.heads, own.kv_heads, own.head_width, own.feed_forward_width) == (4, 4, 2, 5)
    assert stack_shape(a, decoder=False) is a
    equal = Architecture(**BOTH)
    assert stack_shape(equal, decoder=True) is equal


def test_memory_and_decoding_see_the_decoder():
    a = Architecture(decoder_feed_forward_width=5, decoder_heads=4, **BOTH)
    equal = Architecture(**BOTH)
    assert feed_forward_states(a) == (3 * 16 + 2 * 5) / 5
    more = layer_activation_bytes(a, 7, width_bytes=2, scores=True) - layer_activation_bytes(
        equal, 7, width_bytes=2, scores=True
    )
    heads, inner = (3 * 2 + 2 * 4) / 5 - 2, (3 * 16 + 2 * 5) / 5 - 16
    assert more == pytest.approx(1.5 * 5 * heads * 7 + 2 * 2 * inner)
    assert decode_weights_bytes(equal, 1) - decode_weights_bytes(a, 1) == 2 * 2 * 2 * 8 * (16 - 5)


def test_heads_that_do_not_share_the_width_are_an_error():
    with pytest.raises(ValidationError, match=r"decoder_heads=3 cannot share heads x head_width = 8 .* divisor of 8"):
        Architecture(decoder_heads=3, **BOTH)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "encoder", "layers": 2, "decoder_heads": 4}, "decoder_heads has no meaning here"),
        ({"kind": "decoder", "layers": 2, "decoder_vocabulary": 4}, "decoder_vocabulary has no meaning here"),
        ({"kind": "encoder", "layers": 2, "distinct_layers": 2}, "Give shared_layers = true, or leave distinct_layers"),
        ({"kind": "encoder", "layers": 2, "convolution_groups": 3}, "convolution_groups=3 does not divide width=8"),
    ],
)
def test_what_does_not_fit_together_is_an_error(fields, message):
    with pytest.raises(ValidationError, match=message):
        Architecture(**SHAPE, **fields)


def test_arrays_of_a_decoders_width():
    a = Architecture(decoder_feed_forward_width=5, **BOTH)
    wider = Architecture(decoder_feed_forward_width=11, **BOTH)
    both = a.model_copy(update={"decoder_feed_forward_width": np.array([5.0, 11.0])})
    assert list(parameters(both)) == [parameters(a), parameters(wider)]
    sequence = Sequence(encoder_length=7, decoder_length=3, predicted=3)
    assert list(executed_flop(both, sequence)) == [executed_flop(a, sequence), executed_flop(wider, sequence)]
    assert list(feed_forward_states(both)) == [feed_forward_states(a), feed_forward_states(wider)]


def test_token_tables_of_their_own():
    shared = parameters(Architecture(**BOTH))
    apart = Architecture(token_tables=2, decoder_vocabulary=6, **BOTH)
    assert parameters(apart) == shared + 6 * 8
    untied = Architecture(token_tables=3, tied_embeddings=False, **BOTH)
    assert parameters(untied) == shared + 2 * 80 + 80
    assert forward_flop_parts(apart, Sequence(encoder_length=7, decoder_length=3, predicted=3))["head"] == 2 * 3 * 6 * 8


def test_a_stored_sinusoidal_table_is_one_a_stack():
    plain = Architecture(max_positions=9, **BOTH)
    stored = Architecture(max_positions=9, stored_positions=True, **BOTH)
    assert parameters(stored) - parameters(plain) == 2 * 9 * 8


def test_groups_of_shared_layers():
    one = Architecture(kind="encoder", layers=6, shared_layers=True, **SHAPE)
    three = Architecture(kind="encoder", layers=6, shared_layers=True, distinct_layers=3, **SHAPE)
    layer = ATTENTION + 2 * 8 * 16 + 16 + 8 + 2 * 16
    assert parameters(three) - parameters(one) == 2 * layer
    assert matmul_parameters(three) == matmul_parameters(one) == 6 * 512 + 80


def test_a_convolution_after_the_first_layer():
    bare = Architecture(kind="encoder", layers=2, **SHAPE)
    grouped = Architecture(kind="encoder", layers=2, convolution_width=3, convolution_groups=2, **SHAPE)
    assert parameter_parts(grouped)["convolution"] == 3 * 64 // 2 + 8 + 16
    sequence = Sequence(encoder_length=7, predicted=1)
    assert executed_flop(grouped, sequence) - executed_flop(bare, sequence) == 6 * 7 * 96


def test_products_with_a_table_of_relative_positions():
    fields = {"kind": "encoder", "layers": 2, "relative_rows": 12, **SHAPE}
    own = {"relative_projections": 2, "relative_projection_biases": 1}
    both = Architecture(**fields, **own)
    assert parameter_parts(both)["positions"] == 12 * 8 + 2 * (2 * 64 + 8)
    one = Architecture(**fields, relative_products=1)
    sequence = Sequence(encoder_length=7)
    asked = forward_flop_parts(one, sequence)["attention_scores"]
    done = forward_flop_parts(one, sequence, square=True)["attention_scores"]
    assert asked == 2 * 2 * 49 * 2 * (2 * 4 + 4)
    assert done == 2 * 2 * 2 * (49 * 8 + 7 * 12 * 4)  # all twelve rows, then those that fit


def test_cross_attention_that_nothing_reads():
    bare = Architecture(kind="decoder", layers=2, **SHAPE)
    idle = Architecture(kind="decoder", layers=2, idle_cross_attention=True, **SHAPE)
    assert parameters(idle) - parameters(bare) == 2 * (ATTENTION + 16)
    sequence = Sequence(decoder_length=7, predicted=7)
    assert executed_flop(idle, sequence) == executed_flop(bare, sequence)
