"""Fine-tuning goes on with what transformers saved: each family, and transformers loads what comes out."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tonne.describe.adapters import Lora  # noqa: E402 - after the check that torch is there
from tonne.describe.finetuning import FinetuningRecipe  # noqa: E402
from tonne.train.finetuning import finetune  # noqa: E402
from tonne.train.fitting import Session  # noqa: E402
from tonne.train.tokenizer_training import train_tokenizer  # noqa: E402

pytestmark = pytest.mark.slow  # transformers takes seconds to import

transformers.logging.set_verbosity_error()
WORDS = "the cat sat on a mat while one dog barked at some moon and rain fell over every field of that land".split()  # noqa: SIM905
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 48, "vocab_size": 330}
BERT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 50,
        "max_position_embeddings": 48, "vocab_size": 160}  # fmt: skip
T5 = {"d_model": 24, "d_kv": 6, "d_ff": 50, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4,
      "vocab_size": 200, "decoder_start_token_id": 0}  # fmt: skip
BART = {
    "d_model": 24,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 50,
    "decoder_ffn_dim": 50,
    "max_position_embeddings": 48,
    "vocab_size": 200,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
}
LLAMA = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 50, "max_position_embeddings": 48, "vocab_size": 330}  # fmt: skip
FAMILIES = {
    "gpt2": ("GPT2LMHeadModel", GPT2, "causal-lm", "bpe"),
    "llama": ("LlamaForCausalLM", LLAMA, "causal-lm", "bpe"),
    "bert": ("BertForPreTraining", BERT, "masked-lm", "wordpiece"),
    "t5": ("T5ForConditionalGeneration", T5, "seq2seq", "unigram"),
    "bart": ("BartForConditionalGeneration", BART, "seq2seq", "unigram"),
}
TASKS = {
    "gpt2": ["translation", "instruction", "classification", "pair-classification", "question-answering", "continued"],
    "llama": ["summarisation", "classification", "token-classification"],
    "bert": ["classification", "pair-classification", "token-classification", "question-answering", "continued"],
    "t5": ["translation", "summarisation", "classification", "continued"],
    "bart": ["translation", "classification", "question-answering"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of each family, with a tokenizer, as transformers saves them; and a file of examples."""
    made = tmp_path_factory.mktemp("checkpoints")
    text = [" ".join(WORDS[i % 9 :]) for i in range(24)]
    rows = [
        {
            "source": line, "target": WORDS[i % 9], "prompt": line, "answer": WORDS[i % 9], "text": line,
            "label": "ab"[i % 2], "first": line, "second": WORDS[i], "tokens": line.split(),
            "labels": ["ab"[len(word) % 2] for word in line.split()], "question": WORDS[i], "context": line,
            "answers": {"text": [WORDS[10]], "answer_start": [line.index(WORDS[10])]},
        }
        for i, line in enumerate(text[:20])
    ]  # fmt: skip
    (made / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for family, (class_name, shape, objective, kind) in FAMILIES.items():
        torch.manual_seed(1)
        of = getattr(transformers, class_name)
        of(of.config_class(**shape)).save_pretrained(made / family)
        train_tokenizer(text, kind=kind, vocabulary=shape["vocab_size"], objective=objective).save(made / family)
    return made


def taught(folder, family, task, output, **training):
    """Two steps of a task, from a family's checkpoint."""
    recipe = FinetuningRecipe.from_fields(
        {
            "start": {"from": str(folder / family)},
            "data": {"source": str(folder / "rows.jsonl"), "validation_fraction": 0.2, "sequence_length": 40},
            "task": {"name": task, "max_target_length": 8, "max_source_length": 36}
            | ({"stride": 8} if task == "question-answering" else {}),
            "training": {"global_batch_sequences": 4, "epochs": 1, "precision": "fp32", **training},
            "run": {"threads": 1, "evaluate_every": 2},
        }
    )
    session = Session(home=folder / "home", device="cpu", stream=None)
    return finetune(recipe, output, max_steps=2, session=session)


@pytest.mark.parametrize(("family", "task"), [(family, task) for family, tasks in TASKS.items() for task in tasks])
def test_a_checkpoint_of_transformers_is_taught_and_loaded_again(folder, tmp_path, family, task):
    found = taught(folder, family, task, tmp_path / "run")
    config = json.loads((found.model / "config.json").read_text("utf-8"))
    theirs = getattr(transformers, config["architectures"][0]).from_pretrained(found.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.model)
    assert theirs.config.model_type == family
    if "classification" in task:
        assert theirs.config.id2label == {0: "a", 1: "b"}
    assert tokenizer("the cat sat")["input_ids"]


def test_a_pre_trained_part_is_taken_over_and_a_head_is_new(folder, tmp_path):
    found = taught(folder, "bert", "classification", tmp_path / "run", learning_rate=1e-12)
    before = transformers.BertForPreTraining.from_pretrained(folder / "bert").state_dict()
    after = transformers.BertForSequenceClassification.from_pretrained(found.model).state_dict()
    shared = [name for name in after if name.startswith("bert.") and "position_ids" not in name]
    assert len(shared) > 30
    for name in shared:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_of_each_family_merge_into_what_transformers_loads(folder, tmp_path, family):
    task = "classification" if family == "bert" else "summarisation"
    lora = Lora(rank=2, targets=("query", "value", "feed_forward"))
    found = taught(folder, family, task, tmp_path / "run", lora=lora.model_dump(), learning_rate=1e-2)
    config = json.loads((found.model / "config.json").read_text("utf-8"))
    theirs = getattr(transformers, config["architectures"][0]).from_pretrained(found.model)
    before = getattr(transformers, FAMILIES[family][0]).from_pretrained(folder / family).state_dict()
    after = theirs.state_dict()
    changed = {name for name in after if name in before and not torch.equal(after[name], before[name])}
    assert changed
    assert not {name for name in changed if "embed" in name or "norm" in name.lower() or "ln_" in name}
