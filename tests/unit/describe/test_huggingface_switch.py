"""config.json of Switch Transformers: counts worked out by hand."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import forward_flop_parts
from tonne.count.layers import expert_layers, stack_shape
from tonne.count.memory import feed_forward_states
from tonne.count.parameters import active_parameters, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

TINY = {
    "vocab_size": 10,
    "d_model": 8,
    "d_kv": 3,
    "d_ff": 5,
    "num_heads": 2,
    "num_layers": 4,
    "num_decoder_layers": 3,
    "num_sparse_encoder_layers": 2,  # layers 1 and 3
    "num_sparse_decoder_layers": 3,  # all
    "num_experts": 6,
    "relative_attention_num_buckets": 7,
}
ATTENTION = 4 * 8 * 6
BLOCK = 2 * 8 * 5
ROUTER = 8 * 6


@pytest.fixture
def read(tmp_path):
    def architecture(**fields):
        text = json.dumps({"model_type": "switch_transformers", **fields})
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        return Architecture.from_huggingface(tmp_path)

    return architecture


def test_two_stacks_by_hand(read):
    a = read(**TINY)
    sparse = ROUTER + 6 * BLOCK
    encoder = 4 * (ATTENTION + 2 * 8) + 2 * BLOCK + 2 * sparse
    decoder = 3 * (2 * ATTENTION + 3 * 8) + 3 * sparse
    outer = 10 * 8 + 2 * (8 + 7 * 2)  # one table for all; a norm and a table of relative positions a stack
    assert parameters(a) == encoder + decoder + outer == 4980
    assert active_parameters(a) == 4980 - 5 * 5 * BLOCK
    assert parameters(read(**TINY, router_bias=True)) == 4980 + 5 * 6
    assert parameters(read(**TINY, tie_word_embeddings=False)) == 4980 + 3 * 10 * 8  # transformers holds four tables


def test_work_of_two_stacks_by_hand(read):
    parts = forward_flop_parts(read(**TINY), Sequence(encoder_length=7, decoder_length=5, predicted=5))
    assert parts["feed_forward"] == 2 * 7 * 2 * BLOCK
    assert parts["experts"] == 2 * (7 * 2 + 5 * 3) * BLOCK
    assert parts["router"] == 2 * (7 * 2 + 5 * 3) * ROUTER


def test_stacks_have_experts_where_they_say(read):
    a = read(**TINY)
    assert [expert_layers(stack_shape(a, decoder=False), layers) for layers in range(5)] == [0, 0, 1, 1, 2]
    assert [expert_layers(stack_shape(a, decoder=True), layers) for layers in range(4)] == [0, 1, 2, 3]
    assert feed_forward_states(a) == 5  # each block is as wide
    assert read(**TINY | {"num_decoder_layers": 6}).decoder_experts is None  # the encoder's places fit it as well


def test_encoder_alone_has_no_decoder(read):
    a = read(**TINY, architectures=["SwitchTransformersEncoderModel"])
    assert a.kind == "encoder"
    assert parameters(a) == 4 * (ATTENTION + 2 * 8) + 2 * BLOCK + 2 * (ROUTER + 6 * BLOCK) + 10 * 8 + 8 + 7 * 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dense_act_fn": "gated-gelu"}, ["dense_act_fn", "gated-gelu", "relu"]),
        ({"num_experts": 0}, ["num_experts = 0", "1 or more"]),
        ({"num_sparse_encoder_layers": None}, ["num_sparse_encoder_layers"]),
        ({"architectures": ["SwitchTransformersForQuestionAnswering"]}, ["not counted", "seq2seq"]),
    ],
)
def test_bad_values_are_named(read, fields, words):
    with pytest.raises((DescriptionError, ValueError)) as error:
        read(**fields)
    for word in ("config.json", *words):
        assert word in str(error.value)
