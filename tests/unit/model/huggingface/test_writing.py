"""What to_huggingface leaves in a folder, and that from_huggingface reads it back to the byte."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors import safe_open  # noqa: E402 - after the check that it is there

from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.model import Transformer, from_huggingface, to_huggingface  # noqa: E402

LLAMA = {
    "kind": "decoder",
    "layers": 2,
    "width": 8,
    "heads": 4,
    "kv_heads": 2,
    "feed_forward_width": 12,
    "feed_forward": "gated",
    "activation": "silu",
    "vocabulary": 11,
    "positions": "rotary",
    "norm": "rms",
    "bias": False,
    "tied_embeddings": False,
}
INDEX = "model.safetensors.index.json"


def model_of(**more):
    torch.manual_seed(1)
    return Transformer(Architecture.model_validate(LLAMA | more))


def config_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def same(one, other):
    return all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_one_file_with_the_names_of_the_class(tmp_path):
    ours = model_of()
    assert to_huggingface(ours, tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    with safe_open(tmp_path / "new" / "folder" / "model.safetensors", framework="pt") as tensors:
        assert tensors.metadata() == {"format": "pt"}
        names = set(tensors.keys())
        value = tensors.get_tensor("model.layers.1.self_attn.v_proj.weight")
    assert len(names) == 3 + 2 * 9  # two tables and a norm; seven matrices and two norms a layer
    rows = ours.decoder.layers[1].attention.query_key_value.weight  # 8 of the queries, 4 of the keys, 4 of the values
    assert torch.equal(value, rows[12:])


def test_the_configuration_in_the_words_of_transformers(tmp_path):
    to_huggingface(model_of(rotary_base=5e5, norm_epsilon=1e-6), tmp_path)
    config = config_of(tmp_path)
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["model_type"] == "llama"
    assert (config["hidden_size"], config["num_key_value_heads"], config["intermediate_size"]) == (8, 2, 12)
    assert (config["rope_theta"], config["rms_norm_eps"], config["dtype"]) == (5e5, 1e-6, "float32")
    assert config["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    ("changes", "class_name"),
    [
        ({"attention_window": 4}, "MistralForCausalLM"),
        ({"bias": ["query", "key", "value"]}, "Qwen2ForCausalLM"),
        ({"attention_window": 4, "window_every": 2, "bias": ["query", "key", "value"]}, "Qwen2ForCausalLM"),
        ({"task_head": {"labels": 3, "bias": False}, "tied_embeddings": True}, "LlamaForSequenceClassification"),
        ({"task_head": {"labels": 3}, "tied_embeddings": True}, "LlamaForTokenClassification"),
        ({"rotary_scaling": {"kind": "llama3", "factor": 8.0, "original_positions": 64}}, "LlamaForCausalLM"),
    ],
)
def test_the_first_class_that_says_all(tmp_path, changes, class_name):
    ours = model_of(**changes)
    to_huggingface(ours, tmp_path)
    assert config_of(tmp_path)["architectures"] == [class_name]
    assert same(from_huggingface(tmp_path), ours)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_type_is_read_back_to_the_byte(tmp_path, dtype):
    ours = model_of().to(dtype)
    to_huggingface(ours, tmp_path)
    again = from_huggingface(tmp_path)
    assert config_of(tmp_path)["dtype"] == str(dtype).removeprefix("torch.")
    assert {parameter.dtype for parameter in again.parameters()} == {dtype}
    assert same(again, ours)


def test_shards_no_larger_than_asked_for_unless_one_tensor_is(tmp_path):
    ours = model_of()
    to_huggingface(ours, tmp_path, shard_bytes=500)
    index = json.loads((tmp_path / INDEX).read_text(encoding="utf-8"))
    sizes = {}
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / file, framework="pt") as tensors:
            sizes.setdefault(file, []).append(tensors.get_tensor(name).nbytes)
    assert all(sum(each) <= 500 for each in sizes.values())  # the largest tensor has 4 x 8 x 12 = 384
    assert (
        index["metadata"]["total_size"]
        == sum(map(sum, sizes.values()))
        == 4 * sum(p.numel() for p in ours.parameters())
    )
    assert {file.name for file in tmp_path.iterdir()} == {*sizes, INDEX, "config.json"}
    assert same(from_huggingface(tmp_path), ours)


def test_a_later_save_leaves_nothing_of_the_earlier(tmp_path):
    to_huggingface(model_of(), tmp_path, shard_bytes=500)
    later = model_of(layers=1)
    to_huggingface(later, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "config.json"}
    assert same(from_huggingface(tmp_path), later)


def test_a_save_over_the_files_that_the_model_was_read_from(tmp_path):
    ours = model_of()
    to_huggingface(ours, tmp_path)
    again = from_huggingface(tmp_path)
    to_huggingface(again, tmp_path)
    assert same(again, ours)  # it held no part of the file that was replaced
    assert same(from_huggingface(tmp_path), ours)


def test_dropout_is_what_the_caller_says(tmp_path):
    to_huggingface(model_of(), tmp_path)
    ours = from_huggingface(tmp_path, dropout=0.1, attention_dropout=0.2)
    assert ours.decoder.layers[0].dropout == 0.1
    assert ours.decoder.layers[0].attention.dropout == 0.2


def test_a_frozen_model_and_one_in_training_are_written_alike(tmp_path):
    ours = model_of()
    to_huggingface(ours.requires_grad_(False), tmp_path / "frozen")
    to_huggingface(ours.requires_grad_(True), tmp_path / "training")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("frozen", "training"))
    assert one == other
