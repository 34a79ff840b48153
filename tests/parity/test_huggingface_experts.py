"""Decoders with experts: the class that transformers builds against our count of its config.json, number by number.

torch's counter of FLOP has a formula for the products of experts one by one (eager: real numbers, for they decide who
visits whom) and in a batch (where nothing is decided, so it runs without memory). It has none for grouped products.
"""

from __future__ import annotations

import pytest

from tonne.count.flops import attended_positions, executed_flop, forward_flop_parts
from tonne.count.layers import expert_matrices
from tonne.count.parameters import active_parameters, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

pytestmark = pytest.mark.slow  # transformers takes seconds to import

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
FLEX = {**OLMOE, "pad_token_id": None}
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
    "granitemoeshared": (
        MIXTRAL,
        MIXTRAL | {"shared_intermediate_size": 24},
        MIXTRAL | {"shared_intermediate_size": 40, "attention_bias": True},
        MIXTRAL | {"shared_intermediate_size": 9, "tie_word_embeddings": True},
        MIXTRAL | {"num_key_value_heads": None, "num_local_experts": 12},
        MIXTRAL | {"hidden_size": 50, "intermediate_size": 9},
    ),
    "minimax_m2": (
        MIXTRAL | {"head_dim": 12},
        MIXTRAL | {"head_dim": 20},
        MIXTRAL | {"head_dim": 8, "tie_word_embeddings": True},
        MIXTRAL | {"head_dim": 8, "num_key_value_heads": 1},
        MIXTRAL | {"head_dim": 8, "num_local_experts": 12, "intermediate_size": 9},
        MIXTRAL | {"head_dim": 8, "num_hidden_layers": 1, "num_experts_per_tok": 5},
    ),
    "flex_olmo": (
        FLEX,
        FLEX | {"tie_word_embeddings": True},
        FLEX | {"attention_bias": True},
        FLEX | {"num_key_value_heads": None},
        FLEX | {"hidden_size": 50, "num_key_value_heads": 1},
        FLEX | {"num_experts": 12, "intermediate_size": 9, "num_hidden_layers": 2},
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
    "granitemoeshared": "GraniteMoeShared",
    "minimax_m2": "MiniMaxM2",
    "flex_olmo": "FlexOlmo",
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


@pytest.mark.parametrize(("model_type", "shape"), CASES)
def test_language_model(built_and_counted, model_type, shape):
    built, counted = built_and_counted(model_type, f"{CLASS_PREFIX[model_type]}ForCausalLM", **shape)
    assert counted == built


@pytest.mark.parametrize("model_type", sorted(CLASS_PREFIX))
def test_base_and_labelled(built_and_counted, model_type):
    for ending in ("Model", *HEADS_BESIDE_BASE.get(model_type, ())):
        for more in ({}, {"num_labels": 5}, {"tie_word_embeddings": True}):
            shape = SHAPES[model_type][0] | more
            built, counted = built_and_counted(model_type, CLASS_PREFIX[model_type] + ending, **shape)
            assert counted == built, (ending, more)


@pytest.mark.parametrize("model_type", sorted(CLASS_PREFIX))
def test_all_classes_of_the_type_are_tested(model_type):
    transformers = pytest.importorskip("transformers")
    prefix = CLASS_PREFIX[model_type]
    endings = ("Model", "ForCausalLM", *LABELLED, "ForMultipleChoice", "ForMaskedLM")
    offered = {ending for ending in endings if hasattr(transformers, prefix + ending)}
    assert offered == {"Model", "ForCausalLM", *HEADS_BESIDE_BASE.get(model_type, ())}


@pytest.mark.parametrize("model_type", sorted(set(CLASS_PREFIX) - {"deepseek_v2"}))
def test_defaults(built_and_counted, model_type):
    built, counted = built_and_counted(model_type, f"{CLASS_PREFIX[model_type]}ForCausalLM")
    assert counted == built


def test_defaults_of_deepseek_v2_but_the_experts_per_token_that_it_has_no_default_for(built_and_counted):
    built, counted = built_and_counted("deepseek_v2", "DeepseekV2ForCausalLM", num_experts_per_tok=6)
    assert counted == built


def test_kimi_k2_is_deepseek_v3_under_a_type_of_its_own(built_and_counted, tmp_path):
    sizes = {"vocab_size": 163840, "num_attention_heads": 64, "num_key_value_heads": 64}
    sizes |= {"n_routed_experts": 384, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
    built, _ = built_and_counted("deepseek_v3", "DeepseekV3ForCausalLM", **sizes)
    text = (tmp_path / "config.json").read_text(encoding="utf-8").replace('"deepseek_v3"', '"kimi_k2"')
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert parameters(Architecture.from_huggingface(tmp_path)) == built == 1_026_408_209_408


LENGTH = 16  # at least 16 bytes a row, which grouped products ask for
SEQUENCE = Sequence(decoder_length=LENGTH, predicted=LENGTH)
FIRST = [pytest.param(model_type, shapes[0], id=model_type) for model_type, shapes in SHAPES.items()]
STACKED = ("gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias")


@pytest.fixture
def built(tmp_path):
    """(the class on a device, its architecture as we read it) for a model type, its fields and a way to run experts."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()

    def pair(model_type, fields, *, experts="eager", device="meta"):
        torch.manual_seed(0)
        ways = {"attn_implementation": "eager", "experts_implementation": experts}
        config = transformers.CONFIG_MAPPING[model_type](**fields, **ways)
        name = f"{CLASS_PREFIX[model_type]}ForCausalLM"
        config.architectures = [name]
        config.save_pretrained(tmp_path)
        with torch.device(device):
            model = getattr(transformers, name)(config)
        if device == "cpu":
            with torch.no_grad():
                for weight in model.parameters():
                    weight.normal_(std=0.1)
        return model, Architecture.from_huggingface(tmp_path)

    return pair


def counted_flop(model, device):
    """torch's count of one step over one sequence, its mask given: to make one, transformers looks at numbers."""
    import torch  # noqa: PLC0415 - seconds
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    with torch.device(device):
        tokens, mask = torch.zeros(1, LENGTH, dtype=torch.long), torch.zeros(1, 1, LENGTH, LENGTH)
    with FlopCounterMode(display=False) as counter:
        model(tokens, attention_mask=mask, use_cache=False).logits.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(("model_type", "shape"), CASES)
def test_step_with_experts_in_a_batch(built, model_type, shape):
    model, a = built(model_type, shape, experts="batched_mm")
    assert executed_flop(a, SEQUENCE) == counted_flop(model, "meta")


@pytest.mark.parametrize(("model_type", "shape"), FIRST)
def test_step_with_experts_one_by_one(built, model_type, shape):
    model, a = built(model_type, shape, device="cpu")
    assert executed_flop(a, SEQUENCE) == counted_flop(model, "cpu")


@pytest.mark.parametrize("model_type", ["mixtral", "qwen2_moe", "deepseek_v3", "gpt_oss"])
def test_torch_counts_no_grouped_products(built, model_type):
    """The counter of torch leaves out just what the routed experts do; what it prints of such a model is too low."""
    model, a = built(model_type, SHAPES[model_type][0], experts="grouped_mm", device="cpu")
    routed = a.experts.per_token * expert_matrices(a, a.experts) * (a.layers - a.experts.dense_layers)
    assert executed_flop(a, SEQUENCE) - counted_flop(model, "cpu") == 3 * 2 * LENGTH * routed


@pytest.mark.parametrize(("model_type", "shape"), CASES)
def test_active_parameters(built, model_type, shape):
    """Of the stacked experts, as many as a token visits."""
    model, a = built(model_type, shape)
    numbers = 0
    for name, weight in model.named_parameters():
        stacked = ".experts." in name and name.split(".")[-1] in STACKED
        numbers += weight.numel() // a.experts.count * a.experts.per_token if stacked else weight.numel()
    assert active_parameters(a) == numbers


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("mixtral", {}),
        ("mixtral", {"sliding_window": 5}),
        ("phimoe", {"sliding_window": 5}),
        ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 3}),
        ("qwen2_moe", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3}),
        ("qwen2_moe", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 28}),
        ("gpt_oss", {}),
        ("gpt_oss", {"layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 3, "sliding_window": 4}),
    ],
)
def test_positions_attended_to_are_those_of_the_masks(built, model_type, changes):
    import torch  # noqa: PLC0415 - seconds

    model, a = built(model_type, SHAPES[model_type][0] | changes, device="cpu")
    seen = []

    def keep(_module, _inputs, given):
        mask = given["attention_mask"]
        seen.append(int((mask == 0).sum()) if mask.dtype != torch.bool else int(mask.sum()))

    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(keep, with_kwargs=True)
    model(torch.zeros(1, LENGTH, dtype=torch.long), use_cache=False)
    assert len(seen) == a.layers
    assert attended_positions(a, SEQUENCE, a.layers, decoder=True, square=False) == sum(seen)
    assert forward_flop_parts(a, SEQUENCE)["attention_scores"] == 2 * sum(seen) * a.heads * 2 * a.head_width
