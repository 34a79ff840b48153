"""Learning rates that fall from layer to layer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.describe.architecture import Architecture  # noqa: E402 - after the check that torch is there
from tonne.describe.training import Training  # noqa: E402
from tonne.model.transformer import Transformer  # noqa: E402
from tonne.train.optimizers import depths_below_head, optimizers_of  # noqa: E402

SHAPE = {"width": 8, "heads": 2, "vocabulary": 20, "positions": "learned", "max_positions": 8}
ENCODER = Architecture(kind="encoder", layers=3, pooler=True, task_head={"labels": 2}, embedding_norm=True, **SHAPE)
BOTH = Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=3, **SHAPE)


def rates(model, training):
    found = {id(p): group["lr"] for part in optimizers_of(model, training).parts for group in part.param_groups
             for p in group["params"]}  # fmt: skip
    return {name: found[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_each_layer_learns_by_a_share_of_the_one_above(optimizer):
    training = Training(optimizer=optimizer, learning_rate=0.8, layer_decay=0.5)
    found = rates(Transformer(ENCODER), training)
    assert found["task.output.weight"] == found["pooler.dense.weight"] == 0.8
    assert [found[f"encoder.layers.{i}.attention.output.weight"] for i in range(3)] == [0.1, 0.2, 0.4]
    assert [found[f"encoder.layers.{i}.attention_norm.weight"] for i in range(3)] == [0.1, 0.2, 0.4]
    assert found["embedding.tokens.weight"] == 0.05
    assert {rate for name, rate in found.items() if name.startswith("encoder.inputs")} == {0.05}


def test_two_stacks_count_from_their_own_tops():
    depths = depths_below_head(name for name, _ in Transformer(BOTH).named_parameters())
    assert depths["encoder.layers.0.attention.output.weight"] == depths["decoder.layers.2.attention.output.weight"] == 1
    assert depths["decoder.layers.0.attention.output.weight"] == 3
    assert depths["embedding.tokens.weight"] == 4  # below the taller one
    assert {d for name, d in depths.items() if name.startswith("encoder.inputs")} <= {2}


def test_the_rate_that_is_told_is_the_heads():
    optimizers = optimizers_of(Transformer(ENCODER), Training(learning_rate=0.8, layer_decay=0.5))
    optimizers.set_rate(0.5)
    assert optimizers.learning_rate == 0.4


def test_without_a_decay_all_rates_are_one():
    assert set(rates(Transformer(ENCODER), Training(learning_rate=0.8)).values()) == {0.8}
