from __future__ import annotations

import pytest

from tonne.count.memory import inference_memory_bytes, layer_activation_bytes, memory_per_accelerator
from tonne.count.parameters import parameters
from tonne.describe.architecture import Architecture

GPT_3 = Architecture.preset("gpt-3-175b")
GPT_2 = Architecture.preset("gpt2-small")


def test_a_plain_layer_keeps_34_bytes_a_feature_and_5_a_score():
    without = layer_activation_bytes(GPT_3, 2048, width_bytes=2, scores=False)
    assert without == 34 * 12288
    assert layer_activation_bytes(GPT_3, 2048, width_bytes=2, scores=True) - without == 5 * 96 * 2048


def test_states_of_mixed_precision_adam_are_16_bytes_a_parameter():
    memory = memory_per_accelerator(GPT_2, sequence_length=1024)
    numbers = parameters(GPT_2)
    assert memory.weights_bytes == pytest.approx(2 * numbers)
    assert memory.gradients_bytes == pytest.approx(2 * numbers)
    assert memory.optimizer_bytes == pytest.approx(12 * numbers)


def test_full_precision_keeps_no_second_copy():
    memory = memory_per_accelerator(GPT_2, sequence_length=1024, precision="fp32")
    states = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    assert states == pytest.approx(16 * parameters(GPT_2))
    assert memory.optimizer_bytes == pytest.approx(8 * parameters(GPT_2))


@pytest.mark.parametrize(
    ("sharding", "weights", "gradients", "optimizer"),
    [("none", 2, 2, 12), ("zero-1", 2, 2, 12 / 8), ("zero-2", 2, 2 / 8, 12 / 8)],
)
def test_sharding_divides_what_it_says(sharding, weights, gradients, optimizer):
    memory = memory_per_accelerator(GPT_2, sequence_length=1024, data=8, sharding=sharding)
    found = (memory.weights_bytes, memory.gradients_bytes, memory.optimizer_bytes)
    assert found == pytest.approx([share * parameters(GPT_2) for share in (weights, gradients, optimizer)])


def test_full_recomputation_keeps_the_layers_inputs_and_one_layer():
    memory = memory_per_accelerator(GPT_2, sequence_length=1024, recomputation="full")
    assert memory.activations_bytes == 1024 * 768 * (12 * 2 + 34)


def test_total_is_the_sum():
    memory = memory_per_accelerator(GPT_3, sequence_length=2048, tensor=8, pipeline=8, data=2)
    parts = (
        memory.weights_bytes,
        memory.gradients_bytes,
        memory.optimizer_bytes,
        memory.activations_bytes,
        memory.logits_bytes,
        memory.working_bytes,
    )
    assert memory.total_bytes == sum(parts)


def test_inference_holds_weights_and_keys_and_values():
    llama = Architecture.preset("llama-2-70b")
    cache = 80 * 2 * 8 * 128 * 4096
    assert inference_memory_bytes(llama, sequence_length=4096) == 2 * (68_976_648_192 + cache)
