"""Work of using a model, worked out by hand."""

from __future__ import annotations

import pytest

from tonne.count.flops import forward_flop_parts
from tonne.count.inference import (
    cache_bytes_per_token,
    decode_flop,
    decode_weights_bytes,
    distinct_experts,
    generation_flop,
    prefill_flop,
    served_weights_bytes,
)
from tonne.count.memory import cached_numbers
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

LLAMA_2_7B = Architecture.preset("llama-2-7b")
# 32 layers of 4 x 4096 x 4096 (attention) and 3 x 4096 x 11008 (gated), and the output table of 32000 x 4096
LLAMA_2_7B_MATRICES = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008) + 32000 * 4096


def test_decode_of_llama_2_7b():
    # scores and mixes: 2 FLOP x 2 products x 32 layers x 4096 = 4 L W T
    assert decode_flop(LLAMA_2_7B, 1000) == 2 * LLAMA_2_7B_MATRICES + 4 * 32 * 4096 * 1000


def test_prefill_of_llama_2_7b():
    # 512 tokens through the layers, the output table once, and 512 x 513 / 2 pairs a head and layer
    layers = LLAMA_2_7B_MATRICES - 32000 * 4096
    pairs = 512 * 513 // 2
    assert prefill_flop(LLAMA_2_7B, 512) == 2 * (512 * layers + 32000 * 4096) + 4 * 32 * 4096 * pairs


@pytest.mark.parametrize(
    ("preset", "number"),
    [
        ("llama-2-7b", 2 * 32 * 32 * 128 * 2),  # 524,288
        ("llama-3-70b", 2 * 80 * 8 * 128 * 2),  # 327,680
        ("deepseek-v3-671b", 61 * (512 + 64) * 2),  # 70,272
    ],
)
def test_cache_of_one_token(preset, number):
    assert cache_bytes_per_token(Architecture.preset(preset)) == number


def test_cache_in_8_bits_is_half():
    assert cache_bytes_per_token(LLAMA_2_7B, "fp8") == 262_144


def test_cache_of_alternating_windows():
    gemma = Architecture.preset("gemma-2-9b")  # 42 layers, every second one sees all, the others 4096
    assert cached_numbers(gemma, 10_000) == 2 * 8 * 256 * (21 * 10_000 + 21 * 4096)
    assert cached_numbers(gemma, 1_000) == 2 * 8 * 256 * 42 * 1_000


def test_cache_of_an_encoder_decoder_holds_the_source_too():
    t5 = Architecture.preset("t5-11b")  # 24 decoder layers, 128 heads of 128
    assert cached_numbers(t5, 10, 300) == 2 * 128 * 128 * 24 * (10 + 300)


def test_window_bounds_a_decode_step():
    mistral = Architecture.preset("mistral-7b-v0.1")  # window 4096
    assert decode_flop(mistral, 9_000) == decode_flop(mistral, 4_096)
    assert decode_flop(mistral, 4_096) - decode_flop(mistral, 4_095) == 4 * 32 * 4096


def test_latent_attention_scores_against_the_latent_vectors():
    deepseek = Architecture.preset("deepseek-v3-671b")  # 61 layers, 128 heads; 512 latent, 64 rotary
    assert decode_flop(deepseek, 2_001) - decode_flop(deepseek, 2_000) == 2 * 61 * 128 * (512 + 64 + 512)


def test_one_request_by_parts():
    steps = sum(decode_flop(LLAMA_2_7B, 100 + step) for step in range(1, 50))
    assert generation_flop(LLAMA_2_7B, 100, 50) == prefill_flop(LLAMA_2_7B, 100) + steps


def test_without_a_cache_every_step_repeats_the_sequence():
    whole = sum(prefill_flop(LLAMA_2_7B, length) for length in range(100, 150))
    assert generation_flop(LLAMA_2_7B, 100, 50, cache=False) == whole


def test_an_encoder_answers_in_one_pass():
    bert = Architecture.preset("bert-base-uncased")  # 12 layers of 12 x 768^2, full square of 128, pooler of 768^2
    expected = 2 * 128 * 12 * 12 * 768 * 768 + 4 * 12 * 768 * 128 * 128 + 2 * 768 * 768
    flop = generation_flop(bert, 128, 0)
    assert flop - (2 * 2 * 768 if bert.next_sentence_head else 0) == expected


def test_an_encoder_decoder_reads_its_source_once():
    t5 = Architecture.preset("t5-base")
    encoder = sum(
        forward_flop_parts(t5, Sequence(encoder_length=300))[part]
        for part in ("attention", "attention_scores", "feed_forward")
    )
    # 12 decoder layers, width 768, feed-forward 3072 plain; cross keys and values 2 x 768^2 a source token
    keys_values = 2 * 300 * 12 * 2 * 768 * 768
    table = 2 * 768 * t5.vocabulary

    def step(context):
        matrices = 12 * (4 * 768**2 + 2 * 768**2 + 2 * 768 * 3072)
        return 2 * matrices + 4 * 12 * 768 * (context + 300) + table

    assert prefill_flop(t5, 300) == encoder + keys_values + step(1)
    assert decode_flop(t5, 2, 300) == step(2)
    assert generation_flop(t5, 300, 3) == encoder + keys_values + step(1) + step(2) + step(3)


def test_experts_met_by_a_batch():
    assert distinct_experts(8, 2, 1) == 2
    assert distinct_experts(8, 2, 2) == pytest.approx(8 * (1 - 0.75**2))  # 3.5
    assert distinct_experts(8, 2, 1000) == pytest.approx(8)


def test_a_dense_step_reads_the_matrices_once_for_any_batch():
    assert decode_weights_bytes(LLAMA_2_7B, 1) == 2 * LLAMA_2_7B_MATRICES
    assert decode_weights_bytes(LLAMA_2_7B, 64) == 2 * LLAMA_2_7B_MATRICES


def test_a_mixture_reads_more_for_a_larger_batch():
    mixtral = Architecture.preset("mixtral-8x7b")  # 32 layers of 8 experts of 3 x 4096 x 14336, 2 a token
    expert = 2 * 32 * 3 * 4096 * 14336  # bytes
    difference = decode_weights_bytes(mixtral, 2) - decode_weights_bytes(mixtral, 1)
    assert difference == pytest.approx(1.5 * expert)


def test_below_16_bits_the_tables_stay_at_16():
    table = 32000 * 4096
    layers = LLAMA_2_7B_MATRICES - table
    assert decode_weights_bytes(LLAMA_2_7B, 1, "fp8") == layers + 2 * table
    assert decode_weights_bytes(LLAMA_2_7B, 1, "int4") == pytest.approx((0.5 + 2.5 / 128) * layers + 2 * table)


def test_served_weights_leave_out_layers_that_guess_further_tokens():
    deepseek = Architecture.preset("deepseek-v3-671b")
    guessing = deepseek.model_copy(update={"multi_token_layers": 1})
    assert served_weights_bytes(guessing) == served_weights_bytes(deepseek)
    assert served_weights_bytes(deepseek) == pytest.approx(2 * 671.0e9, rel=1e-3)
