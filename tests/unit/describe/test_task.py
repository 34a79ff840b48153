"""The section [task]: what may be said of a task, and what a plan makes of it."""

import pytest

from tonne.describe.finetuning import FinetuningRecipe
from tonne.describe.plan import TrainingPlan
from tonne.describe.recipe import Recipe
from tonne.describe.task import INPUTS, Task
from tonne.errors import DescriptionError

SHAPE = {"width": 32, "heads": 2, "vocabulary": 100}
ENCODER = {"kind": "encoder", "layers": 2, "prediction_head": True, "next_sentence_head": True, "pooler": True, **SHAPE}
DECODER = {"kind": "decoder", "layers": 2, "tied_embeddings": False, **SHAPE}
BOTH = {"kind": "encoder-decoder", "encoder_layers": 2, "decoder_layers": 1, **SHAPE}
DATA = {"source": "examples.jsonl", "sequence_length": 16}
TRAINING = {"global_batch_sequences": 4, "epochs": 2}


def fields(architecture, task, **more):
    return {"architecture": architecture, "task": task, "data": DATA, "training": TRAINING} | more


def recipe(architecture, task, **more):
    return FinetuningRecipe.from_fields(fields(architecture, task, **more))


def test_a_role_left_out_has_the_column_of_its_name():
    task = Task(name="translation", columns={"source": "en"})
    assert [task.column(role) for role in task.roles] == ["en", "target"]


def test_every_task_says_what_it_is_given():
    assert {name for name in INPUTS if Task(name=name).reference is None} == {"continued"}
    assert Task(name="question-answering").roles == ("question", "context", "answers")


@pytest.mark.parametrize(("given", "message"), [
    ({"name": "classification", "columns": {"source": "x"}}, "which classification does not have"),
    ({"name": "translation", "prompt": "of {text}"}, r"It must hold \{source\}"),
    ({"name": "translation", "prompt": "of {source"}, "is no template"),
    ({"name": "classification", "prompt": "{text}"}, "writes nothing"),
    ({"name": "instruction", "labels": ["a", "b"]}, "labels has no meaning for instruction"),
    ({"name": "classification", "labels": ["a", "a"]}, "names a label twice"),
    ({"name": "classification", "labels": ["a"]}, "Name at least two"),
    ({"name": "classification", "labels": ["a", "b"], "class_weights": {"c": 1.0}}, r"names \['c'\]"),
])  # fmt: skip
def test_a_task_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Task.model_validate(given)


@pytest.mark.parametrize(("architecture", "name", "objective"), [
    (ENCODER, "classification", "classification"),
    (ENCODER, "pair-classification", "classification"),
    (DECODER, "token-classification", "token-classification"),
    (ENCODER, "question-answering", "question-answering"),
    (BOTH, "translation", "seq2seq"),
    (DECODER, "summarisation", "instruction"),
    (DECODER, "instruction", "instruction"),
    (ENCODER, "continued", "masked-lm"),
    (DECODER, "continued", "causal-lm"),
    (BOTH, "continued", "span-corruption"),
])  # fmt: skip
def test_the_objective_follows_from_task_and_model(architecture, name, objective):
    assert recipe(architecture, {"name": name}).training.objective == objective


def test_labels_that_are_named_give_the_model_its_head():
    a = recipe(ENCODER, {"name": "classification", "labels": ["a", "b", "c"]}).architecture
    assert (a.task_head.labels, a.task_head.bias, a.pooler) == (3, True, True)
    assert (a.prediction_head, a.next_sentence_head) == (False, False)
    a = recipe(ENCODER, {"name": "question-answering"}).architecture
    assert (a.task_head.labels, a.pooler) == (2, False)
    a = recipe(DECODER, {"name": "classification", "labels": ["a", "b"]}).architecture
    assert (a.task_head.bias, a.tied_embeddings) == (False, True)
    a = recipe(BOTH, {"name": "classification", "labels": ["a", "b"]}).architecture
    assert a.task_head.dense


def test_a_forecast_reads_the_same_file():
    plan = TrainingPlan.from_fields(
        fields(
            ENCODER,
            {"name": "question-answering"},
            data=DATA | {"tokens": 1e6},
            cluster={"accelerator": "H100 SXM5 80GB", "accelerators": 1},
        )
    )
    assert plan.training.objective == "question-answering"
    assert plan.architecture.task_head.labels == 2


@pytest.mark.parametrize(("architecture", "task", "lengths"), [
    (ENCODER, {"name": "classification", "max_source_length": 12}, (12, None, None)),
    (BOTH, {"name": "translation", "max_source_length": 12, "max_target_length": 8}, (None, 12, 8)),
    (DECODER, {"name": "translation", "max_source_length": 12, "max_target_length": 8}, (20, None, None)),
    (DECODER, {"name": "translation", "max_source_length": 12}, (None, None, None)),
])  # fmt: skip
def test_lengths_of_the_task_are_those_that_are_forecast(architecture, task, lengths):
    found = recipe(architecture, task, data={"source": "a.jsonl"}).data
    assert (found.sequence_length, found.source_length, found.target_length) == lengths


def test_an_encoder_writes_nothing():
    with pytest.raises(DescriptionError, match="which an encoder cannot"):
        recipe(ENCODER, {"name": "translation"})


def test_an_objective_that_is_not_the_tasks_is_refused():
    with pytest.raises(DescriptionError, match="Leave it out, or give 'seq2seq'"):
        recipe(BOTH, {"name": "translation"}, training=TRAINING | {"objective": "causal-lm"})


@pytest.mark.parametrize(("more", "message"), [
    ({"task": None}, r"\[task\] is missing"),
    ({"training": {"global_batch_sequences": 4}}, "epochs is missing"),
    ({"training": TRAINING | {"frozen_layers": 1}}, "has learned nothing"),
    ({"data": DATA | {"validation_source": "b.jsonl", "validation_fraction": 0.1}}, "Give one of them"),
])  # fmt: skip
def test_a_recipe_that_lacks_something_is_refused(more, message):
    with pytest.raises(DescriptionError, match=message):
        FinetuningRecipe.from_fields(fields(ENCODER, {"name": "classification"}) | more)


@pytest.mark.parametrize("more", [{"task": {"name": "classification"}}, {"training": TRAINING}])
def test_pre_training_has_no_task(more):
    given = {"architecture": ENCODER, "data": DATA | {"tokens": 100}, "training": {"global_batch_sequences": 4}}
    with pytest.raises(DescriptionError, match="run tonne finetune"):
        Recipe.from_fields(given | {name: given.get(name, {}) | part for name, part in more.items()})


def test_the_architecture_of_the_start_is_taken_before_it_is_missed(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}', encoding="utf-8")
    given = fields(None, {"name": "classification"}, start={"from": str(tmp_path)})
    assert FinetuningRecipe.from_fields(given).architecture.width == 768


def test_words_are_left_out_of_whole_texts_alone():
    training = TRAINING | {"token_dropout": 0.2}
    assert recipe(ENCODER, {"name": "classification"}, training=training).training.token_dropout == 0.2
    with pytest.raises(DescriptionError, match="name='token-classification' asks about each"):
        recipe(ENCODER, {"name": "token-classification"}, training=training)
    with pytest.raises(DescriptionError, match="token_dropout leaves words out of texts that have labels"):
        Recipe.from_fields(
            {
                "architecture": DECODER,
                "data": DATA | {"tokens": 100},
                "training": {"global_batch_sequences": 4, "token_dropout": 0.2},
            }
        )
