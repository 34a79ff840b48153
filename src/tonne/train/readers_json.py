"""Rows of JSON files: a list of objects, objects under "data", or questions on contexts as SQuAD has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tonne.errors import DataError
from tonne.train.readers_tables import Asked, Values, jsonl_values, values_of
from tonne.train.readers_text import decoded

WANTED = 'a list of objects, e.g. [{"text": ..., "label": ...}], or the questions of SQuAD under "data"'


def json_values(path: Path, asked: Asked) -> Iterator[Values]:
    """The values of the columns asked for; of SQuAD's questions there are id, title, question, context and answers.

    Raises:
        DataError: The file is not JSON, or its rows lack a column; the text says which.
    """
    try:
        found = json.loads("".join(decoded(path)))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object a line, under the name of a whole
            yield from jsonl_values(path, asked)
            return
        raise DataError(f"{path} is not JSON: {error}. It must hold {WANTED}.") from None
    rows = found.get("data", found) if isinstance(found, Mapping) else found
    if not _are_objects(rows):
        held = f"an object with {', '.join(map(repr, found)) or 'nothing'}" if isinstance(found, Mapping) else "none"
        raise DataError(f"{path} holds {held}. It must hold {WANTED}.")
    squad = any("paragraphs" in row for row in rows)
    for number, (row, where) in enumerate(_squad_rows(rows) if squad else _plain(rows), start=1):
        yield values_of(row, asked, f"{path}: {where or f'row {number}'}")


def _are_objects(rows: Any) -> bool:  # noqa: ANN401 - whatever the file held
    return isinstance(rows, Sequence) and not isinstance(rows, str) and all(isinstance(row, Mapping) for row in rows)


def _plain(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    return ((row, "") for row in rows)


def _squad_rows(articles: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each question with its context. One that is marked as impossible has no answers, but plausible ones."""
    for article in articles:
        for paragraph in _list(article, "paragraphs", f"article {article.get('title')!r}"):
            for question in _list(paragraph, "qas", "a paragraph"):
                impossible = bool(question.get("is_impossible"))
                row = {
                    "id": question.get("id"),
                    "title": article.get("title"),
                    "question": question.get("question"),
                    "context": paragraph.get("context"),
                    "answers": [] if impossible else question.get("answers", []),
                }
                yield row, f"question {question.get('id')}"


def _list(holder: Mapping[str, Any], name: str, what: str) -> Sequence[Any]:
    found = holder.get(name)
    if not _are_objects(found):
        raise DataError(
            f"{what} has no list of objects {name!r}, but {', '.join(map(str, holder)) or 'nothing'}. Questions stand "
            f"as in SQuAD: data, paragraphs, qas."
        )
    return found  # type: ignore[return-value]  # it was looked at
