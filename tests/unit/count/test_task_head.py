"""The head for labels, by hand."""

from __future__ import annotations

import pytest

from tonne.count.flops import executed_flop, forward_flop_parts
from tonne.count.inference import generation_flop, prefill_flop
from tonne.count.memory import memory_per_accelerator
from tonne.count.parameters import matmul_parameters, parameter_parts, parameters
from tonne.count.sequence import sequence_of
from tonne.describe.architecture import Architecture

SHAPE = {"width": 8, "heads": 2, "feed_forward_width": 16, "vocabulary": 10}
BARE = Architecture(kind="encoder", layers=2, **SHAPE)
BOTH = Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=1, **SHAPE)


def with_head(architecture, **head):
    fields = architecture.model_dump(exclude_unset=True)
    return Architecture.model_validate(fields | {"task_head": head})


@pytest.mark.parametrize(
    ("head", "numbers"),
    [
        ({"labels": 3}, 3 * 8 + 3),
        ({"labels": 3, "bias": False}, 24),
        ({"labels": 3, "dense": True}, 64 + 8 + 24 + 3),
        ({"labels": 3, "dense": True, "dense_bias": False}, 64 + 24 + 3),
        ({"labels": 3, "dense": True, "dense_bias": False, "norm": True}, 64 + 16 + 24 + 3),
    ],
)
def test_numbers_of_a_head(head, numbers):
    labelled = with_head(BARE, **head)
    assert parameter_parts(labelled)["task_head"] == numbers
    assert parameters(labelled) == parameters(BARE) + numbers


def test_a_head_for_labels_stands_in_the_place_of_the_output_table():
    assert matmul_parameters(BARE) == 2 * (4 * 64 + 2 * 128) + 10 * 8
    assert matmul_parameters(with_head(BARE, labels=3, dense=True)) == 2 * (4 * 64 + 2 * 128) + 64 + 3 * 8


@pytest.mark.parametrize(
    ("objective", "positions"), [("classification", 1), ("token-classification", 7), ("question-answering", 7)]
)
def test_labels_are_predicted_where_the_objective_says(objective, positions):
    for bare, length in ((BARE, {"sequence_length": 7}), (BOTH, {"source_length": 5, "target_length": 7})):
        labelled = with_head(bare, labels=3, dense=True)
        sequence = sequence_of(
            labelled, objective=objective, sequence_length=length.pop("sequence_length", None), **length
        )
        parts = forward_flop_parts(labelled, sequence)
        assert parts["task_head"] == 2 * positions * (64 + 24)
        assert parts["head"] == 0  # no token is predicted


def test_only_classification_pools():
    pooled = [
        sequence_of(BARE, sequence_length=7, objective=objective).pooled
        for objective in ("classification", "token-classification", "question-answering", "masked-lm")
    ]
    assert pooled == [1, 0, 0, 0]


def test_a_decoder_labels_its_last_token():
    decoder = Architecture(kind="decoder", layers=1, task_head={"labels": 3, "bias": False}, **SHAPE)
    sequence = sequence_of(decoder, sequence_length=7, objective="classification")
    layer, scores = 7 * (4 * 64 + 2 * 128), 49 * 16
    assert executed_flop(decoder, sequence) == 6 * (layer + scores + 24)
    assert executed_flop(decoder, sequence, recomputation="full") == 6 * (layer + scores + 24) + 2 * (layer + scores)


def test_logits_of_labels_take_little_memory():
    bare, labelled = (memory_per_accelerator(a, sequence_length=7) for a in (BARE, with_head(BARE, labels=2)))
    assert bare.logits_bytes == 5 * labelled.logits_bytes


def test_reading_a_prompt_ends_in_labels():
    encoder = with_head(BARE, labels=3)
    assert prefill_flop(encoder, 7) - prefill_flop(BARE, 7) == 2 * 3 * 8
    decoder = Architecture(kind="decoder", layers=1, **SHAPE)
    assert prefill_flop(decoder, 7) - prefill_flop(with_head(decoder, labels=3), 7) == 2 * 8 * (10 - 3)


def test_a_decoder_for_labels_reads_all_that_its_encoder_reads():
    both = with_head(Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=2, **SHAPE), labels=3)
    forward = forward_flop_parts(both, sequence_of(both, sequence_length=7, objective="classification"))
    assert prefill_flop(both, 7) == sum(forward.values())
    assert generation_flop(both, 7, 20) == prefill_flop(both, 7)
