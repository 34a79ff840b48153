"""What a config.json says that changes results but no count, value by value."""

from __future__ import annotations

import json
import math

import pytest

from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

LLAMA = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 4096}
T5 = {"model_type": "t5", "d_model": 64}


@pytest.fixture
def read(tmp_path):
    def of(**fields):
        (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
        return Architecture.from_huggingface(tmp_path)

    return of


@pytest.mark.parametrize(
    ("fields", "epsilon"),
    [
        ({"model_type": "gpt2"}, 1e-5),
        ({"model_type": "bert"}, 1e-12),
        ({"model_type": "t5"}, 1e-6),
        ({"model_type": "bart"}, 1e-5),
        ({"model_type": "llama"}, 1e-6),
        ({"model_type": "mistral", "rms_norm_eps": 1e-5}, 1e-5),
        ({"model_type": "gpt2", "layer_norm_epsilon": 0.001}, 1e-3),
    ],
)
def test_what_norms_add_under_the_root(read, fields, epsilon):
    assert read(**fields).norm_epsilon == epsilon


@pytest.mark.parametrize(
    ("word", "form"),
    [("gelu", "none"), ("gelu_new", "tanh"), ("gelu_pytorch_tanh", "tanh"), ("quick_gelu", "sigmoid")],
)
def test_the_form_of_gelu(read, word, form):
    assert read(model_type="bert", hidden_act=word).gelu_approximation == form
    assert read(model_type="bart", activation_function=word).gelu_approximation == form


def test_gpt2_scores(read):
    assert read(model_type="gpt2").attention_scale is None
    changed = read(model_type="gpt2", scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True)
    assert (changed.attention_scale, changed.attention_scale_by_layer) == (1.0, True)


def test_t5_scales_no_scores_and_its_first_version_the_states(read):
    first, second = read(**T5), read(**T5, tie_word_embeddings=False, feed_forward_proj="gated-gelu")
    assert (first.attention_scale, first.output_scale) == (1.0, 0.125)  # 1 / sqrt(64)
    assert (second.attention_scale, second.output_scale) == (1.0, 1.0)
    assert second.gelu_approximation == "tanh"  # what transformers takes gated-gelu for
    saved = read(**T5, tie_word_embeddings=True, scale_decoder_outputs=False)  # as transformers writes it since 5.0
    assert saved.output_scale == 1.0


def test_t5_distances(read):
    assert read(**T5).relative_max_distance == 128
    assert read(**T5, relative_attention_max_distance=20).relative_max_distance == 20


def test_bart_scales_token_vectors_where_it_is_switched_on(read):
    assert read(model_type="bart", d_model=64).embedding_scale == 1
    assert read(model_type="bart", d_model=64, scale_embedding=True).embedding_scale == 8


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_theta": 5e5},
        {"rope_parameters": {"rope_theta": 5e5}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "rope_theta": 3.0},
        {"rope_scaling": None, "rope_theta": 5e5},
    ],
)
def test_the_base_of_rotary_positions_under_each_name(read, fields):
    assert read(**LLAMA, **fields).rotary_base == 5e5
    assert read(**LLAMA).rotary_base == 10000


def test_scaling_as_llama_3_1_publishes_it(read):
    scaling = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }
    found = read(**LLAMA, rope_theta=5e5, rope_scaling=scaling)
    assert found.rotary_base == 5e5
    assert found.rotary_scaling is not None
    assert found.rotary_scaling.model_dump(include={"kind", "factor", "original_positions"}) == {
        "kind": "llama3",
        "factor": 8,
        "original_positions": 8192,
    }


def test_scalings_of_other_kinds(read):
    linear = read(**LLAMA, rope_scaling={"type": "linear", "factor": 2.0}).rotary_scaling  # the older name of the kind
    dynamic = read(**LLAMA, rope_scaling={"rope_type": "dynamic", "factor": 2.0}).rotary_scaling
    yarn = {
        "rope_type": "yarn",
        "factor": None,
        "original_max_position_embeddings": 1024,
        "mscale": 1,
        "mscale_all_dim": 2,
    }
    stretched = read(**LLAMA, rope_scaling=yarn).rotary_scaling
    assert (linear.kind, linear.factor, linear.original_positions) == ("linear", 2, None)
    assert (dynamic.kind, dynamic.factor, dynamic.original_positions) == ("dynamic", 2, 4096)
    assert (stretched.factor, stretched.original_positions) == (4, 1024)  # 4096 / 1024
    assert stretched.magnitude == pytest.approx((0.1 * math.log(4) + 1) / (0.2 * math.log(4) + 1))


def test_a_scaling_that_no_field_holds_is_still_counted(read):
    longrope = {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0], "long_factor": [2.0]}
    assert read(**LLAMA, rope_scaling=longrope).rotary_scaling is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rms_norm_eps": 0}, "rms_norm_eps = 0 is not a number above 0"),
        ({"rope_theta": "10000"}, r'rope_theta = "10000" of the rotary positions is not a number above 0'),
        ({"rope_scaling": "linear"}, 'rope_parameters = "linear" is no group of fields'),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor = null of the rotary positions is not a number above 0"),
    ],
)
def test_values_that_cannot_be(read, fields, message):
    with pytest.raises(DescriptionError, match=message):
        read(**LLAMA, **fields)


def test_a_part_of_a_head_is_turned(read):
    assert read(model_type="gpt_neox", hidden_size=64, num_attention_heads=4).rotary_width == 4  # a quarter of 16
    assert read(model_type="gpt_neox", hidden_size=64, num_attention_heads=4, rotary_pct=0.5).rotary_width == 8
    assert read(**LLAMA).rotary_width is None


def test_layers_with_a_window_have_a_base_of_their_own(read):
    gemma = {"model_type": "gemma3_text", "num_hidden_layers": 6}
    new, old = read(**gemma), read(**gemma, rope_theta=5e5, rope_local_base_freq=2e4)
    assert (new.rotary_base, new.window_rotary_base) == (1e6, 1e4)
    assert (old.rotary_base, old.window_rotary_base) == (5e5, 2e4)


def test_a_preset_has_the_numbers_of_its_family():
    gpt2, t5 = Architecture.preset("gpt2-small"), Architecture.preset("t5-small")
    assert (gpt2.gelu_approximation, gpt2.norm_epsilon) == ("tanh", 1e-5)
    assert (t5.attention_scale, t5.output_scale) == (1.0, 512**-0.5)
    assert Architecture.preset("t5-v1.1-small").output_scale == 1
