"""`tonne evaluate`: metrics, time and FLOP of an example, the forecast beside them; what is wrong is told."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

import torch

from tonne.cli.main import app
from tonne.count.inference import prefill_flop
from tonne.describe.architecture import Architecture
from tonne.describe.heads import with_head
from tonne.describe.task import Task
from tonne.model import Transformer
from tonne.train.distribution import Processes
from tonne.train.export import write_model
from tonne.train.labelled_reading import read_labelled
from tonne.train.predictions import predict
from tonne.train.tokenizer_training import train_tokenizer
from tonne.train.trained import read_trained

TEXTS = [f"the {one} cat sat on {two} mats" for one in ("old", "black", "sad") for two in ("two", "some", "nine")]
LABELS = ("no", "yes")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, kind="wordpiece", vocabulary=120, objective="masked-lm")


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A classifier as a run leaves it, with random weights: OUTPUT/model with its task."""
    torch.manual_seed(5)
    base = Architecture.preset("bert-base-uncased").model_copy(
        update={
            "layers": 1, "width": 16, "heads": 2, "kv_heads": 2, "head_width": 8, "feed_forward_width": 32,
            "vocabulary": tokenizer.vocabulary, "max_positions": 32,
        }
    )  # fmt: skip
    model = Transformer(with_head(base, "classification", 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    place = tmp_path_factory.mktemp("run") / "model"
    task = Task(name="classification", labels=LABELS, columns={"text": "sentence"})
    write_model(
        model, tokenizer, place, Processes(), also=lambda at: (at / "task.json").write_text(task.model_dump_json())
    )
    return place.parent


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "test.csv"
    rows = "".join(f"{text},{LABELS[place % 2]}\n" for place, text in enumerate(TEXTS))
    file.write_text("sentence,label\n" + rows, "utf-8")
    return file


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_document_of_an_evaluation(folder, data, tokenizer, tmp_path):
    done = evaluate(folder, "--data", data, "--batch", 4, "--json", "--predictions", tmp_path / "made.jsonl")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    trained = read_trained(folder)
    examples = read_labelled(data, None, trained.task)
    made = predict(trained.model, tokenizer, trained.task, examples)
    right = sum(one == LABELS[place % 2] for place, one in enumerate(made))
    assert found["examples"] == 9
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(100 * right / 9)
    assert found["metrics"]["accuracy"]["low"] < 100 * right / 9 < found["metrics"]["accuracy"]["high"]
    assert found["metrics"]["f1_macro"]["signature"].startswith(
        "f1|average:macro|of:examples|labels:2|examples:9|bs:1000"
    )
    lengths = [2 + len(ids) for ids in tokenizer.encode(TEXTS)]
    flop = sum(prefill_flop(trained.model.architecture, length) for length in lengths)
    assert found["measured"]["flop_per_example"] == pytest.approx(flop / 9)
    assert found["measured"]["executed_flop_per_example"] >= flop / 9
    assert found["measured"]["tokens_read"] == sum(lengths)
    assert found["measured"]["time_per_example_s"] == pytest.approx(found["measured"]["elapsed_s"] / 9)
    forecast = found["forecast"]
    assert forecast["time_per_example_s"]["low"] < forecast["time_per_example_s"]["high"]
    assert forecast["flop_per_example"] == pytest.approx(found["measured"]["executed_flop_per_example"], rel=0.1)
    assert forecast["chip"].startswith("this machine")
    lines = [json.loads(line) for line in (tmp_path / "made.jsonl").read_text("utf-8").splitlines()]
    assert [line["prediction"] for line in lines] == made
    assert lines[2]["where"].endswith("line 4")


def test_text_of_an_evaluation(folder, data):
    done = evaluate(folder / "model", "--data", data, "--metric", "accuracy", "--first", 4, "--accelerator", "L4")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "classification, 4 example(s) of" in lines[0]
    assert [line.split()[0] for line in lines[3:5] if line] == ["accuracy"]
    assert "measured" in done.stdout
    assert "forecast for" in done.stdout
    assert "tokens read, 0 written in" in done.stdout


def test_an_option_stands_over_what_the_folder_says(folder, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"body": "the cat", "label": "no"}), "utf-8")
    done = evaluate(folder, "--data", tmp_path / "rows.jsonl", "--column", "text=body", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["task"]["columns"] == {"text": "body"}
    assert json.loads(done.stdout)["metrics"]["accuracy"]["low"] is None


def test_a_model_of_a_shape_of_its_own_is_read_by_its_own_names(tokenizer, tmp_path, caplog):
    shape = {"layers": 2, "width": 16, "heads": 2, "vocabulary": tokenizer.vocabulary, "positions": "none"}
    model = Transformer(with_head(Architecture(kind="encoder", **shape), "classification", 2))
    write_model(model, tokenizer, tmp_path / "model", Processes())
    assert (tmp_path / "model" / "architecture.json").exists()
    found = read_trained(tmp_path)
    assert found.task is None
    assert found.labels == ()
    for name, parameter in found.model.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"x")
    done = evaluate(tmp_path, "--data", "x", "--task", "classification")
    assert done.exit_code == 2
    assert "holds no whole model" in done.stderr


SMALL = {"layers": 1, "width": 16, "heads": 2, "positions": "learned", "max_positions": 64}
CONTEXT = " ".join(TEXTS[:4])
SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [{"id": "q1", "question": "the cat", "answers": [{"text": "cat", "answer_start": 8}]}],
                }
            ]
        }
    ]
}
OF_TASKS = {
    "question-answering": ("dev.json", json.dumps(SQUAD), {"f1", "exact_match"}),
    "token-classification": (
        "rows.jsonl",
        json.dumps({"tokens": ["the", "cat"], "labels": ["O", "B-X"]}),
        {"accuracy", "f1_macro", "f1_micro", "entity_f1", "entity_precision", "entity_recall"},
    ),
    "continued": ("text.txt", CONTEXT, {"perplexity", "bits_per_byte"}),
    "instruction": ("rows.csv", "prompt,answer\nthe cat,sat on\n", {"rougeL", "chrf", "exact_match"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TASKS)
def test_every_task_is_evaluated(name, tokenizer, tmp_path):
    """Of files in the layout that each task usually has."""
    file, content, metrics = OF_TASKS[name]
    (tmp_path / file).write_text(content, "utf-8")
    decoder = name in ("continued", "instruction")
    labels = {"question-answering": 2, "token-classification": 3}.get(name)
    own = train_tokenizer(TEXTS, kind="bpe", vocabulary=300, objective="causal-lm") if decoder else tokenizer
    base = Architecture(kind="decoder" if decoder else "encoder", vocabulary=own.vocabulary, **SMALL)
    a = base if labels is None else with_head(base, name, labels)
    known = ("O", "B-X", "I-X") if name == "token-classification" else None
    task = Task(name=name, labels=known, stride=4 if name == "question-answering" else None)
    task = task.model_copy(update={"max_source_length": 24, "max_target_length": 8})
    write = lambda at: (at / "task.json").write_text(task.model_dump_json())  # noqa: E731
    write_model(Transformer(a), own, tmp_path / "m", Processes(), also=write)
    done = evaluate(tmp_path / "m", "--data", tmp_path / file, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["metrics"]) == metrics
    assert found["forecast"]["flop_per_example"] == pytest.approx(
        found["measured"]["executed_flop_per_example"], rel=0.15
    )


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--metric", "bleu"), "classification has no metric 'bleu'. Known: accuracy"),
        (("--column", "text"), "--column 'text' is no role=column"),
        (("--column", "source=sentence"), "columns names source, which classification does not have"),
        (("--column", "text=body"), "no column 'body'. Found: sentence, label"),
        (("--precision", "fp7"), "--precision 'fp7' is none"),
        (("--device", "teapot"), "--device 'teapot' cannot be used"),
        (("--accelerator", "abacus"), "abacus"),
        (("--predictions", "no/such/folder/made.jsonl"), "its folder is not there"),
        (("--task", "translation"), "no column 'source'"),
        (("--task", "parsing"), "name: Input should be"),
    ],
)
def test_what_cannot_be_done_is_told(folder, data, arguments, fault):
    done = evaluate(folder, "--data", data, *arguments)
    assert done.exit_code == 2, done.output
    assert fault in done.stderr
    assert done.stdout == ""


def test_faults_of_the_examples_are_told(folder, tmp_path):
    file = tmp_path / "test.csv"
    file.write_text("sentence,label\nthe cat,yes\nthe cat,perhaps\n", "utf-8")
    done = evaluate(folder, "--data", file)
    assert done.exit_code == 2
    assert "test.csv: line 3: the label 'perhaps' was not seen in training" in done.stderr
    assert "Known: 'no', 'yes'" in done.stderr
    file.write_text("sentence,label\nthe cat,\n", "utf-8")
    done = evaluate(folder, "--data", file)
    assert done.exit_code == 2
    assert "line 2: the reference in column 'label' (label) is empty" in done.stderr
    done = evaluate(tmp_path / "gone", "--data", file)
    assert done.exit_code == 2
    assert "gone is not there. Give the folder of a finished run" in done.stderr


def test_a_folder_without_a_task_asks_for_one(folder, data, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in (folder / "model").iterdir():
        if file.name != "task.json":
            (bare / file.name).write_bytes(file.read_bytes())
    done = evaluate(bare, "--data", data)
    assert done.exit_code == 2
    assert "Give --task, e.g. --task classification" in done.stderr
    done = evaluate(bare, "--data", data, "--task", "classification", "--column", "text=sentence")
    assert done.exit_code == 2
    assert "Name those it was trained on, in their order, in [task] labels" in done.stderr
