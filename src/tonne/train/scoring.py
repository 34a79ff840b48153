"""How good a model's predictions of labelled examples are: predicted, then scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tonne.train.labelled import check_labels
from tonne.train.metrics import Score, score
from tonne.train.metrics.scores import RESAMPLES
from tonne.train.predictions import Options, Predicted, predicted

if TYPE_CHECKING:
    from tonne.describe.task import Task
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What was predicted, and the scores of it by metric."""

    predicted: Predicted
    scores: dict[str, Score]


def evaluated(  # noqa: PLR0913 - what is asked of whom, and how it is scored
    model: Transformer,
    reading: Reading,
    examples: Sequence[Labelled],
    *,
    options: Options | None = None,
    metric: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluated:
    """Predictions of examples and their scores, with intervals of 90 %.

    Args:
        model: With the head that the task needs.
        reading: How it reads the task.
        examples: With their references.
        options: Size of a batch, precision.
        metric: The one that is wanted; left out, all of the task.
        resamples: Of the examples; 0: no intervals.
        seed: Of the resampling.

    Raises:
        DataError: An example cannot be read, its reference is empty, or its label was not seen in training.
        DescriptionError: The model cannot do the task, or the task has not this metric.
    """
    if reading.labels:
        check_labels(examples, reading.labels)
    found = predicted(model, reading, examples, options)
    references = references_of(reading.task, examples)
    scores = score(reading.task.name, found.values, references, metric=metric, resamples=resamples, seed=seed)
    return Evaluated(predicted=found, scores=scores)


def references_of(task: Task, examples: Sequence[Labelled]) -> list[Any]:
    """What the model should say of each example, as ``score`` takes it."""
    if task.name == "continued":
        return [None] * len(examples)
    if task.name == "question-answering":
        return [[answer.text for answer in example.answers] for example in examples]
    if task.writes:
        return [example.references or (getattr(example, task.roles[-1]),) for example in examples]
    role = task.reference
    assert role is not None, "every other task has one"
    return [getattr(example, role) for example in examples]
