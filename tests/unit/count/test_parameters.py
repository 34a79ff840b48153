from __future__ import annotations

import pytest

from tonne.count.parameters import active_parameters, matmul_parameters, parameter_parts, parameters
from tonne.describe.architecture import Architecture


def test_gpt2_small_by_hand():
    attention = 12 * (4 * 768 * 768 + 4 * 768)
    feed_forward = 12 * (2 * 768 * 3072 + 3072 + 768)
    norms = (2 * 12 + 1) * 2 * 768
    parts = parameter_parts(Architecture.preset("gpt2-small"))
    assert parts["embedding"] == 50257 * 768
    assert parts["positions"] == 1024 * 768
    assert (parts["attention"], parts["feed_forward"], parts["norms"]) == (attention, feed_forward, norms)
    assert sum(parts.values()) == 124_439_808


def test_bert_base_with_its_pooler():
    assert parameters(Architecture.preset("bert-base-uncased")) == 109_482_240


def test_bert_base_with_its_pretraining_heads():
    bert = Architecture.model_validate(
        {"preset": "bert-base-uncased", "prediction_head": True, "next_sentence_head": True}
    )
    transform, norm, output_bias, next_sentence = 768 * 768 + 768, 2 * 768, 30522, 2 * 768 + 2
    assert parameters(bert) == 109_482_240 + transform + norm + output_bias + next_sentence == 110_106_428


def test_encoder_of_the_original_transformer_without_a_vocabulary():
    encoder = Architecture(kind="encoder", layers=6, width=512, heads=8, feed_forward_width=2048)
    attention, feed_forward, norms = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 2 * 512
    assert parameters(encoder) == 6 * (attention + feed_forward + norms) == 18_914_304


def test_matmul_parameters_of_gpt2_small_by_hand():
    assert matmul_parameters(Architecture.preset("gpt2-small")) == 12 * 12 * 768**2 + 50257 * 768


def test_active_parameters_of_mixtral_leave_out_six_of_eight_experts():
    mixtral = Architecture.preset("mixtral-8x7b")
    unvisited = 32 * 6 * 3 * 4096 * 14336
    assert parameters(mixtral) - active_parameters(mixtral) == unvisited


def test_a_multi_token_layer_of_deepseek_v3_holds_11_5_billion_numbers():
    fields = {"preset": "deepseek-v3-671b", "multi_token_layers": 1}
    extra = parameter_parts(Architecture.model_validate(fields))["multi_token"]
    experts, attention = 257 * 3 * 7168 * 2048, 187_107_328  # the latter: as in the other layers
    assert extra == pytest.approx(experts + attention + 2 * 7168**2, rel=0.001)
    assert extra == pytest.approx(11.5e9, rel=0.01)  # as its README rounds


def test_shared_layers_store_one_layer_and_compute_all():
    albert = Architecture.preset("albert-base")
    assert parameter_parts(albert)["attention"] == 4 * (768 * 768 + 768)
    assert matmul_parameters(albert) == 12 * 12 * 768**2 + 30000 * 128 + 128 * 768
