"""A task's examples, its model and its plan put together to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tonne.count.workload import counts_of
from tonne.errors import DescriptionError
from tonne.train.freezing import learning
from tonne.train.job import Job, sharding_of, total_steps
from tonne.train.judging import judge_for
from tonne.train.task_model import prepare_learning
from tonne.train.tasks.batches import LabelledBatches
from tonne.train.tasks.build import form_of
from tonne.train.tasks.losses import label_weights
from tonne.train.tuning import Tuning

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.finetuning import FinetuningRecipe
    from tonne.model.transformer import Transformer
    from tonne.train.evaluation import Judge
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a run on labelled examples is made of.

    ``folder``: of the model that training starts from; None: from scratch. ``new_head``: its head for labels has not
    learned anything yet.
    """

    model: Transformer
    reading: Reading
    train: Sequence[Labelled]
    held_out: Sequence[Labelled]
    folder: Path | None
    new_head: bool


def task_job(recipe: FinetuningRecipe, given: Material) -> Job:
    """The run that teaches a model a task.

    Raises:
        DataError: An example cannot be read by this model.
        DescriptionError: What shall learn does not fit the model.
    """
    training, reading, model = recipe.training, given.reading, given.model
    size = training.global_batch_sequences
    assert size is not None, "a recipe has one"
    weights = _weights(reading, given.train)
    batches = LabelledBatches(
        form_of(replace(reading, weights=weights)),
        given.train,
        batch_sequences=size,
        seed=training.seed,
        token_dropout=training.token_dropout,
    )
    judged = given.held_out[: recipe.run.evaluation_sequences]
    validation = LabelledBatches(form_of(reading), judged, batch_sequences=size, shuffle=False) if judged else None
    tokens_per_step = max(1, round(sum(batches.mean_lengths) * size))
    flop_per_token = _flop_per_token(recipe, model.architecture, batches)
    prepare_learning(recipe, model)
    both = model.architecture.kind == "encoder-decoder"
    return Job(
        model=model,
        batches=batches,
        training=training,
        total_steps=total_steps(training, recipe.data, batches, tokens_per_step),
        flop_per_token=flop_per_token,
        tokens_per_step=tokens_per_step,
        run=recipe.run,
        name=recipe.name,
        validation=validation,
        tokenizer=reading.tokenizer,
        sharding=sharding_of(recipe),
        batch_size_given="micro_batch_sequences" in training.model_fields_set,
        precision_given="precision" in training.model_fields_set,
        tuning=Tuning(
            task=recipe.task,
            form=batches.form,
            labels=reading.labels,
            weights=weights,
            lora=training.lora,
            notes=(*_origin_note(given.folder), *_notes(batches, validation, learning(model))),
            judge=_judge(recipe, reading, judged),
            pretrained=given.folder is not None,
            origin=given.folder,
            start=reading.start if both else None,
            choices=_choices(batches) if given.new_head else None,
        ),
    )


def _judge(recipe: FinetuningRecipe, reading: Reading, judged: Sequence[Labelled]) -> Judge | None:
    """What scores held-out examples; nothing where each process holds a part of the model alone.

    Raises:
        DescriptionError: A metric was asked for there.
    """
    size = recipe.training.global_batch_sequences
    assert size is not None, "a recipe has one"
    if sharding_of(recipe) == "none":
        return judge_for(recipe.task, reading, judged, size)
    if recipe.task.metric is not None:
        raise DescriptionError(
            f"[task] metric={recipe.task.metric!r} is scored by one process, and a sharded model lies in all of them. "
            f"Leave metric out, so that the loss decides, or leave sharding out."
        )
    return None


def _choices(batches: LabelledBatches) -> int | None:
    """What a new head chooses from: labels, or the places of a sequence in the mean."""
    if batches.form.loss == "span":
        return round(batches.mean_lengths[0])
    return len(batches.form.reading.labels) or None


def _weights(reading: Reading, train: Sequence[Labelled]) -> tuple[float, ...] | None:
    """What an example of each label counts; None: each once."""
    asked = reading.task.class_weights
    if asked is None:
        return None
    found = [label for example in train for label in (example.labels or (example.label,))]
    return label_weights(found, reading.labels, asked)


def _flop_per_token(recipe: FinetuningRecipe, a: Architecture, batches: LabelledBatches) -> float:
    """FLOP of a token in the mean, forward and backward, of what learns [FLOP/token]."""
    training, (tokens, source) = recipe.training, batches.mean_lengths
    predicted = sum(int((one.example.targets >= 0).sum()) for one in batches.encoded)
    counts = counts_of(
        a,
        tokens=1,
        sequence_length=max(1, round(tokens)),
        source_length=max(1, round(source)) if source else None,
        target_length=max(1, round(tokens)) if source else None,
        objective=training.objective,
        answer_fraction=predicted / max(1, int(batches.sizes[:, 0].sum())) if not source else 1.0,
        lora=training.lora,
        frozen_layers=training.frozen_layers,
    )
    return counts.model_flop_per_token


def _origin_note(folder: Path | None) -> tuple[str, ...]:
    return () if folder is None else (f"starting from the model in {folder}",)


def _notes(batches: LabelledBatches, validation: LabelledBatches | None, learns: tuple[int, int]) -> tuple[str, ...]:
    """What is told of the examples and of what learns, before the first step."""
    reading, (cut, lost) = batches.form.reading, batches.cut
    held_out = 0 if validation is None else len(validation.examples)
    notes = [
        f"{len(batches.examples):,} examples, {held_out:,} more held out; {len(batches):,} sequences of "
        f"{sum(batches.mean_lengths):.0f} tokens in the mean; {1 - batches.fill():.1%} of a batch is padding",
    ]
    if reading.labels:
        notes.append(
            f"{len(reading.labels):,} labels: {', '.join(reading.labels[:10])}{', ...' * (len(reading.labels) > 10)}"
        )
    if cut:
        notes.append(
            f"{cut:,} sequences were too long and lost {lost:,} tokens; [task] max_source_length and "
            f"max_target_length say how many are kept"
        )
    if learns[0] < learns[1]:
        notes.append(f"{learns[0]:,} of {learns[1]:,} parameters learn ({learns[0] / learns[1]:.1%})")
    return tuple(notes)
