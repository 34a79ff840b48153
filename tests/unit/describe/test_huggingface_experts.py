"""config.json of models with experts: counts worked out by hand, published counts, and what bad files are told."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import attended_positions, forward_flop_parts, full_layers, model_flop
from tonne.count.layers import expert_layers
from tonne.count.parameters import active_parameters, parameter_parts, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.describe.huggingface.experts import READERS
from tonne.describe.huggingface.experts_parts import places_of
from tonne.errors import DescriptionError
from tonne.reference.huggingface import default_values


@pytest.fixture
def read(tmp_path):
    def architecture(model_type, **fields):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **fields}), encoding="utf-8")
        return Architecture.from_huggingface(tmp_path)

    return architecture


TINY = {
    "vocab_size": 10,
    "hidden_size": 8,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_experts_per_tok": 2,
}
MIXTRAL = {**TINY, "num_local_experts": 3}
LATENT = {
    **TINY,
    "num_key_value_heads": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "moe_intermediate_size": 2,
    "first_k_dense_replace": 1,
    "q_lora_rank": 3,
    "kv_lora_rank": 4,
    "qk_rope_head_dim": 2,
    "qk_nope_head_dim": 3,
    "v_head_dim": 5,
}
OUTER = 80 + 80 + 8  # token table, output table, final norm


def test_mixtral_by_hand(read):
    a = read("mixtral", **MIXTRAL)
    attention = 64 + 32 + 32 + 64
    router, expert, norms = 8 * 3, 3 * 8 * 6, 2 * 8
    assert parameters(a) == 2 * (attention + router + 3 * expert + norms) + OUTER == 1496
    assert active_parameters(a) == 2 * (attention + router + 2 * expert + norms) + OUTER == 1208
    # 5 tokens: matrices 2 (192 + 24 + 288) + 80 = 1088 each; 15 pairs in 2 layers and 2 heads, 4 + 4 products each
    assert model_flop(a, Sequence(decoder_length=5, predicted=5)) == 3 * 2 * (5 * 1088 + 15 * 2 * 2 * 8) == 35_520


def test_qwen2_moe_by_hand(read):
    shape = TINY | {"num_key_value_heads": 2, "intermediate_size": 10, "num_hidden_layers": 3, "mlp_only_layers": [0]}
    mixture = {"num_experts": 3, "num_experts_per_tok": 1, "moe_intermediate_size": 4}
    a = read("qwen2_moe", **shape | mixture | {"shared_expert_intermediate_size": 6})
    attention, norms = 4 * 64 + 3 * 8, 16  # biases of queries, keys and values
    dense, shared, gate, router, expert = 3 * 8 * 10, 3 * 8 * 6, 8, 24, 3 * 8 * 4
    sparse = router + 3 * expert + shared + gate
    assert parameters(a) == 3 * (attention + norms) + dense + 2 * sparse + OUTER == 2224
    assert active_parameters(a) == 2224 - 2 * 2 * expert == 1840
    parts = forward_flop_parts(a, Sequence(decoder_length=1, predicted=1))
    assert parts["router"] == 2 * 2 * (router + gate)
    assert parts["experts"] == 2 * 2 * (expert + shared)


def test_deepseek_v3_by_hand(read):
    a = read("deepseek_v3", **LATENT)
    attention = 8 * 3 + 3 * 2 * 5 + 8 * (4 + 2) + 4 * 2 * (3 + 5) + 2 * 5 * 8
    norms = 16 + 3 + 4
    dense, expert, router = 3 * 8 * 6, 3 * 8 * 2, 8 * 4
    assert parameters(a) == 2 * (attention + norms) + dense + router + 5 * expert + OUTER == 1122
    assert active_parameters(a) == 2 * (attention + norms) + dense + router + 3 * expert + OUTER == 1026


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"attention_bias": True}, 1122 + 2 * (3 + 6 + 8)),  # down to the latent vectors, and out
        ({"q_lora_rank": None}, 1122 + 2 * (8 * 10 - 24 - 30 - 3)),
        ({"q_lora_rank": None, "attention_bias": True}, 1122 + 2 * (8 * 10 - 24 - 30 - 3) + 2 * (6 + 8)),
        ({"num_nextn_predict_layers": 4}, 1122),  # transformers builds none of them
        ({"first_k_dense_replace": 2}, 1122 - (32 + 5 * 48) + 144),
    ],
)
def test_deepseek_v3_changed_by_hand(read, changes, expected):
    assert parameters(read("deepseek_v3", **LATENT | changes)) == expected


def test_biases_of_deepseek_v2_are_in_dense_and_shared_blocks_only(read):
    plain, with_biases = (
        read("deepseek_v2", **LATENT | {"n_shared_experts": 2, "mlp_bias": on}) for on in (False, True)
    )
    assert parameters(with_biases) - parameters(plain) == (6 + 6 + 8) + (4 + 4 + 8)  # the two shared ones are one block


def test_gpt_oss_by_hand(read):
    shape = MIXTRAL | {"intermediate_size": 5, "head_dim": 3, "num_hidden_layers": 4, "sliding_window": 4}
    a = read("gpt_oss", **shape)
    attention = 48 + 24 + 24 + 48 + (6 + 3 + 3 + 8) + 2  # biases and sinks
    router, expert = 24 + 3, 3 * 8 * 5 + 2 * 5 + 8
    assert parameters(a) == 4 * (attention + router + 3 * expert + 16) + OUTER == 2660
    assert active_parameters(a) == 2660 - 4 * expert == 2108
    # 6 tokens: 21 pairs in layers 1 and 3; 1 + 2 + 3 + 4 + 4 + 4 = 18 in layers 0 and 2
    sequence = Sequence(decoder_length=6, predicted=6)
    assert attended_positions(a, sequence, 4, decoder=True, square=False) == 2 * 21 + 2 * 18


def test_ernie_by_hand(read):
    mixture = {"moe_num_experts": 3, "moe_k": 2, "moe_num_shared_experts": 2, "moe_intermediate_size": 3}
    shape = {name: value for name, value in TINY.items() if name != "num_experts_per_tok"}
    a = read("ernie4_5_moe", **shape, **mixture, use_bias=True)
    attention = 64 + 32 + 32 + 64 + (8 + 4 + 4 + 8)
    dense = shared = 3 * 8 * 6 + (6 + 6 + 8)  # two shared experts of 3 are one block of 6
    router, expert = 8 * 3 + 3, 3 * 8 * 3
    outer = 80 + 8 + 10  # tied; the output has a bias
    assert parameters(a) == 2 * (attention + 16) + dense + router + 3 * expert + shared + outer == 1133
    assert active_parameters(a) == 1133 - expert


def test_windows_of_qwen2_moe_below_a_layer(read):
    shape = {"num_hidden_layers": 6, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 3}
    a = read("qwen2_moe", **shape)
    assert a.full_attention_layers == (1, 3, 4, 5)
    assert full_layers(a, 6) == 4
    assert read("qwen2_moe", **shape | {"max_window_layers": 6}).window_every == 2
    assert read("qwen2_moe", **shape | {"use_sliding_window": False}).attention_window is None


@pytest.mark.parametrize("model_type", ["mixtral", "phimoe"])
def test_window_in_every_layer(read, model_type):
    a = read(model_type, num_hidden_layers=3, sliding_window=9)
    assert (a.attention_window, full_layers(a, 3)) == (9, 0)
    assert read(model_type, sliding_window=None).attention_window is None


@pytest.mark.parametrize(
    ("sparse", "layers"),
    [({3}, 6), ({5}, 6), ({1, 3, 5}, 6), ({2, 3}, 4), ({0}, 3), ({1, 2, 4}, 5), ({1, 3}, 6), ({2, 5}, 7), ({4, 6}, 8)],
)
def test_places_of_experts_are_those_given(sparse, layers):
    places = places_of(layers, lambda layer: layer in sparse)
    experts = {"count": 2, "per_token": 1, "width": 4, **places}
    a = Architecture(kind="decoder", layers=layers, width=8, heads=2, experts=experts)
    counted = [expert_layers(a, upto) for upto in range(layers + 1)]
    assert {layer for layer in range(layers) if counted[layer + 1] > counted[layer]} == sparse


def test_no_layer_has_experts(read):
    for fields in ({"num_experts": 0}, {"decoder_sparse_step": 99}, {"mlp_only_layers": list(range(24))}):
        assert read("qwen3_moe", **fields).experts is None
    assert read("deepseek_v3", first_k_dense_replace=61).experts is None


# What the authors print: all parameters, those active (with the token table where they say so), and where.
PUBLISHED = {
    "mixtral-8x7b": ("mixtral", {"num_local_experts": 8}, 46_702_792_704, 12.9e9),  # arXiv 2401.04088
    "qwen1.5-moe-a2.7b": ("qwen2_moe", {}, 14_315_784_192, 2.7e9),  # model card: 14.3B, 2.7B activated
    "qwen2-57b-a14b": (
        "qwen2_moe",
        {
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 2560,
            "shared_expert_intermediate_size": 20480,
            "num_experts": 64,
            "num_experts_per_tok": 8,
        },
        57.4e9,
        14.2e9,  # arXiv 2407.10671, table 1: 57B, 14B active
    ),
    "qwen3-30b-a3b": (
        "qwen3_moe",
        {"num_hidden_layers": 48, "head_dim": 128, "max_position_embeddings": 40960},
        30_532_122_624,
        3.35e9,  # arXiv 2505.09388: 30.5B, 3.3B activated
    ),
    "deepseek-v2-lite-16b": (
        "deepseek_v2",
        {
            "hidden_size": 2048,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "q_lora_rank": None,
            "first_k_dense_replace": 1,
            "num_experts_per_tok": 6,
            "max_position_embeddings": 163840,
        },
        15_706_484_224,
        2.66e9,  # arXiv 2405.04434, appendix B: 15.7B; the printed 2.4B leaves the token table out
    ),
    "gpt-oss-20b": (
        "gpt_oss",
        {"num_hidden_layers": 24, "num_local_experts": 32},
        20_914_757_184,
        3.61e9 + 201_088 * 2880,  # arXiv 2508.10925, table 1: 20.91B, 3.61B without the token table
    ),
    "gpt-oss-120b": ("gpt_oss", {}, 116_829_156_672, 5.13e9 + 201_088 * 2880),  # 116.83B, 5.13B
    "olmoe-1b-7b": ("olmoe", {"intermediate_size": 1024}, 6_919_161_856, 1.28e9),  # arXiv 2409.02060
    "granite-3.0-1b-a400m": (
        "granitemoe",
        {
            "hidden_size": 1024,
            "intermediate_size": 512,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "num_local_experts": 32,
            "num_experts_per_tok": 8,
            "tie_word_embeddings": True,
            "vocab_size": 49155,
            "max_position_embeddings": 4096,
        },
        1_334_628_352,
        0.43e9,  # printed 1.3B, 400M
    ),
    "phi-3.5-moe": ("phimoe", {"attention_bias": True, "lm_head_bias": True}, 41_873_153_344, 6.6e9),  # 6.6B active
    "glm-4.5-air": (
        "glm4_moe",
        {"attention_bias": True, "head_dim": 128, "num_nextn_predict_layers": 1},
        106.85e9,  # arXiv 2508.06471: 106B, 12B active
        12.8e9 + 151_552 * 4096,
    ),
    "ernie-4.5-21b-a3b": ("ernie4_5_moe", {}, 21.8e9, 3.35e9),  # printed 21B, 3B
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(read, name):
    model_type, fields, in_all, active = PUBLISHED[name]
    a = read(model_type, **fields)
    assert parameters(a) == (in_all if isinstance(in_all, int) else pytest.approx(in_all, rel=0.003))
    assert active_parameters(a) == pytest.approx(active, rel=0.01)
    assert sum(parameter_parts(a).values()) == parameters(a)


PRESETS = [name for name in PUBLISHED if name in Architecture.preset_ids()]


@pytest.mark.parametrize("name", PRESETS)
def test_file_counts_what_the_preset_counts(read, name):
    model_type, fields, *_ = PUBLISHED[name]
    preset, a = Architecture.preset(name), read(model_type, **fields)
    sequence = Sequence(decoder_length=300, predicted=300)
    assert parameter_parts(a) == parameter_parts(preset)
    assert parameter_parts(a, active=True) == parameter_parts(preset, active=True)
    assert forward_flop_parts(a, sequence) == forward_flop_parts(preset, sequence)
    for field in ("positions", "activation", "norm", "norm_position", "kv_heads", "head_width", "attention_window"):
        assert getattr(a, field) == getattr(preset, field)


@pytest.mark.parametrize(
    ("name", "fields", "layers_with_experts"),
    [
        ("deepseek-v3-671b", {"model_type": "deepseek_v3", "num_nextn_predict_layers": 1}, 58),
        (
            "kimi-k2-1t",
            {
                "model_type": "kimi_k2",
                "architectures": ["DeepseekV3ForCausalLM"],
                "vocab_size": 163840,
                "num_attention_heads": 64,
                "num_key_value_heads": 64,
                "n_routed_experts": 384,
                "first_k_dense_replace": 1,
                "n_group": 1,
                "topk_group": 1,
            },
            60,
        ),
    ],
)
def test_corrections_of_the_router_are_buffers_in_transformers(read, name, fields, layers_with_experts):
    preset, a = Architecture.preset(name), read(**fields)
    corrections = layers_with_experts * preset.experts.count
    assert parameters(a) == parameters(preset) - corrections
    assert active_parameters(a) == active_parameters(preset) - corrections
    sequence = Sequence(decoder_length=300, predicted=300)
    assert forward_flop_parts(a, sequence) == forward_flop_parts(preset, sequence)


@pytest.mark.parametrize(
    ("model_type", "fields", "words"),
    [
        ("mixtral", {"num_key_value_heads": 3}, ["num_key_value_heads = 3", "32"]),
        ("mixtral", {"num_local_experts": None}, ["num_local_experts = null", "whole number"]),
        ("mixtral", {"num_local_experts": 0}, ["num_local_experts = 0", "1 or more"]),
        ("mixtral", {"num_experts_per_tok": 9}, ["visits 9 experts", "1 to 8"]),
        ("mixtral", {"num_attention_heads": 0}, ["num_attention_heads = 0", "1 or more"]),
        ("mixtral", {"hidden_act": "sine"}, ["hidden_act = 'sine'", "silu"]),
        ("mixtral", {"hidden_size": "wide"}, ['hidden_size = "wide"']),
        ("mixtral", {"tie_word_embeddings": 1}, ["tie_word_embeddings = 1", "true or false"]),
        ("deepseek_v2", {}, ["num_experts_per_tok = null"]),
        ("deepseek_v3", {"kv_lora_rank": None}, ["kv_lora_rank = null"]),
        ("deepseek_v3", {"q_lora_rank": 0}, ["q_lora_rank = 0", "1 or more"]),
        ("deepseek_v3", {"num_hidden_layers": 1e300}, ["num_hidden_layers = 1e+300", "100,000"]),
        ("qwen2_moe", {"mlp_only_layers": "all"}, ["mlp_only_layers = 'all'", "[0, 1]"]),
        ("qwen2_moe", {"decoder_sparse_step": 0}, ["decoder_sparse_step = 0"]),
        ("qwen3_moe", {"attention_bias": None}, ["attention_bias = null", "true or false"]),
        ("gpt_oss", {"layer_types": ["sliding"]}, ["layer_types", "full_attention"]),
        ("olmoe", {"num_attention_heads": 12, "num_key_value_heads": 12}, ["hidden_size = 2048", "12 x 170"]),
        ("olmoe", {"architectures": ["OlmoeForTokenClassification"]}, ["OlmoeForTokenClassification", "causal-lm"]),
        ("ernie4_5_moe", {"moe_layer_end_index": "last"}, ["moe_layer_end_index = 'last'"]),
    ],
)
def test_bad_values_are_named(read, model_type, fields, words):
    with pytest.raises((DescriptionError, ValueError)) as error:
        read(model_type, **fields)
    for word in ("config.json", *words):
        assert word in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(READERS))
def test_any_bad_value_is_counted_or_named(read, model_type):
    """Whatever stands in a field: what can be counted is, what cannot is refused by the field's name."""
    needed = {"num_experts_per_tok": 6} if model_type == "deepseek_v2" else {}
    for field in default_values(model_type):
        for value in (None, "x", -1, 0, 1.5, 1e300, True, [], ["a"], [[0]], {}):
            try:
                a = read(model_type, **needed | {field: value})
            except ValueError as error:
                told = str(error)
            else:
                assert 0 < active_parameters(a) <= parameters(a), (field, value)
                told = field
            assert field in told, (field, value)
