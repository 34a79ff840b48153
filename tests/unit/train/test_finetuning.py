"""A task taught from a file of examples: from scratch, from a folder, from a plan; cut off, gone on with, kept."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from safetensors.torch import load_file  # noqa: E402 - after the check that torch is there

from tonne.describe.finetuning import FinetuningRecipe  # noqa: E402
from tonne.errors import CheckpointError, DataError, DescriptionError, WeightsError  # noqa: E402
from tonne.train.finetuning import finetune, finetuning_job  # noqa: E402
from tonne.train.fitting import Session  # noqa: E402
from tonne.train.trained import read_trained  # noqa: E402

ANIMALS, FRUITS = ("cat", "dog", "cow", "horse", "sheep"), ("apple", "pear", "plum", "grape", "fig")
ENCODER = {
    "kind": "encoder", "layers": 2, "width": 32, "heads": 4, "vocabulary": 200, "positions": "learned",
    "max_positions": 32, "token_types": 2, "embedding_norm": True, "norm_epsilon": 1e-12, "pooler": True,
    "prediction_head": True, "next_sentence_head": True,
}  # fmt: skip
DECODER = {"kind": "decoder", "layers": 2, "width": 32, "heads": 4, "vocabulary": 300, "positions": "learned",
           "max_positions": 32}  # fmt: skip


def rows(number=60):
    for i in range(number):
        animal, fruit = ANIMALS[i % 5], FRUITS[(i // 2) % 5]
        label = "animal" if i % 2 else "fruit"
        text = f"the {animal if i % 2 else fruit} is here"
        yield {"text": text, "label": label, "source": f"{animal} {fruit}", "target": f"{fruit} {animal}"}


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """A file of sixty examples."""
    file = tmp_path_factory.mktemp("examples") / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows()), encoding="utf-8")
    return file


@pytest.fixture
def recipe(examples):
    def made(**changes):
        fields = {
            "name": "tiny",
            "architecture": ENCODER,
            "data": {"source": str(examples), "validation_fraction": 0.2},
            "task": {"name": "classification"},
            "training": {"global_batch_sequences": 8, "epochs": 2, "learning_rate": 3e-3, "precision": "fp32"},
            "run": {"log_every": 1, "threads": 1, "evaluate_every": 4, "checkpoint_every": 3},
        }
        for name, part in changes.items():
            fields[name] = {**fields.get(name, {}), **part} if isinstance(part, dict) and part else part
        return FinetuningRecipe.from_fields({name: part for name, part in fields.items() if part is not None})

    return made


@pytest.fixture
def session(tmp_path_factory):
    return Session(home=tmp_path_factory.getbasetemp() / "home", device="cpu", stream=None)


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_it_learns_and_leaves_a_model_that_knows_its_labels(recipe, session, tmp_path, lines_of):
    found = finetune(recipe(training={"epochs": 16}), tmp_path / "run", session=session)
    lines = lines_of(tmp_path / "run")
    assert lines[0]["loss"] == pytest.approx(0.693, abs=0.25)  # ln 2: a new head tells nothing apart
    assert found.best.metrics["accuracy"] == 100
    config = json.loads((found.model / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "animal", "1": "fruit"}
    trained = read_trained(tmp_path / "run")
    assert (trained.labels, trained.task.name) == (("animal", "fruit"), "classification")


@pytest.mark.slow
def test_cut_off_and_gone_on_with_it_is_the_same_run(recipe, session, tmp_path, lines_of):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    plan = recipe(training={"dropout": 0.1})
    finetune(plan, whole, session=session)
    for last in (4, 7, None):
        finetune(plan, parts, max_steps=last, resume=True, session=session)
    assert lines_of(parts) == lines_of(whole)
    ours, theirs = weights(parts / "model"), weights(whole / "model")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_the_model_is_that_of_the_best_evaluation(recipe, session, tmp_path):
    """A rate that blows up late: the last weights are worse than the best."""
    plan = recipe(training={"epochs": 6, "learning_rate": 0.05, "schedule": "constant", "warmup_steps": 0})
    found = finetune(plan, tmp_path / "run", session=session)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    looks = {line["step"]: line for line in lines if "validation_accuracy" in line}
    best = max(looks.values(), key=lambda line: (line["validation_accuracy"], -line["validation_loss"]))
    assert found.best.step == best["step"]
    assert found.best.loss == best["validation_loss"]
    kept = weights_of_best(tmp_path / "run", found.best.step)
    assert torch.equal(weights(found.model)["classifier.bias"], kept["model.task.output.bias"])


def weights_of_best(folder, step):
    return load_file(folder / "best" / f"step-{step:010d}" / "state.safetensors")


@pytest.mark.slow
def test_patience_goes_by_the_metric(recipe, session, tmp_path):
    plan = recipe(training={"epochs": 60}, run={"patience": 4, "evaluate_every": 10})
    found = finetune(plan, tmp_path / "run", session=session)
    assert found.stopped_by == "patience"
    assert found.best.metrics["accuracy"] == 100


@pytest.mark.slow
def test_a_metric_of_written_texts_decides_where_it_is_asked_for(recipe, session, tmp_path):
    plan = recipe(
        architecture=DECODER,
        task={"name": "translation", "metric": "exact_match", "prompt": "{source} = "},
        training={"epochs": 3},
    )
    found = finetune(plan, tmp_path / "run", session=session)
    assert set(found.best.metrics) == {"exact_match"}
    without = finetune(recipe(architecture=DECODER, task={"name": "translation"}), tmp_path / "b", session=session)
    assert without.best.metrics == {}


PRE_TRAINING = """
[architecture]
{architecture}
[data]
source = "text.txt"
documents = "line"
tokens = 2000
sequence_length = 16
[training]
objective = "masked-lm"
global_batch_sequences = 8
precision = "fp32"
[run]
threads = 1
"""


@pytest.fixture
def plan_of_a_start(tmp_path):
    lines = [f"{name} = {json.dumps(value)}" for name, value in ENCODER.items()]
    (tmp_path / "text.txt").write_text("\n".join(row["text"] for row in rows()), encoding="utf-8")
    (tmp_path / "start.toml").write_text(PRE_TRAINING.format(architecture="\n".join(lines)), encoding="utf-8")
    return str(tmp_path / "start.toml")


@pytest.mark.slow
def test_what_it_starts_from_is_trained_once(recipe, session, tmp_path, plan_of_a_start):
    home = tmp_path / "home"
    own = Session(home=home, device="cpu", stream=None)
    plan = recipe(architecture=None, start={"from": {"train": plan_of_a_start}})
    first = finetune(plan, tmp_path / "a", max_steps=1, session=own)
    (start,) = (home / "starts").glob("start-*[!.lock]")
    written = (start / "model" / "model.safetensors").stat().st_mtime_ns
    second = finetune(plan, tmp_path / "b", max_steps=1, session=own)
    assert (start / "model" / "model.safetensors").stat().st_mtime_ns == written
    assert first.loss == second.loss
    began = weights(start / "model")["bert.embeddings.word_embeddings.weight"]
    became = weights(first.model)["bert.embeddings.word_embeddings.weight"]
    assert 0 < (became - began).abs().max() < 0.01  # one small step away from where it was left


@pytest.mark.slow
def test_a_start_that_was_cut_off_is_trained_to_its_end(recipe, tmp_path, plan_of_a_start):
    from tonne.describe.recipe import Recipe  # noqa: PLC0415
    from tonne.train.fitting import fit  # noqa: PLC0415
    from tonne.train.job import job_of, store_folder  # noqa: PLC0415
    from tonne.train.origin import trained_once  # noqa: PLC0415

    whole = trained_once(plan_of_a_start, tmp_path / "one", Session(device="cpu", stream=None))
    home = tmp_path / "two"
    folder = home / "starts" / whole.parent.name
    plan = Recipe.from_toml(plan_of_a_start)
    fit(job_of(plan, store_folder(plan, home / "data")), folder, max_steps=5, session=Session(stream=None))
    again = trained_once(plan_of_a_start, home, Session(device="cpu", stream=None))
    assert again == folder / "model"
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(whole).items())


@pytest.mark.slow
def test_adapters_learn_and_are_merged_and_kept(recipe, session, tmp_path):
    start = finetune(recipe(), tmp_path / "start", max_steps=2, session=session)
    plan = recipe(
        architecture=None,
        start={"from": str(start.model)},
        training={"lora": {"rank": 2, "alpha": 4}, "learning_rate": 2e-2},
    )
    found = finetune(plan, tmp_path / "run", session=session)
    before, after = weights(start.model), weights(found.model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "classifier.weight" in changed
    assert {name.split(".")[-2] for name in changed - {"classifier.weight", "classifier.bias"}} == {"query", "value"}
    assert (tmp_path / "run" / "adapter" / "adapter.safetensors").is_file()


@pytest.mark.slow
def test_frozen_layers_stay_as_they_were(recipe, session, tmp_path):
    start = finetune(recipe(), tmp_path / "start", max_steps=2, session=session)
    plan = recipe(architecture=None, start={"from": str(start.model)}, training={"frozen_layers": 1})
    found = finetune(plan, tmp_path / "run", session=session)
    before, after = weights(start.model), weights(found.model)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "embeddings" in name or "layer.0." in name} <= same
    assert not {name for name in same if "layer.1." in name and name.endswith("dense.weight")}


@pytest.mark.slow
def test_pre_training_goes_on(recipe, session, tmp_path, plan_of_a_start):
    plan = recipe(
        architecture=None,
        start={"from": {"train": plan_of_a_start}},
        task={"name": "continued"},
        data={"source": str(tmp_path / "text.txt"), "documents": "line", "sequence_length": 16},
        training={"epochs": 4},
    )
    found = finetune(plan, tmp_path / "run", session=session)
    config = json.loads((found.model / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["BertForPreTraining"]
    assert found.best is not None


def test_padding_of_labelled_examples_is_told(recipe, session, tmp_path):
    job = finetuning_job(recipe(), tmp_path, session)
    assert job.tuning.notes[0].startswith("48 examples, 12 more held out; 48 sequences of 6 tokens")
    assert job.tuning.notes[1] == "2 labels: animal, fruit"
    assert job.total_steps == 12  # two epochs of 48 in eights


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"task": {"name": "classification", "columns": {"text": "body"}}}, DataError, "body"),
    ({"task": {"name": "classification", "labels": ["animal", "plant"]}}, DataError, "'fruit' was not seen"),
    ({"task": {"name": "classification", "metric": "bleu"}}, DescriptionError, "Known: accuracy"),
    ({"data": {"source": "nowhere.jsonl"}}, DataError, "nowhere.jsonl"),
    ({"tokenizer": {"kind": "bpe", "vocabulary": 100}}, DataError, "too small"),
    ({"start": {"from": "nowhere"}, "architecture": ENCODER}, DescriptionError, "holds no weights"),
    ({"task": {"name": "classification", "max_source_length": 33}}, DataError, "positions for 32"),
    ({"training": {"precision": "fp8"}}, DescriptionError, "is not trained in here"),
])  # fmt: skip
def test_what_cannot_be_is_told(recipe, session, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        finetune(recipe(**changes), tmp_path / "run", session=session)


def test_another_task_does_not_go_on_with_a_run(recipe, session, tmp_path):
    finetune(recipe(), tmp_path / "run", max_steps=1, session=session)
    with pytest.raises(CheckpointError, match=r"task\.class_weights was None, is 'balanced'"):
        finetune(recipe(task={"class_weights": "balanced"}), tmp_path / "run", resume=True, session=session)


@pytest.mark.slow
def test_a_head_for_labels_writes_nothing(recipe, session, tmp_path):
    start = finetune(recipe(architecture=DECODER), tmp_path / "start", max_steps=1, session=session)
    plan = recipe(architecture=None, start={"from": str(start.model)}, task={"name": "translation"})
    with pytest.raises(DescriptionError, match="has a head for 2 labels and predicts no tokens"):
        finetune(plan, tmp_path / "run", session=session)


@pytest.mark.slow
def test_an_architecture_beside_a_start_must_be_its_own(recipe, session, tmp_path):
    start = finetune(recipe(), tmp_path / "start", max_steps=1, session=session)
    with pytest.raises(DescriptionError, match=r"layers=3, but the model in .* has 2"):
        finetune(recipe(architecture={"layers": 3}, start={"from": str(start.model)}), tmp_path / "a", session=session)
    broken = start.model / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(WeightsError, match="has 100 bytes"):
        finetune(recipe(architecture=None, start={"from": str(start.model)}), tmp_path / "b", session=session)


@pytest.mark.slow
def test_a_shape_of_its_own_is_kept_and_gone_on_with(recipe, session, tmp_path):
    """An encoder that no class of transformers has: sinusoidal positions."""
    own = ENCODER | {"positions": "sinusoidal", "max_positions": 0, "embedding_norm": False}
    start = finetune(recipe(architecture=own), tmp_path / "start", max_steps=3, session=session)
    assert (start.model / "architecture.json").is_file()
    plan = recipe(architecture=None, start={"from": str(start.model)})
    found = finetune(plan, tmp_path / "run", max_steps=1, session=session)
    assert found.model.is_dir()


def test_runs_older_than_an_option_go_on_where_it_is_left_out(recipe, session):
    facts = [
        finetuning_job(recipe(training={"token_dropout": share}), session.home, session).facts()["training"]
        for share in (0.0, 0.2)
    ]
    assert "token_dropout" not in facts[0]  # as a run that was started before there was such an option kept them
    assert facts[1]["token_dropout"] == 0.2


@pytest.mark.slow
def test_cut_off_and_gone_on_with_it_leaves_out_the_same_words(recipe, session, tmp_path, lines_of):
    plan = recipe(training={"token_dropout": 0.4})
    finetune(plan, tmp_path / "whole", session=session)
    finetune(plan, tmp_path / "cut", session=session, max_steps=5)
    finetune(plan, tmp_path / "cut", session=session, resume=True)
    assert lines_of(tmp_path / "whole") == lines_of(tmp_path / "cut")
