"""The form of a task, for a model and its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.errors import DescriptionError
from tonne.train.batches import checked_length
from tonne.train.tasks.answers import ExtractiveAnswers
from tonne.train.tasks.classification import Classification
from tonne.train.tasks.form import Form, Limits, Reading
from tonne.train.tasks.frame import frame_of
from tonne.train.tasks.pairs import PairClassification
from tonne.train.tasks.prompts import PromptedText
from tonne.train.tasks.seq2seq import Seq2SeqText
from tonne.train.tasks.token_labels import TokenClassification

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.data import Data
    from tonne.describe.task import Task
    from tonne.train.tokenizer import TextTokenizer

OF_LABELS: dict[str, type[Form]] = {
    "classification": Classification,
    "pair-classification": PairClassification,
    "token-classification": TokenClassification,
    "question-answering": ExtractiveAnswers,
}
USUAL_SOURCE, USUAL_TARGET = 512, 128  # tokens, where neither plan nor model says how much is read
BOUNDED = ("learned", "sinusoidal", "rotary")  # positions that have rows, or were trained, up to a length


def form_of(reading: Reading) -> Form:
    """The form in which a model reads a task's examples.

    Raises:
        DescriptionError: The task makes no sequences of labelled examples, or the kind of model cannot do it.
    """
    name, kind = reading.task.name, reading.architecture.kind
    if name in OF_LABELS:
        return OF_LABELS[name](reading=reading)  # type: ignore[call-arg]  # each is a dataclass of one field
    if reading.task.writes and kind == "encoder-decoder":
        return Seq2SeqText(reading=reading)
    if reading.task.writes and kind == "decoder":
        return PromptedText(reading=reading)
    raise DescriptionError(f"[task] name={name!r} has no labelled examples that a model of kind {kind!r} reads.")


def reading_of(  # noqa: PLR0913 - what a model reads is made of these
    task: Task,
    architecture: Architecture,
    tokenizer: TextTokenizer,
    *,
    data: Data | None = None,
    labels: tuple[str, ...] = (),
    weights: tuple[float, ...] | None = None,
    start: int | None = None,
) -> Reading:
    """How a model reads a task.

    Args:
        task: The section ``[task]``.
        architecture: The model's.
        tokenizer: The model's.
        data: The section ``[data]``, which may say how long sequences are.
        labels: In the order of their numbers.
        weights: Of the labels, while the model is trained.
        start: Token that an encoder-decoder's decoder begins with; left out, the padding token, else the end.
    """
    special = tokenizer.special
    fallback = special.delimiter if special.pad is None else special.pad
    return Reading(
        task=task,
        architecture=architecture,
        tokenizer=tokenizer,
        frame=frame_of(tokenizer, architecture.kind),
        limits=limits_of(task, architecture, data),
        start=start if start is not None else (fallback or 0),
        labels=labels,
        weights=weights,
    )


def limits_of(task: Task, architecture: Architecture, data: Data | None = None) -> Limits:
    """How many tokens an input and a target may have.

    ``[task]`` counts before ``[data]``, and that before what the model has positions for. A decoder's prompt and answer
    share one sequence: where nothing else was said, each may take half.

    Raises:
        DataError: More is asked for than the model has positions for.
    """
    a, most = architecture, _positions(architecture)
    of_data = (data.source_length, data.target_length, data.sequence_length) if data is not None else (None, None, None)
    if task.writes and a.kind == "decoder":
        whole = of_data[2] or min(most or USUAL_SOURCE, USUAL_SOURCE)
        target = (
            task.max_target_length
            or of_data[1]
            or (whole - task.max_source_length if task.max_source_length else whole // 2)
        )
        source = task.max_source_length or of_data[0] or whole - target
        checked_length(source + target - 1, most, what="prompt and answer")
        return Limits(source=source, target=max(target, 1))
    source = task.max_source_length or of_data[0] or of_data[2] or min(most or USUAL_SOURCE, USUAL_SOURCE)
    target = task.max_target_length or of_data[1] or min(most or USUAL_TARGET, USUAL_TARGET)
    checked_length(source, most, what="max_source_length")
    if task.writes:
        checked_length(target, most, what="max_target_length")
    return Limits(source=source, target=target)


def _positions(a: Architecture) -> int | None:
    return (a.max_positions or None) if a.positions in BOUNDED else None
