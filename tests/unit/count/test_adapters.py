"""Adapters: what they learn, as papers and PEFT print it, and what frozen weights leave out, by hand."""

from __future__ import annotations

import pytest

from tonne.count.adapters import adapter_parts, attention_linears
from tonne.count.finetuning import Kernel, Learning, frozen_parameters, trainable_parameters, training_flop
from tonne.count.flops import model_flop
from tonne.count.layers import attention_matrices
from tonne.count.memory import memory_per_accelerator
from tonne.count.parameters import parameters
from tonne.count.sequence import Sequence
from tonne.count.workload import counts_of
from tonne.describe.adapters import Lora
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

ALL = ("query", "key", "value", "output", "feed_forward")
ATTENTION = ALL[:4]
TINY = Architecture(kind="decoder", layers=2, width=4, heads=2, feed_forward_width=10, vocabulary=7)
SEQUENCE = Sequence(decoder_length=3, predicted=3)

# preset, rank, targets, trainable and all parameters as get_peft_model(...).print_trainable_parameters() prints them
PEFT = [
    ("llama-7b", 8, ("query", "value"), 4_194_304, 6_742_609_920),  # the figure that guides to PEFT repeat most
    ("llama-3-8b", 8, ALL, 20_971_520, 8_051_232_768),  # log of LLaMA-Factory
    ("mt5-large", 8, ("query", "value"), 2_359_296, 1_231_940_608),  # PEFT quick tour, bigscience/mt0-large
]

# Hu et al. 2021, GPT-3 175B: table 4 prints 4.7M and 37.7M, section 7.1 one budget of 18M for three choices
HU = [
    (1, ("query", "value"), 4.7),
    (8, ("query", "value"), 37.7),
]
BUDGET = [(8, ("query",)), (4, ("query", "value")), (2, ATTENTION)]


@pytest.mark.parametrize(("preset", "rank", "targets", "trainable", "whole"), PEFT)
def test_peft_prints_the_same_numbers(preset, rank, targets, trainable, whole):
    architecture = Architecture.preset(preset)
    learned = trainable_parameters(architecture, Learning(lora=Lora(rank=rank, targets=targets)))
    assert learned == trainable
    assert learned + parameters(architecture) == whole


def test_roberta_large_with_its_head_for_two_labels():
    # 24 layers x 2 linears x 8 x (1024 + 1024), and a head of 1024 x 1024 + 1024 + 1024 x 2 + 2
    head = {"labels": 2, "dense": True}
    architecture = Architecture.model_validate({"preset": "roberta-large", "task_head": head})
    assert trainable_parameters(architecture, Learning(lora=Lora(rank=8))) == 786_432 + 1_051_650


@pytest.mark.parametrize(("rank", "targets", "millions"), HU)
def test_gpt_3_adapters_of_the_paper(rank, targets, millions):
    found = trainable_parameters(Architecture.preset("gpt-3-175b"), Learning(lora=Lora(rank=rank, targets=targets)))
    assert round(found / 1e6, 1) == millions


@pytest.mark.parametrize(("rank", "targets"), BUDGET)
def test_gpt_3_adapters_of_one_budget(rank, targets):
    found = trainable_parameters(Architecture.preset("gpt-3-175b"), Learning(lora=Lora(rank=rank, targets=targets)))
    assert found == 96 * 8 * (12_288 + 12_288)
    assert found // 1_000_000 == 18


@pytest.mark.parametrize("preset", Architecture.preset_ids())
def test_linears_of_an_attention_sum_to_its_matrices(preset):
    architecture = Architecture.preset(preset)
    linears = [linear for group in attention_linears(architecture).values() for linear in group]
    assert sum(into * out for into, out in linears) == attention_matrices(architecture)


def test_adapters_by_part_by_hand():
    experts = {"count": 3, "per_token": 1, "shared": 1, "width": 5, "shared_width": 6, "dense_layers": 1}
    architecture = Architecture(
        kind="decoder", layers=3, width=8, heads=4, kv_heads=2, feed_forward="gated", feed_forward_width=20,
        vocabulary=11, experts=experts,
    )  # fmt: skip
    found = adapter_parts(architecture, Lora(rank=2, targets=ALL, experts=True))
    assert found["attention"] == 3 * 2 * ((8 + 8) + (8 + 4) + (8 + 4) + (8 + 8))
    assert found["feed_forward"] == 1 * 2 * 3 * (8 + 20)
    assert found["experts"] == 2 * 2 * 3 * (3 * (8 + 5) + (8 + 6))
    assert adapter_parts(architecture, Lora(rank=2, targets=ALL))["experts"] == 0


def test_shared_layers_have_their_adapters_once():
    shared = TINY.model_copy(update={"shared_layers": True})
    assert 2 * trainable_parameters(shared, Learning(lora=Lora(rank=3))) == trainable_parameters(
        TINY, Learning(lora=Lora(rank=3))
    )


def test_latent_attention_adapts_both_linears_of_its_latent_vector_for_key_or_value():
    deepseek = Architecture.preset("deepseek-v3-671b")
    # 7168 -> 512 + 64, then 512 -> 128 heads x (128 + 128)
    by_hand = 61 * 4 * ((7168 + 576) + (512 + 32_768))
    for target in ("key", "value"):
        assert trainable_parameters(deepseek, Learning(lora=Lora(rank=4, targets=(target,)))) == by_hand


def test_flop_of_a_tiny_model_by_hand():
    """Rank 1 beside query and value: 3 tokens, 2 layers of width 4, 2 heads of 2."""
    linear, scores = 3 * 4 * 4, 6 * 2 * 2  # multiply-adds of one of q, k, v, o; of one of the two products, causal
    adapter = 3 * (4 + 4)
    second = 4 * linear * 2 + 2 * scores * 3 + 2 * adapter * 3 + 2 * 3 * 4 * 10 * 2
    no_inputs = 3 * linear  # q, k and v of the first layer
    no_scores = scores  # keys do not learn there: the gradient of their product with the queries is not wanted
    no_adapter_inputs = 2 * 3 * 4 * 1
    first = second - no_inputs - no_scores - no_adapter_inputs
    head = 3 * 7 * 4 * 2
    assert training_flop(TINY, SEQUENCE, Learning(lora=Lora(rank=1))) == 2 * (first + second + head)


def test_frozen_layers_by_hand():
    layer = 3 * (4 * 16 + 2 * 40) + 2 * 6 * 2 * 2
    head = 3 * 7 * 4 * 2  # tied to the frozen table: no gradient of its weights
    assert training_flop(TINY, SEQUENCE, Learning(frozen_layers=1)) == 2 * (layer + 3 * layer + head)
    numbers = 4 * 16 + 4 * 4 + 2 * 40 + 10 + 4 + 2 * 2 * 4
    assert frozen_parameters(TINY, 1) == 7 * 4 + numbers
    assert trainable_parameters(TINY, Learning(frozen_layers=1)) == numbers + 8


def test_a_flash_kernel_leaves_out_a_whole_backward_pass_or_nothing():
    flash = Kernel(flash_attention=True)
    scores = 2 * 6 * 2 * 2  # of one product, one layer
    for targets, more in ((("query", "value"), 2 + 1), (("feed_forward",), 1)):
        learning = Learning(lora=Lora(rank=1, targets=targets))
        # the product of queries and keys again in each layer with a backward pass, and the gradient of the first keys
        assert training_flop(TINY, SEQUENCE, learning, flash) - training_flop(TINY, SEQUENCE, learning) == more * scores


def test_full_training_takes_all_three_products_and_no_more():
    for preset in ("gpt2-small", "bert-base-uncased", "t5-base", "mixtral-8x7b"):
        a = Architecture.preset(preset)
        source = 0 if a.kind == "decoder" else 64
        sequence = Sequence(encoder_length=source, decoder_length=0 if a.kind == "encoder" else 32, predicted=8)
        whole = model_flop(a, sequence)
        one = training_flop(a, sequence, Learning(frozen_layers=1))
        lora = training_flop(a, sequence, Learning(lora=Lora(rank=1)))
        assert whole / 3 < lora < one < whole


def test_counts_of_adapters():
    gpt_2 = Architecture.preset("gpt2-small")
    full = counts_of(gpt_2, tokens=10_240, sequence_length=1024)
    lora = counts_of(gpt_2, tokens=10_240, sequence_length=1024, lora=Lora(rank=8))
    assert full.trainable_parameters == full.parameters == lora.parameters
    assert lora.trainable_parameters == 12 * 2 * 8 * (768 + 768)
    assert lora.conventions["4N+2P"] == 4 * full.active_parameters + 2 * lora.trainable_parameters
    assert "4N+2P" not in full.conventions
    assert 0.66 < lora.training_flop / full.training_flop < 0.70


def test_instruction_tuning_computes_logits_for_the_answers_alone():
    gpt_2 = Architecture.preset("gpt2-small")
    full, half = (
        counts_of(gpt_2, tokens=1024, sequence_length=1024, objective="instruction", answer_fraction=share)
        for share in (1.0, 0.5)
    )
    assert full.training_flop == counts_of(gpt_2, tokens=1024, sequence_length=1024).training_flop
    assert full.training_flop - half.training_flop == 6 * 512 * 50257 * 768


@pytest.mark.parametrize(
    ("architecture", "learning", "text"),
    [
        (TINY, Learning(frozen_layers=3), "frozen_layers=3 cannot be: the model has 2"),
        (TINY.model_copy(update={"shared_layers": True}), Learning(frozen_layers=1), "one and the same"),
        (TINY.model_copy(update={"final_norm": False}), Learning(frozen_layers=2), "leaves nothing that learns"),
        (Architecture.preset("mixtral-8x7b"), Learning(lora=Lora(rank=1, targets=("feed_forward",))), "lora.experts"),
    ],
)
def test_what_cannot_be_says_why(architecture, learning, text):
    with pytest.raises(DescriptionError, match=text):
        trainable_parameters(architecture, learning)


def test_memory_holds_states_of_what_learns_alone():
    llama = Architecture.preset("llama-2-7b")
    lora = Lora(rank=8)
    whole = memory_per_accelerator(llama, sequence_length=2048)
    small = memory_per_accelerator(llama, sequence_length=2048, lora=lora)
    assert small.weights_bytes == 2 * (6_738_415_616 + 4_194_304)
    assert small.gradients_bytes == 2 * 4_194_304
    assert small.optimizer_bytes == 12 * 4_194_304
    assert small.logits_bytes == whole.logits_bytes
    # per token and layer: the feed-forward block's input and its product are not kept, two times 8 features are
    less = 2048 * 32 * 2 * (4096 + 11_008 - 2 * 8)
    assert whole.activations_bytes - small.activations_bytes == pytest.approx(less)


def test_frozen_layers_keep_nothing_and_have_no_states():
    gpt_2 = Architecture.preset("gpt2-small")
    whole = memory_per_accelerator(gpt_2, sequence_length=1024)
    half = memory_per_accelerator(gpt_2, sequence_length=1024, frozen_layers=6)
    assert half.activations_bytes == pytest.approx(whole.activations_bytes / 2)
    assert half.gradients_bytes == pytest.approx(2 * trainable_parameters(gpt_2, Learning(frozen_layers=6)))
    assert half.weights_bytes == whole.weights_bytes
