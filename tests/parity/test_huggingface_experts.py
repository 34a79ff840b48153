"""Decoders with experts: the class that transformers builds against our count of its config.json, number by number."""

from __future__ import annotations

import pytest

SMALL = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
FIVE = {"num_experts_per_tok": 2}
MIXTRAL = {**SMALL, **FIVE, "num_local_experts": 5}
QWEN2 = {
    **SMALL,
    **FIVE,
    "num_experts": 5,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 56,
}
QWEN3 = {**SMALL, **FIVE, "num_experts": 5, "moe_intermediate_size": 24}
LATENT = {
    **SMALL,
    **FIVE,
    "num_key_value_heads": 4,
    "n_routed_experts": 6,
    "n_shared_experts": 2,
    "moe_intermediate_size": 20,
    "kv_lora_rank": 18,
    "q_lora_rank": 22,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 14,
    "v_head_dim": 10,
}
V3 = {**LATENT, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 2}
GPT_OSS = {**SMALL, **FIVE, "num_local_experts": 6, "head_dim": 8, "sliding_window": 5}
OLMOE = {**SMALL, **FIVE, "num_experts": 5}
GLM4 = {
    **SMALL,
    **FIVE,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "moe_intermediate_size": 20,
    "first_k_dense_replace": 1,
}
ERNIE = {
    **SMALL,
    "moe_k": 2,
    "moe_num_experts": 6,
    "moe_num_shared_experts": 2,
    "moe_intermediate_size": 20,
    "moe_layer_start_index": 1,
}

SHAPES = {
    "mixtral": (
        MIXTRAL,
        MIXTRAL | {"tie_word_embeddings": True},
        MIXTRAL | {"head_dim": 20},
        MIXTRAL | {"hidden_size": 50},  # heads of 12, rounded down
        MIXTRAL | {"num_key_value_heads": 4, "sliding_window": 7},
        MIXTRAL | {"num_local_experts": 3, "num_experts_per_tok": 1, "num_hidden_layers": 1, "intermediate_size": 7},
    ),
    "qwen2_moe": (
        QWEN2,
        QWEN2 | {"tie_word_embeddings": True},
        QWEN2 | {"qkv_bias": False, "shared_expert_intermediate_size": 24},
        QWEN2 | {"decoder_sparse_step": 2},
        QWEN2 | {"decoder_sparse_step": 2, "num_hidden_layers": 6, "mlp_only_layers": [0, 3, 9]},
        QWEN2 | {"mlp_only_layers": [1, 3]},
        QWEN2 | {"num_experts": 0},
        QWEN2 | {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 3},
        QWEN2 | {"head_dim": 20, "num_key_value_heads": 1},
        QWEN2 | {"decoder_sparse_step": 4},
        QWEN2 | {"decoder_sparse_step": 9},
    ),
    "qwen3_moe": (
        QWEN3,
        QWEN3 | {"tie_word_embeddings": True},
        QWEN3 | {"attention_bias": True},
        QWEN3 | {"head_dim": 20},
        QWEN3 | {"decoder_sparse_step": 3, "num_hidden_layers": 7},
        QWEN3 | {"mlp_only_layers": [0], "use_sliding_window": True, "sliding_window": 6},
        QWEN3 | {"num_experts": 9, "num_experts_per_tok": 8, "moe_intermediate_size": 7},
    ),
    "deepseek_v2": (
        LATENT,
        LATENT | {"q_lora_rank": None},
        LATENT | {"attention_bias": True},
        LATENT | {"attention_bias": True, "q_lora_rank": None},
        LATENT | {"mlp_bias": True, "first_k_dense_replace": 1},
        LATENT | {"first_k_dense_replace": 3, "tie_word_embeddings": True},
        LATENT | {"first_k_dense_replace": 5},
        LATENT | {"moe_layer_freq": 2, "n_shared_experts": 1},
        LATENT | {"num_key_value_heads": None, "v_head_dim": 14},
    ),
    "deepseek_v3": (
        V3,
        V3 | {"q_lora_rank": None},
        V3 | {"attention_bias": True},
        V3 | {"attention_bias": True, "q_lora_rank": None},
        V3 | {"first_k_dense_replace": 0, "tie_word_embeddings": True},
        V3 | {"first_k_dense_replace": 9},
        V3 | {"num_nextn_predict_layers": 3},
        V3 | {"num_attention_heads": 5, "num_key_value_heads": 5, "hidden_size": 46, "n_shared_experts": 3},
    ),
    "gpt_oss": (
        GPT_OSS,
        GPT_OSS | {"tie_word_embeddings": True},
        GPT_OSS | {"attention_bias": False},
        GPT_OSS | {"head_dim": 20, "num_key_value_heads": 4},
        GPT_OSS | {"num_local_experts": 3, "num_experts_per_tok": 3, "intermediate_size": 31},
        GPT_OSS | {"layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 3},
    ),
    "olmoe": (
        OLMOE,
        OLMOE | {"tie_word_embeddings": True},
        OLMOE | {"attention_bias": True},
        OLMOE | {"num_key_value_heads": None},
        OLMOE | {"num_key_value_heads": 1, "clip_qkv": 8.0},
        OLMOE | {"num_experts": 12, "intermediate_size": 9, "num_hidden_layers": 2},
    ),
    "granitemoe": (
        MIXTRAL,
        MIXTRAL | {"tie_word_embeddings": True},
        MIXTRAL | {"attention_bias": True},
        MIXTRAL | {"num_key_value_heads": None},
        MIXTRAL | {"hidden_size": 50},
        MIXTRAL | {"num_local_experts": 12, "num_experts_per_tok": 8, "intermediate_size": 9},
    ),
    "phimoe": (
        MIXTRAL,
        MIXTRAL | {"tie_word_embeddings": True, "lm_head_bias": True},
        MIXTRAL | {"attention_bias": True},
        MIXTRAL | {"lm_head_bias": True},
        MIXTRAL | {"sliding_window": 7, "num_key_value_heads": 1},
        MIXTRAL | {"head_dim": 20, "num_local_experts": 3, "intermediate_size": 9},
    ),
    "glm4_moe": (
        GLM4,
        GLM4 | {"tie_word_embeddings": True},
        GLM4 | {"attention_bias": True},
        GLM4 | {"use_qk_norm": True, "head_dim": 20},
        GLM4 | {"first_k_dense_replace": 0, "n_shared_experts": 3},
        GLM4 | {"first_k_dense_replace": 4, "num_nextn_predict_layers": 2},
        GLM4 | {"num_key_value_heads": 1, "n_routed_experts": 12, "num_experts_per_tok": 5},
    ),
    "ernie4_5_moe": (
        ERNIE,
        ERNIE | {"tie_word_embeddings": False},
        ERNIE | {"use_bias": True},
        ERNIE | {"use_bias": True, "tie_word_embeddings": False, "moe_num_shared_experts": 1},
        ERNIE | {"moe_layer_interval": 2, "moe_layer_start_index": 0},
        ERNIE | {"moe_layer_interval": 2, "moe_layer_start_index": 2, "num_hidden_layers": 9},
        ERNIE | {"moe_layer_end_index": 2},
        ERNIE | {"moe_num_shared_experts": 0, "head_dim": 20},
        ERNIE | {"moe_layer_start_index": 7},
    ),
}
CLASS_PREFIX = {
    "mixtral": "Mixtral",
    "qwen2_moe": "Qwen2Moe",
    "qwen3_moe": "Qwen3Moe",
    "deepseek_v2": "DeepseekV2",
    "deepseek_v3": "DeepseekV3",
    "gpt_oss": "GptOss",
    "olmoe": "Olmoe",
    "granitemoe": "GraniteMoe",
    "phimoe": "Phimoe",
    "glm4_moe": "Glm4Moe",
    "ernie4_5_moe": "Ernie4_5_Moe",
}
LABELLED = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
HEADS_BESIDE_BASE = {
    "mixtral": LABELLED,
    "qwen2_moe": LABELLED,
    "qwen3_moe": LABELLED,
    "deepseek_v2": LABELLED[:1],
    "deepseek_v3": LABELLED[:2],
    "gpt_oss": LABELLED[:2],
    "phimoe": LABELLED[:1],
}


CASES = [
    pytest.param(model_type, shape, id=f"{model_type}-{number}")
    for model_type, shapes in SHAPES.items()
    for number, shape in enumerate(shapes)
]


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "shape"), CASES)
def test_language_model(built_and_counted, model_type, shape):
    built, counted = built_and_counted(model_type, f"{CLASS_PREFIX[model_type]}ForCausalLM", **shape)
    assert counted == built


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(CLASS_PREFIX))
def test_base_and_labelled(built_and_counted, model_type):
    for ending in ("Model", *HEADS_BESIDE_BASE.get(model_type, ())):
        for more in ({}, {"num_labels": 5}, {"tie_word_embeddings": True}):
            shape = SHAPES[model_type][0] | more
            built, counted = built_and_counted(model_type, CLASS_PREFIX[model_type] + ending, **shape)
            assert counted == built, (ending, more)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(CLASS_PREFIX))
def test_all_classes_of_the_type_are_tested(model_type):
    transformers = pytest.importorskip("transformers")
    prefix = CLASS_PREFIX[model_type]
    endings = ("Model", "ForCausalLM", *LABELLED, "ForMultipleChoice", "ForMaskedLM")
    offered = {ending for ending in endings if hasattr(transformers, prefix + ending)}
    assert offered == {"Model", "ForCausalLM", *HEADS_BESIDE_BASE.get(model_type, ())}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(set(CLASS_PREFIX) - {"deepseek_v2"}))
def test_defaults(built_and_counted, model_type):
    built, counted = built_and_counted(model_type, f"{CLASS_PREFIX[model_type]}ForCausalLM")
    assert counted == built


@pytest.mark.slow
def test_defaults_of_deepseek_v2_but_the_experts_per_token_that_it_has_no_default_for(built_and_counted):
    built, counted = built_and_counted("deepseek_v2", "DeepseekV2ForCausalLM", num_experts_per_tok=6)
    assert counted == built
