"""Memory by stage and by operation, beside values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tonne.count.fit import fit_probability, largest_fitting_bytes, needed_bytes, with_fit
from tonne.count.framework import Habits, habits_of
from tonne.count.memory import layer_activation_bytes, memory_per_accelerator
from tonne.count.stages import micro_batches_under_way
from tonne.describe.architecture import Architecture
from tonne.reference.memory_model import shipped_memory_model, usable_bytes

GIB = 2**30
# 12 layers of Llama 3 70B: width 8192, 64 heads and 8 of keys of 128, inner width 28672, 128256 rows
WIDTH, INNER, ROWS = 8192, 28672, 128256
LAYER = WIDTH * (2 * 8192 + 2 * 1024) + 3 * WIDTH * INNER + 2 * WIDTH
LLAMA = Architecture.preset("llama-3-70b").model_copy(update={"layers": 12})
MEGATRON = habits_of("megatron-lm", "bf16", fused_loss=True)


def slice_memory(**layout):
    return memory_per_accelerator(LLAMA, sequence_length=4096, framework="megatron-lm", habits=MEGATRON, **layout)


def test_first_stage_holds_its_layers_the_table_and_two_micro_batches():
    memory = slice_memory(pipeline=2, data=4)
    held = 6 * LAYER + ROWS * WIDTH
    assert memory.worst_stage == 0
    assert memory.weights_bytes == pytest.approx(
        2 * held, rel=1e-6
    )  # a twelfth of the last norm stands with each layer
    assert memory.gradients_bytes == pytest.approx(4 * held, rel=1e-6)  # Megatron sums in 32 bits
    assert memory.optimizer_bytes == pytest.approx(12 * held / 4, rel=1e-6)
    a_token = 2 * (
        4 * WIDTH + 2 * 8192 + 2 * 1024 + 3 * INNER
    )  # norms, two inputs; q and output, k and v; gate, up, both
    assert memory.activations_bytes == 2 * 6 * 4096 * a_token
    assert memory.logits_bytes == 0
    own_gradients, inner = 2 * LAYER, 4096 * 2 * (WIDTH + 2 * INNER)
    assert memory.working_bytes == pytest.approx(own_gradients + inner, rel=1e-6)
    assert memory.total_bytes / GIB == pytest.approx(66.55, rel=0.002)  # read on a B200 by SimuMax


def test_one_stage_makes_logits_and_gathers_its_input():
    memory = slice_memory(tensor=2, data=4)
    assert memory.logits_bytes == 4096 * ROWS * 2 / 2
    gathered = 2 * 4096 * WIDTH * 2
    assert memory.logits_bytes > 4096 * (WIDTH + 2 * INNER)  # gone when the layer at work needs so much
    assert memory.working_bytes == pytest.approx(2 * (LAYER + ROWS * WIDTH) / 2 + gathered, rel=1e-6)
    assert memory.total_bytes / GIB == pytest.approx(60.68, rel=0.005)


@pytest.mark.parametrize(
    ("index", "pipeline", "virtual", "micro_batches", "expected"),
    [
        (0, 8, 1, None, 8),
        (7, 8, 1, None, 1),
        (0, 8, 1, 4, 4),
        (0, 8, 2, None, 8 * (1 + 7 / 16)),  # Korthikanti et al. 2022, section 4.2.3
        (0, 4, 3, None, 4 * (1 + 3 / 12)),
        (0, 1, 1, 64, 1),
    ],
)
def test_micro_batches_under_way(index, pipeline, virtual, micro_batches, expected):
    found = micro_batches_under_way(
        index, pipeline=pipeline, virtual_pipeline_stages=virtual, micro_batches=micro_batches
    )
    assert found == pytest.approx(expected)


def test_zero_3_divides_all_states_and_holds_two_layers():
    memory = memory_per_accelerator(LLAMA, sequence_length=1, data=64, sharding="zero-3")
    whole = 12 * LAYER + 2 * ROWS * WIDTH + WIDTH
    assert memory.optimizer_bytes == 12 * whole / 64
    assert memory.gradients_bytes == 2 * whole / 64
    assert memory.weights_bytes == pytest.approx(2 * whole / 64 + 2 * 2 * whole / 12)


def test_latent_attention_and_experts_keep_vectors_and_copies():
    a = Architecture.preset("deepseek-v2-236b")
    dense_first = a.model_copy(update={"layers": 1})
    attention = 2 * (2 * 5120 + 2 * 1536 + 2 * 512 + 64 + 128 * (192 + 192 + 128 + 128))
    kept = layer_activation_bytes(dense_first, 1, width_bytes=2, scores=False, dropout=False)
    assert kept == attention + 2 * (2 * 5120 + 3 * 12288)
    experts = a.experts.model_copy(update={"dense_layers": 0})
    sparse = dense_first.model_copy(update={"experts": experts})
    block = 2 * (2 * 5120 + 6 * (5120 + 3 * 1536) + 3 * 2 * 1536) + 2 * 4 * 160
    assert layer_activation_bytes(sparse, 1, width_bytes=2, scores=False, dropout=False) == attention + block


def test_8_bit_products_keep_their_inputs_in_8_bits():
    full = layer_activation_bytes(LLAMA, 1, width_bytes=2, scores=False, dropout=False)
    narrow = layer_activation_bytes(LLAMA, 1, width_bytes=2, scores=False, dropout=False, input_bytes=1)
    assert full - narrow == WIDTH + WIDTH + INNER - 8192  # two inputs, the product; the output has a copy of its own


def test_without_sequence_parallel_norms_and_inputs_lie_on_every_rank():
    shape = Architecture.preset("gpt-3-175b")
    split, whole = (
        memory_per_accelerator(shape, sequence_length=2048, tensor=8, habits=Habits(sequence_parallel=on))
        for on in (True, False)
    )
    assert split.activations_bytes == 96 * 2048 * 34 * 12288 / 8
    assert whole.activations_bytes == 96 * 2048 * (10 + 24 / 8) * 12288  # Korthikanti et al. 2022, section 4.2.1


def test_sequence_of_a_plan_is_said_to_the_memory():
    fields = {"sequence_length": 4096, "tensor": 4, "recomputation": "full"}
    shared, whole = (
        memory_per_accelerator(LLAMA, framework="megatron-lm", sequence=sequence, **fields)
        for sequence in (True, False)
    )
    assert shared == memory_per_accelerator(LLAMA, framework="megatron-lm", **fields)
    # twelve inputs of 4096 tokens of 8192 two-byte features, on each of four ranks instead of a quarter; the layer at
    # work keeps four times as much of its norms and inputs: 4 x 8192 features
    more = 2 * 4096 * WIDTH * (12 + 4) * 3 / 4
    assert whole.activations_bytes - shared.activations_bytes == pytest.approx(more, rel=1e-6)


def test_arrays_of_layouts_give_what_layouts_give():
    tensor, pipeline, data = np.array([1, 2, 8.0]), np.array([2, 1, 4.0]), np.array([4, 4, 2.0])
    many = slice_memory(tensor=tensor, pipeline=pipeline, data=data)
    for i in range(3):
        one = slice_memory(tensor=int(tensor[i]), pipeline=int(pipeline[i]), data=int(data[i]))
        assert many.total_bytes[i] == pytest.approx(one.total_bytes, rel=1e-12)
        assert many.worst_stage[i] == one.worst_stage


def test_probability_that_it_fits():
    memory = slice_memory(pipeline=2, data=4)
    needed = needed_bytes(memory)
    share = shipped_memory_model().coefficients["fragment_share"]
    living = memory.activations_bytes + memory.working_bytes
    assert needed == pytest.approx(memory.total_bytes + share * living + 1.54 * GIB)
    assert fit_probability(memory, needed) == pytest.approx(0.5)
    width = shipped_memory_model().log_half_width("megatron-lm")
    edge = needed * math.exp(width)
    assert fit_probability(memory, edge, framework="megatron-lm") == pytest.approx(0.95)
    assert largest_fitting_bytes(edge, framework="megatron-lm", probability=0.95) == pytest.approx(needed)
    found = with_fit(memory, usable_bytes(80), framework="megatron-lm")
    assert found.needed is not None
    assert found.needed.high == pytest.approx(edge)
    assert found.capacity_bytes == pytest.approx(79.2 * GIB)
