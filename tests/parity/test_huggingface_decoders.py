"""Parameters of decoders' config.json against the classes that transformers builds, to the integer."""

from __future__ import annotations

import pytest

from tonne.describe.huggingface import decoders
from tonne.reference.huggingface import default_values

pytestmark = pytest.mark.slow  # transformers takes seconds to import

# small odd sizes under each configuration's names
GPT = {"n_layer": 3, "n_embd": 24, "n_head": 4, "vocab_size": 97, "n_positions": 31}
LLAMA = {
    "num_hidden_layers": 3,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "intermediate_size": 50,
    "vocab_size": 97,
    "max_position_embeddings": 31,
    "pad_token_id": None,
}
GROUPED = LLAMA | {"num_key_value_heads": 2}
WIDE = GROUPED | {"head_dim": 10}
TWO_SINGLE = LLAMA | {"num_key_value_heads": 1, "num_hidden_layers": 2}
OF_LLAMA = (
    LLAMA | {"num_key_value_heads": 4},
    GROUPED,
    TWO_SINGLE,
    LLAMA | {"num_key_value_heads": 2, "hidden_size": 40},
)
ATTENTION_BIAS = {"attention_bias": True}
NO_ATTENTION_BIAS = {"attention_bias": False}
BOTH_BIASES = {"attention_bias": True, "mlp_bias": True}
HALF = {"tie_word_embeddings": True}
APART = {"tie_word_embeddings": False}
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]

SHAPES: dict[str, tuple[dict[str, object], ...]] = {
    "gpt2": (
        GPT,
        GPT | {"n_inner": 50},
        GPT | APART,
        GPT | {"n_layer": 1, "n_head": 3},
        GPT | {"n_positions": 7, "n_inner": 9},
        GPT | {"vocab_size": 5} | APART,
    ),
    "gpt_bigcode": (
        GPT,
        GPT | {"multi_query": False},
        GPT | {"n_inner": 50},
        GPT | APART,
        GPT | {"n_head": 6, "n_positions": 9},
        GPT | {"n_layer": 1, "n_inner": 8, "multi_query": False} | APART,
    ),
    "gptj": (
        GPT | {"rotary_dim": 2},
        GPT | {"n_inner": 50, "rotary_dim": 2},
        GPT | HALF,
        GPT | {"n_head": 3},
        GPT | {"n_positions": 7},
        GPT | {"n_layer": 1, "n_embd": 40, "n_inner": 3} | HALF,
    ),
    "codegen": (
        GPT | {"rotary_dim": 2},
        GPT | {"n_inner": 50, "rotary_dim": 2},
        GPT | HALF,
        GPT | {"n_head": 12},
        GPT | {"n_positions": 7},
        GPT | {"n_layer": 1, "n_embd": 40, "n_inner": 3} | HALF,
    ),
    "openai-gpt": (
        GPT,
        GPT | APART,
        GPT | {"n_head": 6},
        GPT | {"n_positions": 7},
        GPT | {"n_layer": 1, "n_embd": 36},
        GPT | {"vocab_size": 5} | APART,
    ),
    "gpt_neo": tuple(
        {"num_layers": 4, "hidden_size": 24, "num_heads": 4, "vocab_size": 97, "max_position_embeddings": 31} | more
        for more in (
            {"attention_types": [[["global", "local"], 2]]},
            {"attention_types": [[["global"], 1], [["local"], 3]], "window_size": 5},
            {"attention_types": [[["local"], 4]], "intermediate_size": 50},
            {"attention_types": [[["global"], 4]]} | APART,
            {"attention_types": [[["global", "local"], 2]], "num_heads": 2, "max_position_embeddings": 9},
            {"attention_types": [[["global"], 3]], "num_layers": 3, "hidden_size": 40, "vocab_size": 5} | APART,
        )
    ),
    "gpt_neox": (
        LLAMA,
        LLAMA | NO_ATTENTION_BIAS,
        LLAMA | {"use_parallel_residual": False},
        LLAMA | HALF,
        LLAMA | {"num_hidden_layers": 1, "hidden_size": 40},
        LLAMA | {"intermediate_size": 7, "num_attention_heads": 2} | NO_ATTENTION_BIAS | HALF,
    ),
    "opt": tuple(
        {
            "num_hidden_layers": 3,
            "hidden_size": 24,
            "num_attention_heads": 4,
            "ffn_dim": 50,
            "vocab_size": 97,
            "max_position_embeddings": 31,
        }
        | more
        for more in (
            {},
            {"word_embed_proj_dim": 10, "do_layer_norm_before": False} | APART,
            {"word_embed_proj_dim": 24, "enable_bias": False},
            {"layer_norm_elementwise_affine": False},
            {"_remove_final_layer_norm": True, "ffn_dim": 7},
            {"max_position_embeddings": 5, "num_hidden_layers": 1} | APART,
            {"word_embed_proj_dim": 10},
        )
    ),
    "bloom": tuple(
        {"n_layer": 3, "hidden_size": 24, "n_head": 4, "vocab_size": 97} | more
        for more in (
            {},
            APART,
            {"n_head": 3},
            {"hidden_size": 40},
            {"apply_residual_connection_post_layernorm": True},
            {"n_layer": 1, "vocab_size": 5} | APART,
        )
    ),
    "falcon": tuple(
        {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 4, "vocab_size": 97} | more
        for more in (
            {},
            {"bias": True},
            {"multi_query": False},
            {"parallel_attn": False, "alibi": True, "multi_query": False},
            {"new_decoder_architecture": True, "num_kv_heads": 2},
            {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
            {"new_decoder_architecture": True, "ffn_hidden_size": 50, "bias": True} | APART,
            {"new_decoder_architecture": True, "parallel_attn": False, "num_ln_in_parallel_attn": 1},
            {"num_kv_heads": 2, "ffn_hidden_size": 7},
            {"num_ln_in_parallel_attn": 2},
        )
    ),
    "mpt": tuple(
        {"n_layers": 3, "d_model": 24, "n_heads": 4, "vocab_size": 97, "max_seq_len": 31} | more
        for more in (
            {},
            APART,
            {"n_heads": 2},
            {"d_model": 40},
            {"expansion_ratio": 2},
            {"n_layers": 1, "no_bias": False},
        )
    ),
    "biogpt": (
        LLAMA,
        LLAMA | APART,
        LLAMA | {"hidden_size": 40},
        LLAMA | {"max_position_embeddings": 9},
        LLAMA | {"intermediate_size": 7, "num_hidden_layers": 1},
        LLAMA | {"vocab_size": 5} | APART,
    ),
    "xglm": tuple(
        {
            "num_layers": 3,
            "d_model": 24,
            "attention_heads": 4,
            "ffn_dim": 50,
            "vocab_size": 97,
            "max_position_embeddings": 31,
        }
        | more
        for more in (
            {},
            APART,
            {"d_model": 40},
            {"max_position_embeddings": 9},
            {"ffn_dim": 7},
            {"num_layers": 1, "attention_heads": 2, "vocab_size": 5} | APART,
        )
    ),
    "llama": (
        *OF_LLAMA,
        LLAMA,  # as many key-value heads as heads
        WIDE | BOTH_BIASES,
        WIDE | {"mlp_bias": True} | HALF,
        LLAMA | ATTENTION_BIAS | {"quantization_config": {"quant_method": "fp8"}},
    ),
    "mistral": (*OF_LLAMA, WIDE | {"sliding_window": None}, WIDE | HALF | {"sliding_window": 5}),
    "qwen2": (
        *OF_LLAMA,
        GROUPED | HALF,
        GROUPED | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": (
        *OF_LLAMA,
        WIDE | ATTENTION_BIAS,
        WIDE | HALF,
        WIDE | {"use_sliding_window": True, "max_window_layers": 2},
    ),
    "gemma": (*OF_LLAMA, WIDE | ATTENTION_BIAS, WIDE | APART),
    "gemma2": (*OF_LLAMA, WIDE | ATTENTION_BIAS, WIDE | APART | {"layer_types": KINDS, "sliding_window": 5}),
    "gemma3_text": (
        *OF_LLAMA,
        WIDE | ATTENTION_BIAS,
        WIDE | APART | {"layer_types": KINDS, "sliding_window": 5},
        WIDE | {"use_bidirectional_attention": True},
    ),
    "phi": (*OF_LLAMA, GROUPED | {"qk_layernorm": True}, GROUPED | HALF, LLAMA),
    "phi3": (*OF_LLAMA, GROUPED | {"sliding_window": 5}, GROUPED | HALF, LLAMA),
    "olmo": (*OF_LLAMA, GROUPED | ATTENTION_BIAS, GROUPED | HALF, LLAMA | {"clip_qkv": 8.0}),
    "olmo2": (*OF_LLAMA, GROUPED | ATTENTION_BIAS, GROUPED | HALF, LLAMA),
    "olmo3": (*OF_LLAMA, GROUPED | ATTENTION_BIAS, GROUPED | HALF | {"layer_types": KINDS, "sliding_window": 5}, LLAMA),
    "stablelm": (
        *OF_LLAMA,
        GROUPED | {"use_qkv_bias": True},
        GROUPED | {"qk_layernorm": True},
        GROUPED | {"use_parallel_residual": True} | HALF,
        GROUPED | {"use_parallel_residual": True, "qk_layernorm": True, "use_qkv_bias": True},
    ),
    "starcoder2": (*OF_LLAMA, GROUPED | {"use_bias": False, "sliding_window": 5}, GROUPED | APART),
    "granite": (*OF_LLAMA, GROUPED | BOTH_BIASES, GROUPED | HALF, LLAMA | {"mlp_bias": True}),
    "smollm3": (
        *OF_LLAMA,
        GROUPED | BOTH_BIASES,
        GROUPED | APART | {"use_sliding_window": True, "sliding_window": 5, "no_rope_layer_interval": 2},
        GROUPED | {"mlp_bias": True, "no_rope_layers": [1, 0, 0], "use_sliding_window": True, "sliding_window": 5},
    ),
    "cohere": (*OF_LLAMA, GROUPED | {"use_qk_norm": True}, GROUPED | APART, GROUPED | ATTENTION_BIAS, LLAMA),
    "cohere2": (
        *OF_LLAMA,
        GROUPED | APART,
        GROUPED | ATTENTION_BIAS | {"sliding_window_pattern": 2},
        GROUPED | {"layer_types": KINDS, "sliding_window": 5},
    ),
    "nemotron": (*OF_LLAMA, WIDE | BOTH_BIASES, WIDE | HALF, WIDE | {"mlp_bias": True}),
    "exaone4": (
        *OF_LLAMA,
        GROUPED | HALF,
        GROUPED | {"layer_types": KINDS, "sliding_window": 5},
        GROUPED | {"sliding_window_pattern": 2},
        GROUPED | {"sliding_window": None, "layer_types": ["full_attention"] * 3},
    ),
    "glm": (*OF_LLAMA, WIDE | NO_ATTENTION_BIAS, WIDE | HALF),
    "glm4": (*OF_LLAMA, WIDE | NO_ATTENTION_BIAS, WIDE | HALF),
    "ernie4_5": (*OF_LLAMA, WIDE | {"use_bias": True}, WIDE | APART),
    "hunyuan_v1_dense": (
        WIDE,
        WIDE | ATTENTION_BIAS,
        WIDE | HALF,
        LLAMA | {"head_dim": 6},
        WIDE | {"num_key_value_heads": 1},
        WIDE | {"num_hidden_layers": 1, "hidden_size": 40},
    ),
    "seed_oss": (
        *OF_LLAMA,
        WIDE | {"attention_out_bias": True},
        WIDE | {"mlp_bias": True} | NO_ATTENTION_BIAS,
        WIDE | HALF | {"head_dim": None},
    ),
    "apertus": (*OF_LLAMA, GROUPED | ATTENTION_BIAS, GROUPED | HALF, GROUPED | {"hidden_act": "silu"}),
    "helium": tuple(
        GROUPED | {"head_dim": 6} | more
        for more in ({}, ATTENTION_BIAS, {"mlp_bias": True}, HALF, {"num_key_value_heads": 1}, {"num_hidden_layers": 1})
    ),
    "arcee": (*OF_LLAMA, WIDE | BOTH_BIASES, WIDE | HALF, LLAMA | {"mlp_bias": True}),
}
NOT_CHANGED = {"add_cross_attention", "is_encoder_decoder"}  # those make another kind of model, and are refused
HELIUM_TOGETHER = {"hidden_size", "num_attention_heads", "head_dim"}  # its class cannot run unless they agree


def classes_of(model_type: str) -> list[str]:
    """Classes with a known head that transformers has for a model type."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 - seconds

    tables = ["MODEL", "MODEL_FOR_CAUSAL_LM"]
    tables += [
        f"MODEL_FOR_{task}" for task in ("SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING")
    ]
    found = [getattr(modeling_auto, f"{table}_MAPPING_NAMES").get(model_type) for table in tables]
    return [name for name in found if name]


def language_model_of(model_type: str) -> str:
    """The class with the output table."""
    return next(name for name in classes_of(model_type) if name.endswith(("ForCausalLM", "LMHeadModel")))


def test_every_type_has_six_shapes():
    assert set(SHAPES) == set(decoders.READERS)
    assert min(len(shapes) for shapes in SHAPES.values()) >= 6


@pytest.mark.parametrize("model_type", SHAPES)
def test_language_model_at_odd_shapes(model_type, built_and_counted):
    for shape in SHAPES[model_type]:
        built, counted = built_and_counted(model_type, language_model_of(model_type), **shape)
        assert counted == built, shape


@pytest.mark.parametrize("model_type", SHAPES)
def test_every_class(model_type, built_and_counted):
    for class_name in classes_of(model_type):
        for shape in (SHAPES[model_type][0], SHAPES[model_type][-1] | {"num_labels": 5}):
            built, counted = built_and_counted(model_type, class_name, **shape)
            assert counted == built, (class_name, shape)


@pytest.mark.parametrize("model_type", SHAPES)
def test_the_default_shape(model_type, built_and_counted):
    needed = {"nemotron": {"num_key_value_heads": 8}, "hunyuan_v1_dense": {"head_dim": 128}}  # what transformers needs
    class_name = language_model_of(model_type)
    built, counted = built_and_counted(model_type, class_name, **needed.get(model_type, {}))
    assert counted == built


@pytest.mark.parametrize("model_type", SHAPES)
def test_each_switch_and_number_changed_alone(model_type, built_and_counted):
    """A field that bears on the shape and that no list above names would show here."""
    changed, base = 0, SHAPES[model_type][0]
    if "num_key_value_heads" in base:
        base = base | {"num_key_value_heads": 2}  # the double divides the heads
    for name, value in {**default_values(model_type), **base}.items():
        if not isinstance(value, bool | int) or name in NOT_CHANGED:
            continue
        if model_type == "helium" and name in HELIUM_TOGETHER:
            continue
        shape = base | {name: not value if isinstance(value, bool) else 2 * value}
        if name == "num_layers" and "attention_types" in shape:
            shape["attention_types"] = [[["global"], shape["num_layers"]]]
        built, counted = built_and_counted(model_type, language_model_of(model_type), **shape)
        assert counted == built, shape
        changed += 1
    assert changed >= 6
