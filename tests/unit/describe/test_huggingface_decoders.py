"""Decoders' config.json: counts by hand, windows by hand, and what is refused."""

from __future__ import annotations

import json

import pytest

from tonne.count.flops import attended_positions, full_layers
from tonne.count.parameters import parameter_parts, parameters
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError, PlanFileError

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 30,
}


@pytest.fixture
def read(tmp_path):
    def of(**fields):
        (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
        return Architecture.from_huggingface(tmp_path)

    return of


def of_type(model_type, **changes):
    return {**LLAMA, "model_type": model_type, "architectures": None, **changes}


def test_llama_by_hand(read):
    # heads 2 wide; queries and output 8 x 8, keys and values 8 x 4, three of 8 x 20, two norms
    layer = 2 * 64 + 2 * 32 + 3 * 160 + 2 * 8
    assert parameters(read(**LLAMA)) == 2 * 30 * 8 + 2 * layer + 8
    assert parameters(read(**LLAMA, tie_word_embeddings=True)) == 30 * 8 + 2 * layer + 8
    # biases: queries and output 8 each, keys and values 4 each; 20, 20 and 8
    biases = 2 * (8 + 4 + 4 + 8 + 20 + 20 + 8)
    assert parameters(read(**LLAMA, attention_bias=True, mlp_bias=True)) == 2 * 30 * 8 + 2 * layer + 8 + biases


def test_heads_wider_than_their_share(read):
    # heads 5 wide: queries 8 x 20, keys and values 8 x 10, output 20 x 8
    layer = 2 * 160 + 2 * 80 + 3 * 160 + 2 * 8
    assert parameters(read(**LLAMA, head_dim=5)) == 2 * 30 * 8 + 2 * layer + 8


def test_a_quantised_file_counts_the_same(read):
    quantised = {"quant_method": "gptq", "bits": 4}
    assert parameters(read(**LLAMA, quantization_config=quantised)) == parameters(read(**LLAMA))


@pytest.mark.parametrize(
    ("class_name", "head"),
    [
        ("LlamaModel", 0),
        ("LlamaForCausalLM", 30 * 8),
        ("LlamaForSequenceClassification", 3 * 8),
        ("LlamaForTokenClassification", 3 * 8 + 3),
        ("LlamaForQuestionAnswering", 2 * 8 + 2),
    ],
)
def test_what_stands_on_top(class_name, head, read):
    bare = 30 * 8 + 2 * (2 * 64 + 2 * 32 + 3 * 160 + 2 * 8) + 8
    fields = LLAMA | {"architectures": [class_name], "id2label": {"0": "a", "1": "b", "2": "c"}}
    assert parameters(read(**fields)) == bare + head


def test_opt_350m_projects_a_narrower_table(read):
    a = read(
        model_type="opt", hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, ffn_dim=4096,
        word_embed_proj_dim=512, do_layer_norm_before=False, _remove_final_layer_norm=False,
    )  # fmt: skip
    layer = 4 * (1024 * 1024 + 1024) + 1024 * 4096 + 4096 + 4096 * 1024 + 1024 + 2 * 2 * 1024
    assert parameters(a) == 50272 * 512 + (2048 + 2) * 1024 + 2 * 512 * 1024 + 24 * layer
    assert (a.norm_position, a.final_norm) == ("post", False)


def test_falcon_7b_shares_one_norm_and_one_key_value_head(read):
    a = read(model_type="falcon")  # its defaults are those of the 7B
    # heads 64 wide: queries and output 4544 x 4544, keys and values 4544 x 64; one norm with bias
    layer = 2 * 4544**2 + 2 * 4544 * 64 + 2 * 4544 * 4 * 4544 + 2 * 4544
    assert parameters(a) == 65024 * 4544 + 32 * layer + 2 * 4544
    assert (a.parallel_blocks, a.shared_block_norm, a.kv_heads) == (True, True, 1)


def test_apertus_learns_two_numbers_an_activation(read):
    with_xielu = parameters(read(**of_type("apertus")))
    assert with_xielu - parameters(read(**of_type("apertus", hidden_act="silu"))) == 2 * 2


def test_stablelm_gives_each_head_a_norm_of_its_own(read):
    without = parameter_parts(read(**of_type("stablelm")))["norms"]
    # 4 heads and 2 key-value heads, 2 wide, in 2 layers, weights alone
    assert parameter_parts(read(**of_type("stablelm", qk_layernorm=True)))["norms"] - without == 2 * (4 + 2) * 2


def seven_layers(model_type, **changes):
    return of_type(model_type, **{"num_hidden_layers": 7} | changes)


@pytest.mark.parametrize(
    ("fields", "full"),
    [
        (seven_layers("mistral", sliding_window=3), []),
        (seven_layers("mistral", sliding_window=None), [0, 1, 2, 3, 4, 5, 6]),
        (seven_layers("qwen2", sliding_window=3, max_window_layers=2), [0, 1, 2, 3, 4, 5, 6]),
        (seven_layers("qwen2", use_sliding_window=True, sliding_window=3, max_window_layers=2), [0, 1]),
        (seven_layers("qwen3", use_sliding_window=True, sliding_window=3, max_window_layers=1), [0]),
        (seven_layers("qwen3", use_sliding_window=True, sliding_window=3, max_window_layers=99), [0, 1, 2, 3, 4, 5, 6]),
        (seven_layers("gemma2", sliding_window=3), [1, 3, 5]),
        (seven_layers("gemma3_text", sliding_window=3), [5]),
        (seven_layers("gemma3_text", sliding_window=3, sliding_window_pattern=3), [2, 5]),
        (seven_layers("gemma3_text", sliding_window=3, num_hidden_layers=3), []),
        (seven_layers("cohere2", sliding_window=3), [3]),
        (seven_layers("olmo3", sliding_window=3), [3]),
        (seven_layers("exaone4", sliding_window=3, sliding_window_pattern=2), [1, 3, 5]),
        (seven_layers("exaone4", sliding_window=None), [0, 1, 2, 3, 4, 5, 6]),
        (seven_layers("smollm3", use_sliding_window=True, sliding_window=3), [0, 1, 2, 4, 5, 6]),
        (seven_layers("gpt_neo", window_size=3, attention_types=[[["global", "local"], 3], [["local"], 1]]), [0, 2, 4]),
        (seven_layers("gpt_neo", window_size=3, attention_types=[[["global"], 2], [["local"], 5]]), [0, 1]),
    ],
)
def test_windows(fields, full, read):
    a = read(**fields)
    assert (full_layers(a, a.layers) if a.attention_window else a.layers) == len(full)
    # 5 tokens: 1 + 2 + 3 + 4 + 5 pairs, and 1 + 2 + 3 + 3 + 3 under a window of 3
    pairs = attended_positions(a, Sequence(decoder_length=5), a.layers, decoder=True, square=False)
    assert pairs == 15 * len(full) + 12 * (a.layers - len(full))


def test_a_list_of_layers_says_more_than_a_pattern(read):
    kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention"]
    a = read(**of_type("gemma2", num_hidden_layers=4, sliding_window=3, layer_types=kinds))
    assert a.full_attention_layers == (0, 2, 3)
    assert a.model_copy(update={"layers": 3}).attention_window == 3
    assert full_layers(a, 4) == 3
    assert full_layers(a, 3) == 2


def test_a_gemma_that_looks_both_ways(read):
    a = read(**of_type("gemma3_text", use_bidirectional_attention=True, sliding_window=2))
    assert a.kind == "encoder"
    # 5 tokens see one to either side and themselves: 2 + 3 + 3 + 3 + 2, in each of 2 layers
    assert attended_positions(a, Sequence(encoder_length=5), 2, decoder=False, square=False) == 2 * 13


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "names no model_type"),
        (of_type("lama"), r"'lama' cannot be read. Close: llama. Known: .*qwen2.* Write the fields instead"),
        (of_type("gemma3", text_config={"model_type": "gemma3_text"}), "Save its text_config"),
        (of_type("llama", hidden_size=None), "hidden_size = null is not a whole number, 1 or more"),
        (of_type("llama", hidden_size="wide"), 'hidden_size = "wide" is not a whole number'),
        (of_type("llama", vocab_size=-1), "vocab_size = -1 is not a whole number"),
        (of_type("llama", num_hidden_layers=0), "num_hidden_layers = 0 is not a whole number, 1 or more"),
        (of_type("llama", num_hidden_layers=True), "num_hidden_layers = true is not a whole number"),
        (of_type("llama", head_dim=1.5), "head_dim = 1.5"),
        (of_type("llama", num_attention_heads=3), "num_attention_heads = 3 does not divide 8"),
        (of_type("llama", num_key_value_heads=3), r"num_key_value_heads = 3 does not divide 4.*1, 2, 4"),
        (of_type("llama", attention_bias="yes"), 'attention_bias = "yes" is not true or false'),
        (of_type("llama", hidden_act="sine"), r"hidden_act = 'sine' is not a known activation. Known: gelu"),
        (of_type("llama", hidden_act=None), "hidden_act = null is not a word"),
        (of_type("llama", architectures=["LlamaForMaskedLM"]), "LlamaForMaskedLM .* is not counted for llama"),
        (of_type("llama", architectures=["LlamaForRewardModel"]), "names LlamaForRewardModel, whose head is not known"),
        (of_type("llama", architectures=["Llama"]), "names Llama, whose head is not known"),
        (of_type("llama", architectures="LlamaModel"), "not a list of class names"),
        (of_type("gpt2", architectures=["GPT2DoubleHeadsModel"]), r"double-heads\) is not counted"),
        (of_type("gpt2", add_cross_attention=True), "half of an encoder-decoder"),
        (of_type("gpt2", n_positions=None), "n_positions = null"),
        (of_type("gpt_neo", attention_types=[1]), "does not name the kind of each of 2 layers"),
        (of_type("gemma2", layer_types=["full_attention"]), "layer_types is not a list of 2 words"),
        (of_type("smollm3", no_rope_layers=5), "no_rope_layers = 5"),
        (of_type("cohere2", sliding_window_pattern="LLLG"), "sliding_window_pattern"),
        (of_type("helium", head_dim=5), "head_dim = 5 times num_attention_heads = 4"),
    ],
)
def test_what_is_refused(fields, text, read):
    with pytest.raises(DescriptionError, match=text) as told:
        read(**fields)
    assert "config.json" in str(told.value)


def test_what_is_no_file(tmp_path):
    with pytest.raises(PlanFileError, match="does not exist"):
        Architecture.from_huggingface(tmp_path / "none")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(PlanFileError, match="is not JSON"):
        Architecture.from_huggingface(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanFileError, match="cannot be read"):
        Architecture.from_huggingface(tmp_path)
