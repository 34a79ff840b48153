"""The work of a step, figure by figure: by hand for small models, and beside the FLOP that `count.flops` gives."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.count.flops import SCORES, executed_flop, forward_flop_parts
from tonne.count.parameters import parameters
from tonne.count.sequence import Sequence, sequence_of
from tonne.count.step import Layout, kernel_width, step_work
from tonne.describe.architecture import Architecture

PLAIN = Architecture(
    kind="decoder", layers=2, width=64, heads=2, feed_forward_width=128, vocabulary=100, bias=False, max_positions=8
)
EIGHT = Sequence(decoder_length=8, predicted=8)
THREE = Layout(micro_batch_sequences=3)


def test_plain_decoder_by_hand():
    # three sequences of eight tokens; a layer has 4 x 64 x 64 + 2 x 64 x 128 = 32768 numbers, a head 32 features
    found = step_work(PLAIN, EIGHT, THREE)
    assert found.matrix_flop == 3 * 2 * 24 * 2 * 32768
    # products of a layer: 64 -> 192, 64 -> 64, 64 -> 128, 128 -> 64: 256 + 128 + 192 + 192 = 768 numbers a token
    assert found.matrix_numbers == 3 * (24 * 2 * 768 + 2 * 32768)
    assert found.plain_flop == 3 * 2 * 24 * 64 * 100
    # 8 x 9 / 2 pairs in each of two layers, two heads, 32 + 32 products, 3.5 passes of a flash kernel
    assert found.score_flop == 3.5 * 2 * 3 * 2 * 36 * 2 * 64
    assert found.score_numbers == 0
    assert found.score_pairs == 3.5 * 3 * 2 * 36 * 2  # of three sequences in two layers of two heads
    # norms and residuals 22 x 64, rotation of queries, keys, values 4 x 3 x 64, activation 5 x 128
    assert found.element_numbers == 24 * 2 * (22 * 64 + 4 * 192 + 5 * 128)
    assert found.logit_numbers == 9 * 24 * 100
    assert (found.layers, found.expert_layers) == (2, 0)
    assert found.weights == parameters(PLAIN) == 2 * 32768 + 64 * 100 + 5 * 2 * 64  # five norms with a bias each
    idle = ("cast_numbers", "expert_flop", "tensor_numbers", "context_numbers", "pipeline_numbers", "expert_weights")
    assert all(getattr(found, name) == 0 for name in idle)


def test_without_a_flash_kernel_the_square_is_computed_and_stored():
    found = step_work(PLAIN, EIGHT, THREE, flash_attention=False)
    assert found.score_flop == 3 * 2 * 3 * 2 * 64 * 2 * 64
    assert found.score_numbers == 18 * 3 * 2 * 64 * 2
    assert found.score_pairs == 3 * 3 * 2 * 64 * 2


def test_casts_only_where_products_run_in_low_precision():
    # attention: inputs 2 x 64, of the output 2 x 64, queries, keys and values 192; feed-forward 64 + 2 x 128
    found = step_work(PLAIN, EIGHT, THREE, low_precision=True)
    assert found.cast_numbers == 24 * 2 * 4 * (2 * 64 + 2 * 64 + 192 + 64 + 2 * 128)


def test_gated_grouped_queries_by_hand():
    grouped = PLAIN.model_copy(update={"heads": 4, "kv_heads": 1, "head_width": 16, "feed_forward": "gated"})
    found = step_work(grouped, EIGHT, THREE)
    layer = 2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 128
    assert found.matrix_flop == 3 * 2 * 24 * 2 * layer
    # 64 -> 96, 64 -> 64, 64 -> 256, 128 -> 64
    assert found.matrix_numbers == 3 * (24 * 2 * (160 + 128 + 320 + 192) + 2 * layer)
    assert found.score_flop == 3.5 * 2 * 3 * 2 * 36 * 4 * (32 + 32)  # heads of 16 are filled up to 32
    assert found.element_numbers == 24 * 2 * (22 * 64 + 4 * 96 + 8 * 128)


def test_experts_by_hand():
    experts = {"count": 8, "per_token": 2, "shared": 1, "width": 32, "router_bias": False}
    mixture = Architecture(
        kind="decoder", layers=2, width=64, heads=2, feed_forward="gated", feed_forward_width=128, vocabulary=100,
        bias=False, experts={**experts, "dense_layers": 1},
    )  # fmt: skip
    found = step_work(mixture, EIGHT, Layout(micro_batch_sequences=3, expert=4))
    expert = 3 * 64 * 32
    assert found.matrix_flop == 3 * 2 * 24 * (2 * 4 * 64 * 64 + 3 * 64 * 128 + expert)  # the dense layer, one shared
    assert found.expert_flop == 3 * 2 * 24 * 2 * expert
    assert found.plain_flop == 3 * 2 * 24 * (64 * 100 + 8 * 64)
    # two visits of a token, 64 -> 64 and 32 -> 64; two of the eight experts lie here
    assert found.expert_numbers == 3 * (48 * (64 + 64 + 32 + 64) + 2 * expert)
    assert found.permuted_numbers == 16 * 48 * 64
    assert found.biased_numbers == 0
    assert found.routed_numbers == 4 * 24 * 64
    assert (found.layers, found.expert_layers) == (2, 1)
    assert found.expert_weights == 8 / 4 * expert
    # a bias of the second product: 28 bytes a number forward and 40 backward, counted in 16-bit numbers
    biased = mixture.model_copy(update={"experts": mixture.experts.model_copy(update={"bias": True})})
    assert step_work(biased, EIGHT, Layout(micro_batch_sequences=3, expert=4)).biased_numbers == 34 * 48 * 64
    assert found.weights == parameters(mixture) - 6 * expert


def test_latent_attention_by_hand():
    latent = {"kv_rank": 16, "query_rank": 24, "rotary_width": 8, "plain_width": 24, "value_width": 16}
    a = Architecture(
        kind="decoder", layers=1, width=64, heads=2, feed_forward_width=128, vocabulary=100, latent_attention=latent
    )
    found = step_work(a, EIGHT, Layout())
    attention = 64 * (16 + 8) + 16 * 2 * (24 + 16) + 24 * (64 + 2 * 32) + 2 * 16 * 64
    assert found.matrix_flop == 3 * 2 * 8 * (attention + 2 * 64 * 128)
    assert found.score_flop == 3.5 * 2 * 36 * 2 * (32 + 32)  # queries of 24 + 8, values of 16 filled up to 32


def test_encoder_decoder_by_hand():
    both = Architecture(
        kind="encoder-decoder", encoder_layers=1, decoder_layers=2, width=64, heads=2, feed_forward_width=128,
        vocabulary=100,
    )  # fmt: skip
    found = step_work(both, Sequence(encoder_length=12, decoder_length=4, predicted=4), Layout(tensor=2))
    own, square, feed_forward = 4 * 64 * 64, 64 * 64, 2 * 64 * 128
    cross = 2 * (4 * 2 * square + 12 * 2 * square)  # queries and output over the target, keys and values the source
    assert found.matrix_flop == 3 * 2 * (12 * (own + feed_forward) + 4 * 2 * (own + feed_forward) + cross) / 2
    pairs = 12 * 12 + 2 * (4 * 5 / 2) + 2 * 4 * 12
    assert found.score_flop == 3.5 * 2 * pairs * 2 * 64 / 2
    assert found.plain_flop == 3 * 2 * 4 * 64 * 100 / 2
    # all-reduces of a ring of two, each token's state once: an encoder layer has four, a decoder layer six
    assert found.tensor_numbers == 12 * 64 * 4 + 4 * 64 * 2 * 6


@pytest.mark.parametrize(
    "preset", ["gpt-3-175b", "llama-3-70b", "mixtral-8x7b", "deepseek-v3-671b", "t5-11b", "bert-base-uncased"]
)
def test_flop_of_all_accelerators_is_what_the_count_says(preset):
    a = Architecture.preset(preset).model_copy(update={"multi_token_layers": 0})
    sequence = sequence_of(a, sequence_length=512)
    split = Layout(tensor=2, pipeline=2, context=2, expert=4 if a.experts else 1, micro_batch_sequences=3)
    found = step_work(a, sequence, split)
    parts = forward_flop_parts(a, sequence)
    products = 3 * sum(flop for part, flop in parts.items() if part not in SCORES)
    whole = 8 / 3 * (found.matrix_flop + found.expert_flop + found.plain_flop)
    assert whole == pytest.approx(products, rel=1e-12)


def test_flash_scores_are_those_of_the_executed_flop():
    # heads of 32: nothing is filled up, so 3.5 passes are three and half of one (the keys' product) again
    executed = executed_flop(PLAIN, EIGHT, flash_attention=True)
    found = step_work(PLAIN, EIGHT, Layout())
    assert found.matrix_flop + found.plain_flop + found.score_flop == executed
    again = step_work(PLAIN, EIGHT, Layout(recompute_all=1))
    whole = executed_flop(PLAIN, EIGHT, recomputation="full", flash_attention=True)
    assert again.matrix_flop + again.plain_flop + again.score_flop == whole
    square = step_work(PLAIN, EIGHT, Layout(recompute_scores=1), flash_attention=False)
    whole = executed_flop(PLAIN, EIGHT, recomputation="selective")
    assert square.matrix_flop + square.plain_flop + square.score_flop == whole


def test_a_layer_that_predicts_later_tokens_is_one_more():
    more = PLAIN.model_copy(update={"multi_token_layers": 1})
    found, parts = step_work(more, EIGHT, Layout()), forward_flop_parts(more, EIGHT)
    scores = parts["attention_scores"] * 1.5  # of three layers
    products = sum(parts.values()) - scores
    assert found.matrix_flop + found.plain_flop == 3 * products
    assert found.score_flop == 3.5 * scores
    assert found.logit_numbers == 2 * 9 * 8 * 100


@pytest.mark.parametrize("way", ["tensor", "pipeline", "context"])
def test_two_accelerators_share_the_work(way):
    alone, shared = step_work(PLAIN, EIGHT, THREE), step_work(PLAIN, EIGHT, Layout(micro_batch_sequences=3, **{way: 2}))
    for name in ("matrix_flop", "plain_flop", "score_flop", "element_numbers", "logit_numbers"):
        assert getattr(shared, name) == getattr(alone, name) / 2
    assert shared.layers == (1 if way == "pipeline" else 2)


def test_messages_of_two_accelerators_by_hand():
    tensor = step_work(PLAIN, EIGHT, Layout(micro_batch_sequences=3, tensor=2))
    # four all-reduces a layer of 24 x 64 numbers; a ring of two sends 2 (2 - 1) / 2 of them
    assert tensor.tensor_numbers == 2 * 4 * 24 * 64
    # inputs and outputs are whole on both, what lies between is split: 4 x 64 + (192 + 64 + 128 + 128) / 2
    assert tensor.matrix_numbers == 3 * (24 * 2 * (4 * 64 + 256) + 2 * 32768 / 2)
    assert tensor.weights == 32768 + 6400 / 2 + 5 * 128 / 2
    pipeline = step_work(PLAIN, EIGHT, Layout(micro_batch_sequences=3, pipeline=2, virtual_pipeline_stages=2))
    assert pipeline.pipeline_numbers == 2 * 24 * 64 * 2
    assert pipeline.weights == (2 * 32768 + 5 * 128) / 2 + 6400
    context = step_work(PLAIN, EIGHT, Layout(micro_batch_sequences=3, context=2))
    # keys and values of 12 own tokens once forward, twice backward (with their gradients), two layers of 128
    assert context.context_numbers == 3 * 12 * 2 * 128


def test_ranks_that_do_not_share_the_sequence_repeat_norms_and_residuals():
    # of two ranks each moves 22 x 64 numbers a token and layer whole, and half of the rotations and activations
    shared, whole = (step_work(PLAIN, EIGHT, Layout(tensor=2, whole_sequence=whole)) for whole in (0, 1))
    assert shared.element_numbers == 8 * 2 * (22 * 64 + 4 * 192 + 5 * 128) / 2
    assert whole.element_numbers == 8 * 2 * (22 * 64 + (4 * 192 + 5 * 128) / 2)
    # an all-reduce sends what a reduce-scatter and an all-gather send
    assert whole.tensor_numbers == shared.tensor_numbers
    alone = step_work(PLAIN, EIGHT, Layout(whole_sequence=1))
    assert alone.element_numbers == step_work(PLAIN, EIGHT, Layout()).element_numbers


def test_recomputation_repeats_the_forward_pass_of_the_layers():
    split = {"micro_batch_sequences": 3, "tensor": 2, "context": 2}
    plain, again = (step_work(PLAIN, EIGHT, Layout(**split, recompute_all=share)) for share in (0, 1))
    assert again.matrix_flop == plain.matrix_flop * 4 / 3
    assert again.score_flop == plain.score_flop * 4.5 / 3.5
    assert again.element_numbers == pytest.approx(plain.element_numbers * 4 / 3)
    assert again.tensor_numbers == plain.tensor_numbers * 6 / 4
    assert again.context_numbers == plain.context_numbers * 4 / 3
    assert again.plain_flop == plain.plain_flop


def test_without_gradients_of_weights_a_third_of_the_products_goes():
    plain, frozen = step_work(PLAIN, EIGHT, Layout()), step_work(PLAIN, EIGHT, Layout(weight_gradients=0))
    assert frozen.matrix_flop == plain.matrix_flop * 2 / 3
    assert frozen.plain_flop == plain.plain_flop * 2 / 3
    assert (frozen.score_flop, frozen.element_numbers) == (plain.score_flop, plain.element_numbers)


@pytest.mark.parametrize("preset", ["llama-3-70b", "deepseek-v3-671b", "t5-11b"])
def test_arrays_give_what_numbers_give(preset):
    a = Architecture.preset(preset)
    sequence = sequence_of(a, sequence_length=512)
    tensor, pipeline, context, share = [1, 2, 4], [1, 2, 3], [1, 1, 2], [0, 0.5, 1]
    columns = {"tensor": tensor, "pipeline": pipeline, "context": context, "recompute_all": share}
    many = step_work(a, sequence, Layout(**{k: np.array(v) for k, v in columns.items()})).as_dict()
    for i in range(3):
        one = step_work(a, sequence, Layout(**{k: v[i] for k, v in columns.items()})).as_dict()
        for name, value in one.items():
            assert np.broadcast_to(many[name], 3)[i] == pytest.approx(value, rel=1e-12), name


def test_kernels_fill_heads_up():
    assert [kernel_width(width) for width in (32, 33, 80, 96, 128, 192)] == [32, 64, 96, 96, 128, 192]
