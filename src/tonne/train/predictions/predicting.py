"""Predictions of a task, whatever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tonne.errors import DescriptionError
from tonne.model.generation import evaluating
from tonne.train.predictions.answers import found_answers
from tonne.train.predictions.labels import sequence_labels, word_labels
from tonne.train.predictions.likelihoods import text_likelihoods
from tonne.train.predictions.passes import Pass
from tonne.train.predictions.texts import written_texts
from tonne.train.step import mixed
from tonne.train.tasks.build import form_of, reading_of
from tonne.train.tasks.form import Reading
from tonne.train.tasks.prompts import PromptedText
from tonne.train.tasks.seq2seq import Seq2SeqText

if TYPE_CHECKING:
    from tonne.describe.data import Data
    from tonne.describe.task import Task
    from tonne.model.transformer import Transformer
    from tonne.train.labelled import Labelled
    from tonne.train.tasks.form import Encoded
    from tonne.train.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How examples are predicted.

    Attributes:
        batch_sequences: Read side by side.
        precision: "fp32", or "bf16": products in 16 bits.
        may_be_none: Question answering: a question may have no answer. Left out: it may where an example has none.
        told: Called after each batch with the sequences that are done.
    """

    batch_sequences: int = 32
    precision: str = "fp32"
    may_be_none: bool | None = None
    told: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Predictions in the order of the examples, and what they took.

    ``values``: texts, labels, tuples of labels, or likelihoods. ``cut``: examples of which some tokens were left out.
    ``passes``: the batches. ``elapsed_s``: from examples to predictions, tokenizing too [s]; ``cpu_s``: time that
    all threads of this process took of the processors meanwhile [s].
    """

    values: list[Any]
    cut: int
    passes: tuple[Pass, ...]
    elapsed_s: float
    cpu_s: float


def predict(  # noqa: PLR0913 - a model, what it is asked, and how
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    examples: Sequence[Labelled],
    *,
    labels: Sequence[str] = (),
    data: Data | None = None,
    start: int | None = None,
    options: Options | None = None,
) -> list[Any]:
    """What a model makes of examples.

    Args:
        model: With the head that the task needs.
        tokenizer: The model's own.
        task: What is asked, and how.
        examples: Their inputs; references are not looked at.
        labels: Of a task of labels, in the order of their numbers; left out, those of the task.
        data: Its lengths hold where the task names none.
        start: Token that an encoder-decoder's decoder begins with; left out, the padding token, else the end.
        options: Size of a batch, precision.

    Returns:
        One an example: a text, a label, a tuple of labels (one a token), or a ``Likelihood`` (continued).

    Raises:
        DescriptionError: The model cannot do the task, or its head has another number of labels.
        DataError: An example cannot be read; the text says which.
    """
    known = tuple(labels) or task.labels or ()
    reading = reading_of(task, model.architecture, tokenizer, data=data, labels=known, start=start)
    return predicted(model, reading, examples, options).values


@torch.no_grad()
def predicted(
    model: Transformer, reading: Reading, examples: Sequence[Labelled], options: Options | None = None
) -> Predicted:
    """Predictions, and what they took. The model keeps the mode that it is in.

    Raises:
        DescriptionError: The model cannot do the task, or its head has another number of labels.
        DataError: An example cannot be read; the text says which.
    """
    chosen, passes = options or Options(), list[Pass]()
    check_head(model, reading)

    def ran(one: Pass) -> None:
        passes.append(one)
        if chosen.told is not None:
            chosen.told(sum(done.sequences for done in passes))

    start, cpu_start = time.perf_counter(), time.process_time()
    with evaluating(model), mixed(chosen.precision, next(model.parameters()).device):
        values, cut = _values(model, reading, examples, chosen, ran)
    return Predicted(
        values=values,
        cut=cut,
        passes=tuple(passes),
        elapsed_s=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu_start,
    )


def _values(
    model: Transformer, reading: Reading, examples: Sequence[Labelled], chosen: Options, ran: Callable[[Pass], None]
) -> tuple[list[Any], int]:
    """The predictions, and how many examples were cut."""
    name, size = reading.task.name, chosen.batch_sequences
    if name == "continued":
        return list(text_likelihoods(model, reading, examples, size, ran)), 0
    form = form_of(reading)
    if isinstance(form, Seq2SeqText | PromptedText):
        texts, cut = written_texts(model, form, examples, size, ran)
        return list(texts), cut
    if name == "question-answering":
        none = chosen.may_be_none
        none = any(not example.answers for example in examples) if none is None else none
        answers, encoded = found_answers(model, form, examples, size, ran, may_be_none=none)
        return list(answers), _cut(encoded)
    if name == "token-classification":
        words, encoded = word_labels(model, form, examples, size, ran)
        return list(words), _cut(encoded)
    labels, encoded = sequence_labels(model, form, examples, size, ran)
    return list(labels), _cut(encoded)


def _cut(encoded: Sequence[Encoded]) -> int:
    return len({one.owner for one in encoded if one.cut})


def check_head(model: Transformer, reading: Reading) -> None:
    """Whether a model has the head that a task needs, and a row for each token of the tokenizer.

    Raises:
        DescriptionError: It has not; the text says what it has.
    """
    head, name = model.architecture.task_head, reading.task.name
    rows, vocabulary = reading.tokenizer.vocabulary, model.architecture.vocabulary
    if rows > vocabulary:
        raise DescriptionError(
            f"the tokenizer has ids up to {rows - 1}, but the model knows {vocabulary} tokens. They do not belong "
            f"together: put the model's own tokenizer.json into its folder."
        )
    if reading.task.writes or name == "continued":
        if head is not None:
            raise DescriptionError(
                f"{name} needs a model that predicts tokens, but this one has a head for {head.labels} labels."
            )
        return
    wanted = 2 if name == "question-answering" else len(reading.labels)
    if head is None:
        raise DescriptionError(
            f"{name} needs a head for labels, which this model has not. Fine-tune it first: tonne finetune."
        )
    if head.labels != wanted:
        raise DescriptionError(
            f"the model's head has {head.labels} labels, but {name} was given {wanted}: {', '.join(reading.labels)}. "
            f"Name those it was trained on, in their order, in [task] labels."
        )
