"""Held-out examples predicted and scored: what an early stop and the best checkpoint go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tonne.errors import DescriptionError
from tonne.train.metrics import default_metric, metrics_of, score
from tonne.train.predictions import Options
from tonne.train.scoring import evaluated

if TYPE_CHECKING:
    from tonne.describe.task import Task
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskJudge:
    """Scores what a model predicts of examples; ``metric`` decides, where it is None the loss does."""

    reading: Reading
    examples: Sequence[Labelled]
    metric: str | None
    batch_sequences: int
    precision: str = "fp32"

    @property
    def size(self) -> int:
        """Examples that are scored."""
        return len(self.examples)

    def of_first(self, number: int) -> TaskJudge:
        """One that scores only so many of the examples."""
        return replace(self, examples=self.examples[:number])

    def scores(self, model: Transformer) -> dict[str, float]:
        """The metrics of the task by name; of texts, which libraries score, the deciding one alone."""
        options = Options(batch_sequences=self.batch_sequences, precision=self.precision)
        asked = self.metric if self.reading.task.writes else None
        found = evaluated(model, self.reading, self.examples, options=options, metric=asked, resamples=0)
        return {name: one.value for name, one in found.scores.items()}


def check_metric(task: Task) -> None:
    """Whether the task has the metric that shall decide, and the library of it is there: told before hours of training.

    Raises:
        DescriptionError: The task has no such metric.
        MissingPackageError: The library is not installed.
    """
    if task.metric is not None and task.metric not in metrics_of(task.name):
        raise DescriptionError(
            f"[task] metric={task.metric!r} is none of {task.name}. Known: {', '.join(metrics_of(task.name))}."
        )
    if task.metric is not None and task.writes:
        score(task.name, ["a"], ["a"], metric=task.metric, resamples=0)


def judge_for(task: Task, reading: Reading, examples: Sequence[Labelled], batch_sequences: int) -> TaskJudge | None:
    """What scores a task's examples: labels and answers always, written texts where ``[task] metric`` asks for it.

    Writing takes far longer than reading: where nobody asks, the loss decides.
    """
    if not examples or (task.writes and task.metric is None):
        return None
    metric = task.metric or default_metric(task.name)
    return TaskJudge(reading=reading, examples=examples, metric=metric, batch_sequences=batch_sequences)
