"""Rows of files -> labelled examples; what cannot be one is told by file and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.describe.data import BUILT_IN_EXAMPLES
from tonne.errors import DataError
from tonne.train.corpora import built_in_rows
from tonne.train.labelled import Answer, Labelled
from tonne.train.readers import FORMAT_OF, Source, Wanted, sources_named
from tonne.train.readers_json import json_values
from tonne.train.readers_tables import (
    Asked,
    Values,
    arrow_values,
    csv_values,
    jsonl_values,
    parquet_values,
    values_of,
)
from tonne.train.readers_text import text_documents

if TYPE_CHECKING:
    from tonne.describe.task import Role, Task

TABLES: dict[str, Callable[[Path, Asked], Iterator[Values]]] = {
    "jsonl": jsonl_values,
    "json": json_values,
    "squad": json_values,
    "csv": csv_values,
    "tsv": lambda path, asked: csv_values(path, asked, separator="\t"),
    "parquet": parquet_values,
    "arrow": arrow_values,
}
ENDINGS = {**{ending: name for ending, name in FORMAT_OF.items() if name in TABLES}, ".json": "json"}
TEXT_ENDINGS = {**ENDINGS, **{ending: name for ending, name in FORMAT_OF.items() if name == "text"}}
ID = "id"


def read_labelled(
    source: str | Path | Sequence[str | Path],
    format: str | None,
    task: Task,
    *,
    split: str = "train",
) -> list[Labelled]:
    """The labelled examples of files, in their order.

    Args:
        source: Files, folders, patterns, or "builtin:NAME". For parallel text two files: of the inputs, of the targets.
        format: jsonl json csv tsv parquet arrow squad parallel; None: told by the names of the files.
        task: Its columns say where each role stands; a column ``id`` is read where there is one.
        split: Of an Arrow folder that holds several.

    Raises:
        DataError: Nothing is there, a column is missing, or a row is no example; the text says which, and what is
            found.
    """
    given = [source] if isinstance(source, str | Path) else list(source)
    names = [str(name) for name in given]
    role_of = {task.column(role): role for role in task.roles}
    asked = Asked(
        columns=tuple(task.column(role) for role in task.roles),
        optional=() if ID in (task.column(role) for role in task.roles) else (ID,),
        naming=lambda missing, found: _naming(role_of[missing], found),
    )
    if format == "parallel":
        rows = _parallel(names, task)
    else:
        wanted = Wanted(format=format, split=split, format_of=TEXT_ENDINGS if task.name == "continued" else ENDINGS)
        rows = (row for name in names for row in _rows(name, wanted, asked, task))
    found = [_example(values, where, task, number) for number, (values, where) in enumerate(rows, start=1)]
    if not found:
        raise DataError(f"{', '.join(names)} holds no example. Give a file with at least one.")
    return found


def _naming(role: str, found: str) -> str:
    """How to say that a column holds a role: in a plan, and on the command line."""
    return f"[task] columns = {{ {role} = {found!r} }} (tonne evaluate: --column {role}={found})"


def _rows(name: str, wanted: Wanted, asked: Asked, task: Task) -> Iterator[Values]:
    """The rows of what one entry of ``source`` means."""
    if name.startswith(BUILT_IN_EXAMPLES):
        for number, row in enumerate(built_in_rows(name), start=1):
            yield values_of(row, asked, f"{name}: row {number}")
        return
    for source in sources_named(name, wanted):
        yield from _rows_of(source, asked, task)


def _rows_of(source: Source, asked: Asked, task: Task) -> Iterator[Values]:
    if source.path is not None and source.format in TABLES:
        return TABLES[source.format](source.path, asked)
    if source.path is not None and source.format == "text" and task.name == "continued":
        return (([text, None], where) for text, where in text_documents(source.path) if text.strip())
    raise DataError(
        f"{source.name}: {source.format} holds no labelled examples. Give {', '.join(TABLES)}, or two parallel text "
        f"files with format = 'parallel'."
    )


def _parallel(names: Sequence[str], task: Task) -> Iterator[Values]:
    """The lines of two files side by side; pairs of blank lines are left out."""
    if len(names) != 2 or len(task.roles) != 2:
        raise DataError(
            f"format = 'parallel' was given {len(names)} source(s) for {task.name}. It takes two text files, of the "
            f"inputs and of the {task.roles[-1]}s, line by line, for a task with one of each."
        )
    paths = [Path(name) for name in names]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"source {' and '.join(missing)} is not there, or is no file. Mend the path.")
    for number, (left, right) in enumerate(zip_longest(*(_lines(path) for path in paths)), start=1):
        if left is None or right is None:
            ended, longer = paths if left is None else reversed(paths)
            raise DataError(
                f"{ended} ends after {number - 1:,} lines, and {longer} goes on. Line N of one must be the translation "
                f"of line N of the other: mend them."
            )
        if left.strip() or right.strip():
            yield [left, right, None], f"{paths[0]} and {paths[1]}: line {number}"


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, without the blank ones at its end."""
    blank: list[str] = []
    for text, _ in text_documents(path, unit="line"):
        blank.append(text)
        if text.strip():
            yield from blank
            blank.clear()


def _example(values: Sequence[Any], where: str, task: Task, number: int) -> Labelled:
    """A row as an example."""
    fields: dict[str, Any] = {"id": str(number), "where": where}
    for role, value in zip(task.roles, values, strict=False):
        fields |= _read(role, value, where, task)
    if len(values) > len(task.roles) and values[-1] is not None:
        fields["id"] = str(values[-1])
    if task.name == "token-classification":
        _check_as_many(fields, where)
    if task.name == "question-answering":
        fields["answers"] = tuple(_placed(answer, fields["context"], where) for answer in fields["answers"])
    return Labelled(**fields)


def _read(role: Role, value: Any, where: str, task: Task) -> Mapping[str, Any]:  # noqa: ANN401 - of any column
    """What a value says in its role."""
    column = task.column(role)
    if role in ("target", "answer"):
        several = [value] if isinstance(value, str) or value is None else list(value)
        references = tuple(_text(one, role, column, where) for one in several)
        if not references:
            raise DataError(_empty(role, column, where))
        return {role: references[0], "references": references}
    if role == "label":
        return {role: _label(value, column, where)}
    if role in ("tokens", "labels"):
        parts = value.split() if isinstance(value, str) else value
        if parts is None or not len(parts):
            raise DataError(_empty(role, column, where))
        known = _label if role == "labels" else _word
        return {role: tuple(known(part, column, where) for part in parts)}
    if role == "answers":
        return {role: tuple(_answers(value, column, where))}
    return {role: _text(value, role, column, where)}


def _text(value: Any, role: str, column: str, where: str) -> str:  # noqa: ANN401 - of any column
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(_empty(role, column, where))
    if not isinstance(value, str):
        raise DataError(
            f"{where}: column {column!r} holds {value!r:.40}, no text. Name a column of text: [task] columns = "
            f"{{ {role} = ... }}."
        )
    return value


def _empty(role: str, column: str, where: str) -> str:
    what = "reference" if role in ("target", "answer", "label", "labels", "answers") else "input"
    return (
        f"{where}: the {what} in column {column!r} ({role}) is empty. Nothing can be learned from it, or scored "
        f"against it: fill it in, or leave the row out."
    )


def _label(value: Any, column: str, where: str) -> str:  # noqa: ANN401 - of any column
    """A label as text: a name without the white space around it, or a whole number."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float) and value.is_integer():  # a column of whole numbers in which some were missing
        return str(int(value))
    if value is None or isinstance(value, str) or value != value:  # noqa: PLR0124 - the number that is none
        raise DataError(_empty("label", column, where))
    raise DataError(f"{where}: column {column!r} holds {value!r:.40}, no label. A label is a name or a whole number.")


def _word(value: Any, column: str, where: str) -> str:  # noqa: ANN401 - of any column
    return _text(value, "tokens", column, where)


def _check_as_many(fields: Mapping[str, Any], where: str) -> None:
    tokens, labels = len(fields["tokens"]), len(fields["labels"])
    if tokens != labels:
        raise DataError(
            f"{where}: {tokens} tokens, but {labels} labels. Each token has one label; texts are split at white space."
        )


def _answers(value: Any, column: str, where: str) -> Iterator[Answer]:  # noqa: ANN401 - of any column
    """Answers as SQuAD has them, as `datasets` keeps them, as texts, or as one text."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        texts = [texts] if isinstance(texts, str) else texts
        starts = [starts] if isinstance(starts, int) else starts
        if texts is None:
            raise DataError(f"{where}: column {column!r} has no 'text', but {', '.join(value)}. Answers are texts.")
        value = [{"text": text, "start": start} for text, start in zip_longest(texts, starts or ())]
    if value is None:
        raise DataError(_empty("answers", column, where))
    for one in [value] if isinstance(value, str) else value:
        given = one if isinstance(one, Mapping) else {"text": one}
        start = given.get("answer_start", given.get("start"))
        text = _text(given.get("text"), "answers", column, where)
        yield Answer(text, start if isinstance(start, int) and start >= 0 else None)


def _placed(answer: Answer, context: str, where: str) -> Answer:
    """The answer with its place in the context.

    Raises:
        DataError: The context does not read so there.
    """
    if answer.start is None:
        place = context.find(answer.text)
        return Answer(answer.text, place if place >= 0 else None)
    read = context[answer.start : answer.start + len(answer.text)]
    if read != answer.text:
        raise DataError(
            f"{where}: the answer {answer.text!r:.60} should start at character {answer.start}, but there stands "
            f"{read!r:.60}. Starts count characters, not bytes, from 0: mend it, or leave it out to have the text "
            f"looked for."
        )
    return answer
