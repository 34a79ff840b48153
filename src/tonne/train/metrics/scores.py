"""Which metrics a task has, and their scores with intervals of 90 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from tonne.errors import DataError, DescriptionError
from tonne.train.metrics.answers import answer_measures
from tonne.train.metrics.labels import label_measures, spells_entities, token_measures
from tonne.train.metrics.likelihood import likelihood_measures
from tonne.train.metrics.measure import Measure, interval, value_of
from tonne.train.metrics.texts import text_measures

RESAMPLES = 1000
LOWER_IS_BETTER = ("perplexity", "bits_per_byte")
LABELS = ("accuracy", "f1_macro", "f1_micro")
ENTITIES = ("entity_f1", "entity_precision", "entity_recall")
LIKELIHOODS = ("bits_per_byte", "perplexity")
METRICS = MappingProxyType(
    {  # of each task, the one first that makes an evaluation the best where nothing else is said
        "translation": ("chrf", "bleu", "exact_match"),
        "summarisation": ("rougeL", "rouge1", "rouge2", "rougeLsum"),
        "classification": LABELS,
        "pair-classification": LABELS,
        "token-classification": ("f1_macro", "accuracy", "f1_micro", *ENTITIES),
        "question-answering": ("f1", "exact_match"),
        "instruction": ("rougeL", "chrf", "exact_match"),
        "continued": LIKELIHOODS,
    }
)


@dataclass(frozen=True, slots=True)
class Score:
    """A metric of an evaluation set with its interval of 90 %, and what it is a number of.

    Percent, but perplexity and bits per byte. ``low`` and ``high`` are None where nothing was resampled, and for a
    single example.
    """

    value: float
    low: float | None
    high: float | None
    signature: str


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics that a task has; those of entities where labels spell some.

    Raises:
        DescriptionError: There is no such task.
    """
    if task not in METRICS:
        raise DescriptionError(f"there is no task {task!r}. Known: {', '.join(METRICS)}.")
    return METRICS[task]


def default_metric(task: str) -> str:
    """The metric that makes an evaluation the best one where ``[task] metric`` is left out."""
    return metrics_of(task)[0]


def higher_is_better(metric: str) -> bool:
    """Whether more of it is better; of perplexity and bits per byte less is."""
    return metric not in LOWER_IS_BETTER


def score(
    task: str,
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    metric: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Score]:
    """The metrics of a task, each with an interval by bootstrap over the examples.

    Args:
        task: Its name.
        predictions: One an example: a text, a label, labels of tokens, or a ``Likelihood`` (continued).
        references: One an example: a text or several, a label, labels of tokens, texts of answers (none: the question
            has no answer). For ``continued`` they are not asked.
        metric: The one that is wanted; left out, all of the task.
        resamples: Of the examples, with replacement; 0: no intervals.
        seed: Of the resampling.

    Returns:
        Scores by the name of the metric.

    Raises:
        DataError: There are not as many predictions as references, there are none, or a reference is empty.
        DescriptionError: The task has not this metric.
        MissingPackageError: The library of a metric is not installed.
    """
    metrics_of(task)  # there is such a task
    if task == "continued":
        references = predictions
    if len(predictions) != len(references) or not len(predictions):
        raise DataError(
            f"{len(predictions)} predictions for {len(references)} references. Give one of each an example, and at "
            f"least one example."
        )
    names = _wanted(task, metric, references)
    measures = _MEASURES[task](names, predictions, references)
    return {name: _scored(measure, len(predictions), resamples, seed) for name, measure in measures.items()}


def _wanted(task: str, metric: str | None, references: Sequence[Any]) -> tuple[str, ...]:
    known = metrics_of(task)
    if metric is not None and metric not in known:
        raise DescriptionError(f"{task} has no metric {metric!r}. Known: {', '.join(known)}.")
    if metric is not None:
        return (metric,)
    if task == "token-classification" and not spells_entities(references):
        return tuple(name for name in known if name not in ENTITIES)
    return known


def _scored(measure: Measure, examples: int, resamples: int, seed: int) -> Score:
    found = interval(measure, examples, resamples=resamples, seed=seed)
    low, high = found or (None, None)
    drawn = f"|bs:{resamples}|seed:{seed}" if found else ""
    return Score(
        value=value_of(measure, examples),
        low=low,
        high=high,
        signature=f"{measure.signature}|examples:{examples}{drawn}|tonne:{version('tonne')}",
    )


def _texts(names: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Measure]:
    return text_measures(names, predictions, [_several(wanted, place) for place, wanted in enumerate(references)])


def _several(reference: str | Sequence[str], place: int) -> list[str]:
    """All references of a text.

    Raises:
        DataError: One is empty.
    """
    found = [reference] if isinstance(reference, str) else list(reference)
    if not found or not all(one.strip() for one in found):
        raise DataError(f"the reference of example {place + 1} is empty. Fill it in, or leave the example out.")
    return found


def _answers(names: Sequence[str], predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Measure]:
    several = [[wanted] if isinstance(wanted, str) else list(wanted) for wanted in references]
    return answer_measures(names, predictions, several)


def _likelihoods(names: Sequence[str], predictions: Sequence[Any], _: Sequence[Any]) -> dict[str, Measure]:
    return likelihood_measures(names, predictions)


_MEASURES: dict[str, Callable[[Sequence[str], Sequence[Any], Sequence[Any]], dict[str, Measure]]] = {
    "translation": _texts,
    "summarisation": _texts,
    "instruction": _texts,
    "classification": label_measures,
    "pair-classification": label_measures,
    "token-classification": token_measures,
    "question-answering": _answers,
    "continued": _likelihoods,
}
