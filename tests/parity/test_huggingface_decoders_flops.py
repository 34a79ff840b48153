"""Executed FLOP of decoders' config.json against torch's counter over transformers' eager classes, to the integer."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import attended_positions, executed_flop
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.describe.huggingface import decoders
from tonne.reference.huggingface import default_values

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LENGTH = 13
SIZES = {
    32: ("hidden_size", "n_embd", "d_model"),
    3: ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    4: ("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"),
    2: ("num_key_value_heads", "rotary_dim"),
    50: ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    31: ("max_position_embeddings", "n_positions", "max_seq_len"),
    97: ("vocab_size",),
    12: ("head_dim",),
    5: ("sliding_window", "window_size"),
}
LOCAL = {"attention_types": [[["global", "local", "global"], 1]]}
VARIANTS = {
    "gpt_bigcode": {"multi_query": False},
    "gpt_neox": {"use_parallel_residual": False},
    "opt": {"word_embed_proj_dim": 10, "do_layer_norm_before": False},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "max_window_layers": 1},
    "phi": {"qk_layernorm": True},
    "stablelm": {"use_parallel_residual": True, "qk_layernorm": True},
    "cohere": {"use_qk_norm": True},
    "llama": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for one another take longer than these small products."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(model_type, **changes):
    """Small sizes under the names that the type gives them; heads are wider than width / heads where they can be."""
    known = default_values(model_type)
    sizes = {name: size for size, names in SIZES.items() for name in names if name in known}
    if model_type == "helium":
        sizes["head_dim"] = 8
    return sizes | (LOCAL if model_type == "gpt_neo" else {}) | {"pad_token_id": None} | changes


def language_model_of(model_type):
    """The class with the output table."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 - seconds

    return modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]


def counted_by_torch(model_type, class_name, shape):
    """FLOP of one forward and backward pass over one sequence. (On the meta device the masks cannot be made.)"""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    transformers.logging.set_verbosity_error()
    config = transformers.CONFIG_MAPPING[model_type](**shape)
    model = getattr(transformers, class_name)._from_config(config, attn_implementation="eager")
    with FlopCounterMode(display=False) as counter:
        made = model(torch.ones((1, LENGTH), dtype=torch.long))
        sum(made[name].sum() for name in ("logits", "start_logits", "end_logits") if name in made).backward()
    return counter.get_total_flops()


def read(folder, model_type, class_name, shape):
    fields = {"model_type": model_type, "architectures": [class_name], **shape}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return Architecture.from_huggingface(folder)


def counted_by_tonne(folder, model_type, class_name, shape, **sequence):
    architecture = read(folder, model_type, class_name, shape)
    return executed_flop(architecture, Sequence(decoder_length=LENGTH, **sequence))


@pytest.mark.parametrize("model_type", decoders.READERS)
def test_language_model(model_type, tmp_path):
    class_name = language_model_of(model_type)
    for changes in ({}, VARIANTS.get(model_type, {})):
        shape = small(model_type, **changes)
        counted = counted_by_tonne(tmp_path, model_type, class_name, shape, predicted=LENGTH)
        assert counted == counted_by_torch(model_type, class_name, shape), shape


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2", "opt"])
def test_a_label_for_every_token(model_type, tmp_path):
    """Its head runs over all tokens; that for a sequence is computed over all too, and one row of it is kept."""
    base = language_model_of(model_type).removesuffix("LMHeadModel").removesuffix("ForCausalLM")
    class_name = f"{base}ForQuestionAnswering" if model_type == "opt" else f"{base}ForTokenClassification"
    shape = small(model_type)
    counted = counted_by_tonne(tmp_path, model_type, class_name, shape, labelled=LENGTH)
    assert counted == counted_by_torch(model_type, class_name, shape)


WINDOWS = {
    "gpt_neo": {"attention_types": [[["global"], 1], [["local"], 2]]},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 2},
    "smollm3": {"use_sliding_window": True, "no_rope_layers": [1, 0, 0]},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention", "full_attention"]},
    "cohere2": {"sliding_window_pattern": 2},
    "olmo3": {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    "exaone4": {"sliding_window_pattern": 3},
    "mistral": {"sliding_window": None},
}


def pairs_by_torch(model_type, class_name, shape):
    """Weights of attention that are not zero, in one head of all layers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.CONFIG_MAPPING[model_type](**shape)
    model = getattr(transformers, class_name)._from_config(config, attn_implementation="eager").eval()
    made = model(torch.ones((1, LENGTH), dtype=torch.long), output_attentions=True)
    return sum(int((layer[0, 0] != 0).sum()) for layer in made.attentions)


@pytest.mark.parametrize("model_type", decoders.READERS)
def test_pairs_that_see_one_another(model_type, tmp_path):
    class_name, sequence = language_model_of(model_type), Sequence(decoder_length=LENGTH)
    for changes in ({}, WINDOWS.get(model_type, {})):
        shape = small(model_type, **changes)
        a = read(tmp_path, model_type, class_name, shape)
        counted = attended_positions(a, sequence, a.layers, decoder=True, square=False)
        assert counted == pairs_by_torch(model_type, class_name, shape), shape


@pytest.mark.parametrize("window", [4, 5])
def test_pairs_of_a_gemma_that_looks_both_ways(window, tmp_path):
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    shape = small("gemma3_text", use_bidirectional_attention=True, sliding_window=window, layer_types=kinds)
    a = read(tmp_path, "gemma3_text", "Gemma3TextModel", shape)
    counted = attended_positions(a, Sequence(encoder_length=LENGTH), a.layers, decoder=False, square=False)
    assert a.kind == "encoder"
    assert counted == pairs_by_torch("gemma3_text", "Gemma3TextModel", shape)
