"""Adapters as PEFT reads them, held against the merged model in the layout of transformers, tensor by tensor."""

from __future__ import annotations

import copy
import json

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402 - after the check that torch is there

from tonne.describe.adapters import Lora  # noqa: E402
from tonne.describe.architecture import Architecture, TaskHead  # noqa: E402
from tonne.model import Transformer, to_huggingface  # noqa: E402
from tonne.train.lora import add_adapters, merge_adapters  # noqa: E402
from tonne.train.peft import save_peft  # noqa: E402

SHAPE = {"width": 24, "heads": 4, "vocabulary": 50}
GPT2 = Architecture(kind="decoder", layers=2, positions="learned", max_positions=16, feed_forward_width=96,
                    gelu_approximation="tanh", **SHAPE)  # fmt: skip
LLAMA = Architecture(kind="decoder", layers=2, positions="rotary", max_positions=64, norm="rms", norm_epsilon=1e-6,
                     bias=False, kv_heads=2, feed_forward="gated", activation="silu", feed_forward_width=40,
                     tied_embeddings=False, **SHAPE)  # fmt: skip
LABELS = LLAMA.model_copy(update={"task_head": TaskHead(labels=3, bias=False), "tied_embeddings": True})
BERT = Architecture(kind="encoder", layers=2, positions="learned", max_positions=16, embedding_norm=True,
                    token_types=2, pooler=True, norm_epsilon=1e-12, task_head={"labels": 3}, **SHAPE)  # fmt: skip
T5 = Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=2, positions="relative", relative_buckets=8,
                  norm="rms", norm_epsilon=1e-6, norm_position="pre", bias=False, activation="relu",
                  attention_scale=1.0, tied_embeddings=False, **SHAPE)  # fmt: skip
MODELS = {"gpt2": GPT2, "llama": LLAMA, "labels": LABELS, "bert": BERT,
          "t5": T5}  # fmt: skip
ALL = ("query", "key", "value", "output", "feed_forward")


def adapted(a, lora):
    torch.manual_seed(1)
    model = Transformer(a, dtype=torch.float64)
    base = copy.deepcopy(model)
    add_adapters(model, lora)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("expand") or name.startswith("task."):
                parameter.normal_()
    return base, model


@pytest.mark.slow
@pytest.mark.parametrize("targets", [("query", "value"), ("output", "feed_forward"), ("feed_forward",), ALL],
                         ids="-".join)  # fmt: skip
@pytest.mark.parametrize("name", MODELS)
def test_the_pairs_of_the_file_are_what_merging_adds_to_the_weights(name, targets, tmp_path):
    lora = Lora(rank=3, alpha=6, targets=targets)
    base, model = adapted(MODELS[name], lora)
    assert save_peft(model, lora, tmp_path / "adapter", "models/base") == tmp_path / "adapter"
    merge_adapters(model)
    before = load_file(to_huggingface(base, tmp_path / "base") / "model.safetensors")
    after = load_file(to_huggingface(model, tmp_path / "merged") / "model.safetensors")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    pairs = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for key in sorted(changed):
        place, end = "base_model.model." + key.removesuffix(".weight"), key.removesuffix(".weight")
        if f"{place}.weight" in pairs or f"base_model.model.{key}" in pairs:  # a head that learned whole
            assert torch.equal(pairs.pop(f"base_model.model.{key}"), after[key])
            assert any(key.startswith(module) for module in config["modules_to_save"])
            continue
        assert any(end.endswith(target) for target in config["target_modules"])
        rank = next((r for end_, r in config["rank_pattern"].items() if end.endswith(end_)), config["r"])
        alpha = next((x for end_, x in config["alpha_pattern"].items() if end.endswith(end_)), config["lora_alpha"])
        reduce, expand = pairs.pop(f"{place}.lora_A.weight"), pairs.pop(f"{place}.lora_B.weight")
        assert reduce.shape[0] == expand.shape[1] == rank
        change = alpha / rank * expand @ reduce
        change = change.T if config["fan_in_fan_out"] else change
        torch.testing.assert_close(after[key] - before[key], change, rtol=0, atol=1e-12)
    assert not pairs


def test_the_names_are_those_of_the_class(tmp_path):
    # query and value of one fused matrix of GPT-2: a rank of 2 x 3, scaled alike: 12 / 6 = 6 / 3
    lora = Lora(rank=3, alpha=6)
    _, model = adapted(GPT2, lora)
    save_peft(model, lora, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    pairs = load_file(tmp_path / "adapter_model.safetensors")
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert config["target_modules"] == ["attn.c_attn"]
    assert (config["rank_pattern"], config["alpha_pattern"]) == ({"attn.c_attn": 6}, {"attn.c_attn": 12.0})
    assert config["fan_in_fan_out"] is True
    assert config["modules_to_save"] is None
    first = "base_model.model.transformer.h.0.attn.c_attn"
    assert pairs[f"{first}.lora_A.weight"].shape == (6, 24)
    assert pairs[f"{first}.lora_B.weight"].shape == (72, 6)
    assert len(pairs) == 4


def test_an_end_that_another_linear_has_too_is_told_by_whole_names(tmp_path):
    # of BERT both attention and feed-forward end in output.dense
    lora = Lora(rank=2, targets=("feed_forward",))
    _, model = adapted(BERT, lora)
    save_peft(model, lora, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == [
        f"bert.encoder.layer.{layer}.{part}.dense" for layer in (0, 1) for part in ("intermediate", "output")
    ]
    assert config["modules_to_save"] == ["classifier"]


def test_a_model_of_no_class_has_no_such_files(tmp_path):
    lora = Lora(rank=2)
    _, model = adapted(LLAMA.model_copy(update={"norm_position": "both"}), lora)
    assert save_peft(model, lora, tmp_path / "adapter") is None
    assert not (tmp_path / "adapter").exists()
