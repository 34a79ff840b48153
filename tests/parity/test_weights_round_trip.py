"""Weights there and back: what transformers saved, read, written, and loaded by transformers again, to the byte."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from tonne.describe.architecture import Architecture  # noqa: E402 - after the check that torch is there
from tonne.model.huggingface import from_huggingface, to_huggingface  # noqa: E402
from tonne.model.huggingface.families import CLASSES  # noqa: E402
from tonne.model.transformer import Transformer  # noqa: E402

pytestmark = pytest.mark.slow  # transformers takes seconds to import

SMALL = {
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 40},
    "bert": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 50,
        "max_position_embeddings": 40,
    },
    "t5": {"d_model": 24, "d_kv": 5, "d_ff": 50, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4},
    "bart": {
        "d_model": 24,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 50,
        "decoder_ffn_dim": 34,
        "max_position_embeddings": 40,
    },
    "llama": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 50,
    },
}
SMALL |= {"mistral": SMALL["llama"] | {"sliding_window": 5}, "qwen2": SMALL["llama"]}
ALL = [(model_type, name) for model_type, classes in CLASSES.items() for name in classes]
SHAPES = {  # of ours, each with the class that transformers is to load
    "decoder": {"kind": "decoder", "positions": "learned", "gelu_approximation": "tanh", "max_positions": 40},
    "rotary decoder": {
        "kind": "decoder",
        "positions": "rotary",
        "norm": "rms",
        "bias": False,
        "feed_forward": "gated",
        "activation": "silu",
        "kv_heads": 2,
        "tied_embeddings": False,
    },
    "encoder": {
        "kind": "encoder",
        "positions": "learned",
        "max_positions": 40,
        "embedding_norm": True,
        "token_types": 2,
        "prediction_head": True,
    },
    "encoder-decoder": {
        "kind": "encoder-decoder",
        "layers": None,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "positions": "relative",
        "relative_buckets": 8,
        "norm": "rms",
        "norm_position": "pre",
        "bias": False,
        "activation": "relu",
        "attention_scale": 1.0,
        "output_scale": 24**-0.5,
    },
}
MADE_AS = {
    "decoder": "GPT2LMHeadModel",
    "rotary decoder": "LlamaForCausalLM",
    "encoder": "BertForMaskedLM",
    "encoder-decoder": "T5ForConditionalGeneration",
}


@pytest.fixture(scope="module")
def hf():
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def saved_by_transformers(hf, model_type, class_name, folder, **more):
    torch.manual_seed(3)
    changes = {"vocab_size": 101, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0} | SMALL[model_type] | more
    model = getattr(hf, class_name)(hf.CONFIG_MAPPING[model_type](**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return model


def same_tensors(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("model_type", "class_name"), ALL)
def test_every_class_there_and_back(hf, tmp_path, model_type, class_name):
    theirs = saved_by_transformers(hf, model_type, class_name, tmp_path / "theirs")
    ours = from_huggingface(tmp_path / "theirs")
    to_huggingface(ours, tmp_path / "ours", class_name=class_name)
    loaded, report = getattr(hf, class_name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values()), report
    assert same_tensors(loaded, theirs)
    assert loaded.dtype == torch.float32
    again = from_huggingface(tmp_path / "ours")
    assert same_tensors(again, ours)
    assert again.architecture == ours.architecture


@pytest.mark.parametrize("untied", [("gpt2", "GPT2LMHeadModel"), ("bart", "BartForConditionalGeneration")])
def test_untied_tables_there_and_back(hf, tmp_path, untied):
    theirs = saved_by_transformers(hf, *untied, tmp_path / "theirs", tie_word_embeddings=False)
    ours = from_huggingface(tmp_path / "theirs")
    assert not ours.architecture.tied_embeddings
    to_huggingface(ours, tmp_path / "ours")
    assert same_tensors(hf.AutoModel.from_pretrained(tmp_path / "ours"), getattr(theirs, theirs.base_model_prefix))
    assert same_tensors(getattr(hf, untied[1]).from_pretrained(tmp_path / "ours"), theirs)


def test_an_output_table_of_t5s_own_stays_one(hf, tmp_path):
    theirs = saved_by_transformers(
        hf, "t5", "T5ForConditionalGeneration", tmp_path, tie_word_embeddings=False, feed_forward_proj="gated-gelu"
    )
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(101, 24)  # as in the files published for 1.1
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
    ours = from_huggingface(tmp_path)
    assert not ours.architecture.tied_embeddings
    assert ours.architecture.output_scale == 1
    to_huggingface(ours, tmp_path / "ours")
    for folder in (tmp_path, tmp_path / "ours"):
        theirs = hf.T5ForConditionalGeneration.from_pretrained(folder).eval()
        assert torch.equal(theirs.lm_head.weight, tensors["lm_head.weight"])
        source, target = torch.randint(3, 101, (2, 7)), torch.randint(3, 101, (2, 5))
        with torch.no_grad():
            wanted = theirs(input_ids=source, decoder_input_ids=target).logits
            assert torch.allclose(ours.logits(target, source=source), wanted, rtol=1e-4, atol=1e-5)
    assert same_tensors(from_huggingface(tmp_path / "ours"), ours)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_of_ours_is_loaded_with_the_same_logits(hf, tmp_path, shape):
    fields = {"layers": 2, "width": 24, "heads": 4, "vocabulary": 101} | SHAPES[shape]
    torch.manual_seed(5)
    ours = Transformer(Architecture.model_validate(fields), dtype=torch.float64)
    to_huggingface(ours, tmp_path)
    auto = {"encoder": hf.AutoModelForMaskedLM, "encoder-decoder": hf.AutoModelForSeq2SeqLM}
    theirs = auto.get(shape, hf.AutoModelForCausalLM).from_pretrained(tmp_path)
    assert type(theirs).__name__ == MADE_AS[shape]
    assert theirs.dtype == torch.float64
    tokens, source = torch.randint(3, 101, (2, 9)), torch.randint(3, 101, (2, 7))
    with torch.no_grad():
        if shape == "encoder-decoder":
            wanted, logits = (
                theirs(input_ids=source, decoder_input_ids=tokens).logits,
                ours.logits(tokens, source=source),
            )
        else:
            wanted, logits = theirs(input_ids=tokens).logits, ours.logits(tokens)
    assert torch.allclose(logits, wanted, rtol=1e-5, atol=1e-6)  # theirs rounds to fp32 within
    theirs.save_pretrained(tmp_path / "theirs")
    assert same_tensors(from_huggingface(tmp_path / "theirs"), ours)


@pytest.mark.parametrize(
    ("model_type", "class_name"), [("gpt2", "GPT2LMHeadModel"), ("t5", "T5ForConditionalGeneration")]
)
def test_shards_are_loaded_by_transformers(hf, tmp_path, model_type, class_name):
    theirs = saved_by_transformers(hf, model_type, class_name, tmp_path / "theirs")
    ours = from_huggingface(tmp_path / "theirs")
    to_huggingface(ours, tmp_path / "ours", shard_bytes=20_000)
    assert len(list((tmp_path / "ours").glob("model-*.safetensors"))) > 3
    assert same_tensors(getattr(hf, class_name).from_pretrained(tmp_path / "ours"), theirs)
    assert same_tensors(from_huggingface(tmp_path / "ours"), ours)


def test_shards_of_transformers_are_read(hf, tmp_path):
    theirs = saved_by_transformers(hf, "llama", "LlamaForCausalLM", tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "cut", max_shard_size="20KB")
    assert len(list((tmp_path / "cut").glob("model-*.safetensors"))) > 1
    assert same_tensors(from_huggingface(tmp_path / "cut"), from_huggingface(tmp_path / "whole"))


def test_bfloat16_there_and_back(hf, tmp_path):
    theirs = saved_by_transformers(hf, "qwen2", "Qwen2ForCausalLM", tmp_path / "theirs").bfloat16()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = from_huggingface(tmp_path / "theirs")
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.bfloat16}
    to_huggingface(ours, tmp_path / "ours")
    assert same_tensors(hf.Qwen2ForCausalLM.from_pretrained(tmp_path / "ours"), theirs)


def test_names_without_a_prefix_are_those_of_the_base_model(hf, tmp_path):
    theirs = saved_by_transformers(hf, "gpt2", "GPT2LMHeadModel", tmp_path / "whole")
    theirs.transformer.save_pretrained(tmp_path / "base")  # as the files of 2019 have them
    config = (tmp_path / "whole" / "config.json").read_text(encoding="utf-8")
    (tmp_path / "base" / "config.json").write_text(config, encoding="utf-8")
    assert same_tensors(from_huggingface(tmp_path / "base"), from_huggingface(tmp_path / "whole"))


def test_a_tokenizer_goes_along(hf, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "word": 3}, "<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    fields = {"layers": 2, "width": 24, "heads": 4, "vocabulary": 101} | SHAPES["encoder-decoder"]
    to_huggingface(Transformer(Architecture.model_validate(fields)), tmp_path / "one", tokenizer=tokenizer)
    loaded = hf.AutoTokenizer.from_pretrained(tmp_path / "one")
    assert loaded("word other </s>")["input_ids"] == [3, 2, 1]
    assert (loaded.pad_token, loaded.eos_token) == ("<pad>", "</s>")
    config = hf.AutoConfig.from_pretrained(tmp_path / "one")
    assert (config.pad_token_id, config.eos_token_id, config.decoder_start_token_id) == (
        0,
        1,
        0,
    )  # T5's start is its pad
    ours = from_huggingface(tmp_path / "one")
    to_huggingface(ours, tmp_path / "two", tokenizer=tmp_path / "one")
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
