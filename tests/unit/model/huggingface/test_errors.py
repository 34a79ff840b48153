"""What is wrong with a folder of weights, or with a model that is to be written, is said in full."""

from __future__ import annotations

import json
import logging

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file, save_file  # noqa: E402 - after the check that it is there

from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.errors import PlanFileError, WeightsError  # noqa: E402
from tonne.model import Transformer, from_huggingface, to_huggingface  # noqa: E402
from tonne.model.huggingface.families import config_for  # noqa: E402

GPT2 = {
    "kind": "decoder",
    "layers": 2,
    "width": 8,
    "heads": 2,
    "vocabulary": 11,
    "positions": "learned",
    "max_positions": 16,
    "gelu_approximation": "tanh",
}
BERT = {
    "kind": "encoder",
    "layers": 1,
    "width": 8,
    "heads": 2,
    "vocabulary": 11,
    "positions": "learned",
    "max_positions": 16,
    "embedding_norm": True,
    "token_types": 2,
    "pooler": True,
    "prediction_head": True,
    "next_sentence_head": True,
}


def model_of(fields, **more):
    return Transformer(Architecture.model_validate(fields | more))


@pytest.fixture
def saved(tmp_path):
    to_huggingface(model_of(GPT2), tmp_path)
    return tmp_path


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_not_a_folder(saved):
    with pytest.raises(WeightsError, match=r"nowhere does not exist; weights are read from a folder\."):
        from_huggingface(saved / "nowhere")
    with pytest.raises(WeightsError, match=r"config\.json is a file; weights are read from a folder\."):
        from_huggingface(saved / "config.json")


def test_no_configuration(saved):
    (saved / "config.json").unlink()
    with pytest.raises(PlanFileError, match=r"config\.json does not exist"):
        from_huggingface(saved)


@pytest.mark.parametrize("model_type", ["falcon", "gpt3"])
def test_a_type_whose_weights_are_not_read(saved, model_type):
    change_config(saved, model_type=model_type)
    with pytest.raises(WeightsError, match=rf"'{model_type}' are not read\. Known: bart, bert, gpt2, llama, mistral,"):
        from_huggingface(saved)


def test_values_that_would_change_the_logits_unseen(saved):
    change_config(saved, activation_function="gelu_10")
    with pytest.raises(WeightsError, match=r'asks for activation_function = "gelu_10", which no field'):
        from_huggingface(saved)


def test_missing_and_superfluous_tensors_are_listed_together(saved):
    def change(tensors):
        del tensors["transformer.h.1.ln_2.bias"], tensors["transformer.wpe.weight"]
        tensors["transformer.h.2.ln_1.weight"] = torch.zeros(8)

    change_tensors(saved, change)
    with pytest.raises(
        WeightsError,
        match=r"lacks 2 that config\.json asks for \(transformer\.wpe\.weight, transformer\.h\.1\.ln_2\.bias\) and "
        r"holds 1 that it has no place for \(transformer\.h\.2\.ln_1\.weight\)",
    ):
        from_huggingface(saved)


def test_many_missing_tensors_are_counted(saved):
    change_config(saved, n_layer=9)
    with pytest.raises(WeightsError, match=r"lacks 84 that .*\(transformer\.h\.2\.ln_1\.weight, .* and 76 more\)"):
        from_huggingface(saved)  # 7 layers of 12 tensors


def test_tensors_of_another_shape_are_listed_before_anything_is_read(saved):
    change_config(saved, n_positions=20, n_inner=40)
    with pytest.raises(
        WeightsError,
        match=r"7 tensors have another shape .*: transformer\.wpe\.weight is \[16, 8\], not \[20, 8\], "
        r"transformer\.h\.0\.mlp\.c_fc\.weight is \[8, 32\], not \[8, 40\]",
    ):  # a table, and in each layer two matrices and a bias
        from_huggingface(saved)


def test_tied_tables_that_differ(saved):
    change_tensors(saved, lambda tensors: tensors.update({"lm_head.weight": torch.ones(11, 8)}))
    with pytest.raises(WeightsError, match=r"wte\.weight and lm_head\.weight differ, .*\"tie_word_embeddings\": false"):
        from_huggingface(saved)


def test_tied_tables_that_are_the_same(saved):
    def change(tensors):
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()

    change_tensors(saved, change)
    assert sum(p.numel() for p in from_huggingface(saved).parameters()) == sum(
        p.numel() for p in model_of(GPT2).parameters()
    )


def test_buffers_of_old_versions_are_left_out(saved):
    before = from_huggingface(saved).state_dict()
    change_tensors(saved, lambda tensors: tensors.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 16, 16)}))
    found = from_huggingface(saved).state_dict()
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in before.items())


def test_heads_of_another_class_are_left_out_with_a_word(tmp_path, caplog):
    to_huggingface(model_of(BERT), tmp_path)
    change_config(tmp_path, architectures=["BertForMaskedLM"])  # as the file of bert-base-uncased names it
    with caplog.at_level(logging.WARNING):
        ours = from_huggingface(tmp_path)
    assert ours.pooler is None
    assert "left out, for the class named in config.json has no such head" in caplog.text
    assert "pooler.dense.weight" in caplog.text
    assert "cls.seq_relationship.bias" in caplog.text


def test_old_names_of_norms(tmp_path):
    ours = model_of(BERT)
    to_huggingface(ours, tmp_path)
    words = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))

    def change(tensors):
        for name in list(tensors):
            for new, old in words:
                if new in name:
                    tensors[name.replace(new, old)] = tensors.pop(name)

    change_tensors(tmp_path, change)
    again = from_huggingface(tmp_path)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


def test_types_that_differ_among_the_tensors(saved):
    def change(tensors):
        tensors["transformer.wpe.weight"] = tensors["transformer.wpe.weight"].half()

    change_tensors(saved, change)
    with pytest.raises(WeightsError, match=r"of type float16 and float32, and config\.json says float32\. Say which"):
        from_huggingface(saved)
    assert from_huggingface(saved, dtype=torch.float64).embedding.tokens.weight.dtype == torch.float64


def test_a_type_that_config_json_does_not_say(saved):
    change_config(saved, dtype="bfloat16")
    with pytest.raises(WeightsError, match=r"of type float32, and config\.json says bfloat16\. .*dtype=torch\.float32"):
        from_huggingface(saved)
    assert from_huggingface(saved, dtype=torch.bfloat16).embedding.tokens.weight.dtype == torch.bfloat16


def test_quantised_tensors(saved):
    def change(tensors):
        tensors["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(8, 32, dtype=torch.int8)

    change_tensors(saved, change)
    with pytest.raises(WeightsError, match=r"holds I8 tensors; read are F64, F32, F16, BF16"):
        from_huggingface(saved)


def test_a_quantised_configuration(saved):
    change_config(saved, quantization_config={"bits": 4})
    with pytest.raises(WeightsError, match="holds quantised tensors"):
        from_huggingface(saved, dtype=torch.float32)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"norm": "rms", "norm_bias": False}, "norm='rms' would become 'layer'"),
        ({"embedding_norm": True}, "embedding_norm=True would become False"),
        ({"bias": False}, r"bias=\[\] would become \["),
        ({"activation": "silu", "embedding_scale": 2.0}, "embedding_scale=2.0 would become 1.0"),
        ({"head_width": 16}, "head_width=16 would become 4"),
    ],
)
def test_what_no_class_can_say_is_named(tmp_path, changes, field):
    with pytest.raises(WeightsError, match=rf"Nearest is GPT2LMHeadModel, where .*{field}"):
        to_huggingface(model_of(GPT2, **changes), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_class_that_does_not_fit(tmp_path):
    with pytest.raises(WeightsError, match=r"Nearest is LlamaForCausalLM, where .*norm='layer' would become 'rms'"):
        to_huggingface(model_of(GPT2), tmp_path, class_name="LlamaForCausalLM")
    with pytest.raises(WeightsError, match=r"class_name='Gpt' cannot be written\. Known: GPT2LMHeadModel, "):
        to_huggingface(model_of(GPT2), tmp_path, class_name="Gpt")


def test_a_model_without_numbers(tmp_path):
    with torch.device("meta"):
        hollow = model_of(GPT2)
    with pytest.raises(WeightsError, match="lies on the meta device and holds no numbers"):
        to_huggingface(hollow, tmp_path)


def test_a_file_in_the_way(saved):
    with pytest.raises(WeightsError, match=r"config\.json is a file\. Give the name of a folder"):
        to_huggingface(model_of(GPT2), saved / "config.json")


def test_no_tokenizer_where_one_is_said_to_be(saved, tmp_path):
    with pytest.raises(WeightsError, match=r"there is no tokenizer\.json\. Give the file"):
        to_huggingface(model_of(GPT2), tmp_path / "new", tokenizer=saved)


def test_the_bias_that_an_untied_bert_does_not_read(tmp_path):
    ours = model_of(BERT, tied_embeddings=False, head_bias=True)
    with torch.no_grad():
        ours.prediction.bias.fill_(1.0)
    with pytest.raises(
        WeightsError, match=r"prediction\.bias is not zero, .* Add it to output\.bias, and set it to zero"
    ):
        to_huggingface(ours, tmp_path)


def test_a_shard_that_breaks_off(tmp_path):
    to_huggingface(model_of(GPT2), tmp_path, shard_bytes=2000)
    shard = min(tmp_path.glob("model-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=rf"{shard.name} has [\d,]+ bytes, but its header promises"):
        from_huggingface(tmp_path)
    shard.unlink()
    with pytest.raises(WeightsError, match=rf"names {shard.name}, which is not in the folder"):
        from_huggingface(tmp_path)


def test_the_field_of_a_head_that_no_class_has_is_named_alone():
    fields = {"kind": "decoder", "layers": 1, "width": 8, "heads": 2, "vocabulary": 16, "positions": "learned"}
    head = {"labels": 3, "pooling": "mean"}
    with pytest.raises(WeightsError) as found:
        config_for(Architecture.model_validate({**fields, "max_positions": 8, "task_head": head}), None)
    assert "Nearest is GPT2For" in str(found.value)
    assert "where task_head.pooling='mean' would become None. Change" in str(found.value)
