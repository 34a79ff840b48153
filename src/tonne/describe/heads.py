"""The head that a task puts on a model, as the class of transformers for that task has it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError

from tonne.describe.architecture import Architecture, TaskHead
from tonne.describe.task import LABELLING, WRITING, Pooling, Task, TaskName, task_name
from tonne.errors import DescriptionError

ENDS_OF_AN_ANSWER = 2  # where it starts, and where it ends
OF_SEQUENCES = ("classification", "pair-classification")
OBJECTIVES = {
    "classification": "classification",
    "pair-classification": "classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "instruction": "instruction",
}
WRITTEN = {"encoder-decoder": "seq2seq", "decoder": "instruction"}  # translation and its like, by kind of model
CONTINUED = {
    "encoder-decoder": ("span-corruption",),
    "decoder": ("causal-lm", "prefix-lm"),
    "encoder": ("masked-lm", "masked-lm+next-sentence", "masked-lm+sentence-order"),
}


def with_head(architecture: Architecture, name: TaskName, labels: int, pooling: Pooling | None = None) -> Architecture:
    """The architecture of a model for a task of labels: what predicts tokens leaves, the head for labels comes.

    Args:
        architecture: Of the model that training starts from.
        name: The task.
        labels: How many there are; of question answering the two ends of an answer.
        pooling: What tells the label of a whole text; None: the first token of an encoder, through a pooler, or the
            last of a decoder, as the classes of transformers have it.
    """
    a = architecture
    sequences = name in OF_SEQUENCES
    dense = a.kind == "encoder-decoder" and sequences
    bias = not (a.kind == "decoder" and sequences)
    return a.model_copy(
        update={
            "task_head": TaskHead(labels=labels, bias=bias, dense=dense, pooling=pooling),
            # T5's encoder has none
            "pooler": a.kind == "encoder" and sequences and pooling is None and not a.relative_buckets,
            "prediction_head": False,
            "next_sentence_head": False,
            "head_bias": False,
            "tied_embeddings": True,  # without an output table there is nothing to untie
            "multi_token_layers": 0,
        }
    )


def objectives_of(name: TaskName, kind: str) -> tuple[str, ...]:
    """Objectives that a task may have with a kind of model, the usual one first.

    Raises:
        DescriptionError: The kind cannot do it.
    """
    if name == "continued":
        return CONTINUED[kind]
    if name in OBJECTIVES and not (name == "instruction" and kind != "decoder"):
        return (OBJECTIVES[name],)
    if kind not in WRITTEN:
        raise DescriptionError(
            f"[task] name={name!r} writes text, which an {kind} cannot. Start from a decoder or an encoder-decoder, or "
            f"take a task of labels."
        )
    return (WRITTEN[kind],)


def with_task(given: Any) -> Any:  # noqa: ANN401 - whatever the file held
    """The fields of a plan with what its ``[task]`` says of objective and head, where they were not given.

    Raises:
        DescriptionError: The objective is not one of the task's, or the model cannot do the task.
    """
    name = task_name(given.get("task")) if isinstance(given, dict) else None
    a = None if name is None else _architecture(given.get("architecture"))
    if name is None or a is None:
        return given
    known = objectives_of(name, a.kind)  # type: ignore[arg-type]  # task_name knows the names
    training = given.get("training") or {}
    if isinstance(training, dict):
        objective = training.get("objective", known[0])
        if objective not in known:
            raise DescriptionError(
                f"training.objective={objective!r} does not go with [task] name={name!r} of an {a.kind}. "
                f"Leave it out, or give {' or '.join(map(repr, known))}."
            )
        given = {**given, "training": {**training, "objective": objective}}
    given = _with_lengths(given, a.kind)
    labels = labels_said(given["task"])
    if labels is None or a.task_head is not None:
        return given
    return {**given, "architecture": with_head(a, name, labels, pooling_said(given["task"]))}  # type: ignore[arg-type]


def _with_lengths(given: dict[str, Any], kind: str) -> dict[str, Any]:
    """The fields with lengths of sequences in ``[data]`` where they follow from those of the task."""
    data, task = given.get("data"), given["task"]
    source, target = (_said(task, name) for name in ("max_source_length", "max_target_length"))
    if not isinstance(data, dict) or source is None:
        return given
    writes = task_name(task) in WRITING
    if writes and target is None:
        return given
    if kind == "encoder-decoder" and writes:
        lengths = {"source_length": source, "target_length": target}
    else:
        lengths = {"sequence_length": source + (target or 0) * writes}
    known = {name for name in ("sequence_length", "source_length") if data.get(name) is not None}
    return given if known else {**given, "data": {**data, **lengths}}


def _said(task: Any, name: str) -> int | None:  # noqa: ANN401 - a section, checked or not
    value = getattr(task, name) if isinstance(task, Task) else task.get(name)
    return value if isinstance(value, int) else None


def labels_said(task: Any) -> int | None:  # noqa: ANN401 - a section, checked or not
    """How many labels a task has; None where only the examples say, or there are none."""
    name = task_name(task)
    if name == "question-answering":
        return ENDS_OF_AN_ANSWER
    labels = task.labels if isinstance(task, Task) else task.get("labels")
    return len(labels) if name in LABELLING and isinstance(labels, list | tuple) else None


def pooling_said(task: Any) -> Any:  # noqa: ANN401 - a section, checked or not
    """What a task says of pooling; a wrong word is told when the section is checked."""
    said = task.pooling if isinstance(task, Task) else task.get("pooling")
    return said if said in get_args(Pooling) else None


def _architecture(given: Any) -> Architecture | None:  # noqa: ANN401 - as above
    """The architecture that a file describes; None where it is wrong, which is told when the section is checked."""
    if isinstance(given, Architecture) or given is None:
        return given
    try:
        return Architecture.model_validate(given)
    except (ValidationError, DescriptionError):
        return None
