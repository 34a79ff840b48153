from __future__ import annotations

import pytest

from tonne.count.conventions import conventions
from tonne.count.flops import executed_flop, forward_flop_parts, model_flop, model_flop_parts
from tonne.count.sequence import Sequence, sequence_of
from tonne.count.workload import counts_of
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

TINY = Architecture(kind="decoder", layers=2, width=8, heads=2, feed_forward_width=16, vocabulary=10)


def test_tiny_decoder_by_hand():
    # five tokens, two layers of width 8: projections 4 x 8 x 8, scores and values 8 + 8 for each of 15 ones of the
    # causal mask, feed-forward 2 x 8 x 16, logits 10 x 8; a multiply-add is two FLOP
    parts = forward_flop_parts(TINY, Sequence(decoder_length=5, predicted=5))
    assert parts["attention"] == 2 * 5 * 2 * 256
    assert parts["attention_scores"] == 2 * 2 * 15 * 16
    assert parts["feed_forward"] == 2 * 5 * 2 * 256
    assert parts["head"] == 2 * 5 * 80
    assert model_flop(TINY, Sequence(decoder_length=5, predicted=5)) == 3 * (5120 + 960 + 5120 + 800)


def test_parts_sum_to_the_whole():
    sequence = Sequence(encoder_length=512, decoder_length=114, predicted=114)
    t5 = Architecture.preset("t5-base")
    assert sum(model_flop_parts(t5, sequence).values()) == model_flop(t5, sequence)


def test_recomputation_and_kernels_move_the_executed_figure_by_hand():
    sequence = Sequence(decoder_length=5, predicted=5)
    layers, square_scores, head = 5120 + 5120, 2 * 2 * 25 * 16, 800
    eager = 3 * (layers + square_scores + head)
    assert executed_flop(TINY, sequence) == eager
    assert executed_flop(TINY, sequence, recomputation="selective") == eager + square_scores
    assert executed_flop(TINY, sequence, recomputation="full") == eager + layers + square_scores
    scores_again = 2 * 2 * 15 * 8
    assert executed_flop(TINY, sequence, flash_attention=True) == model_flop(TINY, sequence) + scores_again


def test_masked_lm_predicts_its_share_only():
    bert = Architecture.preset("bert-base-uncased")
    sequence = sequence_of(bert, sequence_length=512, objective="masked-lm")
    assert sequence.predicted == 77  # 0.15 x 512 = 76.8
    assert forward_flop_parts(bert, sequence)["head"] == 2 * 77 * 30522 * 768


def test_an_encoder_left_at_causal_lm_is_a_masked_lm():
    bert = Architecture.preset("bert-base-uncased")
    assert sequence_of(bert, sequence_length=512) == sequence_of(bert, sequence_length=512, objective="masked-lm")


def test_t5_targets_are_114_for_512():
    t5 = Architecture.preset("t5-11b")
    sequence = sequence_of(t5, sequence_length=512, objective="span-corruption")
    assert (sequence.encoder_length, sequence.decoder_length, sequence.tokens) == (512, 114, 626)


def test_keys_and_values_of_cross_attention_run_over_the_source():
    both = Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=1, width=8, heads=2, vocabulary=10)
    parts = forward_flop_parts(both, Sequence(encoder_length=7, decoder_length=3, predicted=3))
    assert parts["cross_attention"] == 2 * (3 * 128 + 7 * 128)
    assert parts["cross_attention_scores"] == 2 * 3 * 7 * 16


def test_gpt_3_takes_3_19e23_flop():
    # 6 x (96 x 12 x 12288^2 + 50257 x 12288) for the matrices, 6 x 2 x 96 x 12288 x (2048 + 1) / 2 for the scores
    counts = counts_of(Architecture.preset("gpt-3-175b"), tokens=300e9, sequence_length=2048)
    matrices = 6 * (96 * 12 * 12288**2 + 50257 * 12288)
    scores = 6 * 96 * 12288 * 2049
    assert counts.training_flop == 300_000_000_000 * (matrices + scores)
    assert f"{counts.training_flop:.2e}" == "3.19e+23"
    assert isinstance(counts.training_flop, int)
    assert sum(counts.parts.values()) == counts.parameters


def test_conventions_of_gpt_3_by_hand():
    named = conventions(Architecture.preset("gpt-3-175b"), 2048)
    matrices, attention = 6 * 174_563_733_504, 12 * 96 * 96 * 128 * 2048
    assert named["6N"] == 6 * 174_604_259_328
    assert named["nemo"] == named["6N+12LHQT"] == matrices + attention
    assert named["megatron-bridge"] == matrices + attention / 2
    assert named["palm"] == named["6N"] + attention
    assert named["llm-foundry"] == named["6N"] + attention  # heads x head_width is the width here
    # its layers are the 12 W^2 that Megatron assumes, so both ways to count recomputation agree
    assert named["megatron"] == pytest.approx(named["6N+12LHQT, recomputed"], rel=1e-12)


def test_a_missing_length_is_an_error_that_says_so():
    with pytest.raises(DescriptionError, match=r"data.sequence_length is missing.*Give it"):
        counts_of(TINY, tokens=1e6)
