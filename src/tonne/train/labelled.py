"""Labelled examples: what a task reads and what should come of it, wherever they lie; labels; what is held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tonne.errors import DataError
from tonne.train.split import held_out

if TYPE_CHECKING:
    from tonne.describe.data import Data
    from tonne.describe.task import Task

SHOWN = 8  # labels that a message lists


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of a context that answers a question, and at which character it starts; None: it stands nowhere."""

    text: str
    start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One example; of the fields named after roles, those of its task are filled.

    ``id``: its own, or the number of its row. ``where``: file and row, for messages. ``references``: all texts that
    are right, where one is written; ``target`` or ``answer`` is the first of them. ``answers`` is empty where a
    question cannot be answered.
    """

    id: str
    where: str = ""
    source: str = ""
    target: str = ""
    text: str = ""
    first: str = ""
    second: str = ""
    label: str = ""
    tokens: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    question: str = ""
    context: str = ""
    answers: tuple[Answer, ...] = ()
    prompt: str = ""
    answer: str = ""
    references: tuple[str, ...] = ()


def labels_of(examples: Sequence[Labelled], task: Task) -> tuple[str, ...]:
    """The labels that a model tells apart: those of ``[task]``, else those of the examples, numbers by size.

    Raises:
        DataError: There are fewer than two.
    """
    if task.labels is not None:
        return task.labels
    found = sorted({label for label, _ in _labels(examples)}, key=_by_size)
    if len(found) < 2:
        raise DataError(
            f"the examples have {len(found)} label(s): {', '.join(map(repr, found)) or 'none'}. A model learns to tell "
            f"at least two apart: give examples of another label, or name the right column in [task] columns."
        )
    return tuple(found)


def check_labels(examples: Sequence[Labelled], known: Sequence[str]) -> None:
    """Whether a model knows the labels of all examples.

    Raises:
        DataError: It does not; the text names the first one that it was not trained on, and where it stands.
    """
    knows = set(known)
    unseen = [(label, where) for label, where in _labels(examples) if label not in knows]
    if not unseen:
        return
    others = sorted({label for label, _ in unseen}, key=_by_size)
    label, where = unseen[0]
    raise DataError(
        f"{where}: the label {label!r} was not seen in training ({len(unseen):,} example(s) have one of "
        f"{_listed(others)}). Known: {_listed(known)}. Mend the labels, leave these examples out, or train on them too "
        f"and name all in [task] labels."
    )


def examples_of(data: Data, task: Task) -> tuple[list[Labelled], list[Labelled]]:
    """Examples that are trained on, and those that are held out: a share of them, or those of a source of their own.

    Raises:
        DataError: A source is not there, a column is missing, or an example cannot be one.
    """
    from tonne.train.labelled_reading import read_labelled  # noqa: PLC0415 - it makes what is defined here

    if not data.sources:
        raise DataError(
            "[data] source is missing. Name files of examples (JSONL, CSV, TSV, Parquet, SQuAD's JSON, or two parallel "
            "text files)."
        )
    found = read_labelled(data.sources, data.format, task, split=data.split)
    if data.validation_sources:
        return found, read_labelled(data.validation_sources, data.format, task, split="validation")
    return split_examples(found, data.validation_fraction)


def split_examples(examples: Sequence[Labelled], fraction: float) -> tuple[list[Labelled], list[Labelled]]:
    """Examples to be trained on and examples held out; the same ones each time.

    Questions on one context stay together, so that no context is in both.

    Args:
        examples: In the order of their source.
        fraction: Share that is held out, 0 to 0.5.
    """
    groups = _groups(examples)
    out = held_out(int(groups[-1]) + 1 if len(groups) else 0, fraction)
    kept = [example for example, group in zip(examples, groups, strict=True) if not out[group]]
    return kept, [example for example, group in zip(examples, groups, strict=True) if out[group]]


def _groups(examples: Sequence[Labelled]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The number of each example's group: neighbours that share a context are one."""
    begins = [
        not (before is not None and example.context and example.context == before.context)
        for before, example in zip([None, *examples], examples, strict=False)
    ]
    return np.cumsum(begins, dtype=np.int64) - 1


def _labels(examples: Sequence[Labelled]) -> Iterator[tuple[str, str]]:
    """Each label, and where it stands."""
    for example in examples:
        for label in example.labels or ((example.label,) if example.label else ()):
            yield label, example.where


def _by_size(label: str) -> tuple[bool, float, str]:
    """Whole numbers by size, then names."""
    number = label.removeprefix("-").isdecimal()
    return not number, float(label) if number else 0.0, label


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return ", ".join(map(repr, labels[:SHOWN])) + more
