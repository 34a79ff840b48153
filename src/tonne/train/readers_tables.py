"""Rows of tables: JSONL, CSV, TSV, Parquet, and the Arrow files that `datasets` saves, through pyarrow alone."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from tonne.errors import DataError, MissingPackageError
from tonne.train.readers_text import decoded

Row = tuple[tuple[str, ...], str]  # the texts of the columns asked for, and where the row stands
ROWS_AT_ONCE = 1024


def jsonl_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file with one JSON object a line.

    Raises:
        DataError: A line is no JSON object, or has not the columns; the text says which line.
    """
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f'{where} is not JSON: {error}. Each line must be one object, e.g. {{"text": ...}}.'
            ) from None
        if not isinstance(row, dict):
            raise DataError(f'{where} holds no object but {type(row).__name__}. Write e.g. {{"text": ...}}.')
        yield from _row([_inside(row, name) for name in _known(columns, row, where)], columns, where)


def csv_rows(path: Path, columns: tuple[str, ...], *, separator: str = ",") -> Iterator[Row]:
    """The rows of a file with a heading and separated values; a quoted value may go over several lines.

    Raises:
        DataError: The heading has not the columns, or a row is shorter than it.
    """
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB stops at the first long article
    reader = csv.reader(_lines(path, keep_ends=True), delimiter=separator, strict=True)
    try:
        heading = [name.strip() for name in next(reader, [])]
        places = [heading.index(name) for name in _known(columns, heading, f"{path}: the heading")]
        for row in reader:
            where = f"{path}: line {reader.line_num}"
            if row and len(row) <= max(places):
                raise DataError(f"{where} has {len(row)} of {len(heading)} values. Mend the row, or quote its text.")
            yield from _row([row[place] for place in places] if row else [None], columns, where)
    except csv.Error as error:
        raise DataError(f'{path}: line {reader.line_num} cannot be read: {error}. Quote texts with "...".') from None


def parquet_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a Parquet file.

    Raises:
        DataError: It is none, or has not the columns.
    """
    parquet = _arrow_module("pyarrow.parquet")
    with _arrow_errors(path, "Parquet"):
        file = parquet.ParquetFile(path)
    with file:
        _known(columns, file.schema_arrow.names, str(path))
        yield from _batch_rows(
            file.iter_batches(ROWS_AT_ONCE, columns=_read_together(columns, file.schema_arrow.names)),
            columns,
            path,
            "Parquet",
        )


def arrow_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of an Arrow file, of the stream or of the random-access kind.

    Raises:
        DataError: It is none, or has not the columns.
    """
    arrow, ipc = _arrow_module("pyarrow"), _arrow_module("pyarrow.ipc")
    with _arrow_errors(path, "Arrow"):
        mapped = arrow.memory_map(str(path))
    with mapped:
        with _arrow_errors(path, "Arrow"):
            is_file = mapped.read(6) == b"ARROW1"
            mapped.seek(0)
            reader = ipc.open_file(mapped) if is_file else ipc.open_stream(mapped)
        _known(columns, reader.schema.names, str(path))
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
        yield from _batch_rows(
            (batch.select(_read_together(columns, batch.schema.names)) for batch in batches), columns, path, "Arrow"
        )


def dataset_files(folder: Path, split: str) -> list[Path]:
    """The Arrow files of a folder that `save_to_disk` wrote, of one split where it holds several.

    Raises:
        DataError: The split is not there, or a file that the folder lists is missing.
    """
    several = folder / "dataset_dict.json"
    if several.exists():
        splits = _json(several).get("splits", [])
        if split not in splits:
            raise DataError(
                f"{folder} has no split {split!r}, but {', '.join(splits)}. Set [data] split to one of them."
            )
        return dataset_files(folder / split, split)
    state = _json(folder / "state.json") if (folder / "state.json").exists() else {}
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise DataError(
            f"{folder} was saved with a selection of its rows beside them. Save dataset.flatten_indices() instead."
        )
    listed = [folder / entry["filename"] for entry in state.get("_data_files") or []]
    files = listed or sorted(folder.glob("*.arrow"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise DataError(f"{folder} lacks {', '.join(missing) or 'Arrow files'}. Copy the whole folder anew.")
    return files


def _batch_rows(batches: Iterator[Any], columns: tuple[str, ...], path: Path, kind: str) -> Iterator[Row]:
    """The rows of Arrow record batches."""
    start = 0
    while True:
        with _arrow_errors(path, kind):
            batch = next(batches, None)
        if batch is None:
            return
        for number, row in enumerate(batch.to_pylist(), start=start + 1):
            yield from _row([_inside(row, name) for name in columns], columns, f"{path}: row {number}")
        start += batch.num_rows


def _row(values: list[Any], columns: tuple[str, ...], where: str) -> Iterator[Row]:
    """The row, or nothing where one of its values is missing."""
    if any(value is None for value in values):
        return
    for name, value in zip(columns, values, strict=True):
        if not isinstance(value, str):
            raise DataError(f"{where}: column {name!r} holds {value!r:.40}, no text. Name a column of text in columns.")
    yield tuple(values), where


def _known(columns: tuple[str, ...], found: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401 - keys or names
    """The columns, all of which are there."""
    missing = [name for name, root in zip(columns, _roots(columns, found), strict=True) if root not in found]
    if missing:
        raise DataError(
            f"{where} has no column {' and '.join(map(repr, missing))}. Found: {', '.join(map(str, found)) or 'none'}. "
            f"Name one of them, e.g. columns = {str(next(iter(found), 'text'))!r}."
        )
    return columns


def _roots(columns: tuple[str, ...], found: Any) -> list[str]:  # noqa: ANN401 - keys or names
    """The columns that hold these: itself, or of "translation.en" the column "translation"."""
    return [name if name in found else name.split(".")[0] for name in columns]


def _read_together(columns: tuple[str, ...], found: Any) -> list[str]:  # noqa: ANN401 - keys or names
    """The columns to be read, each once."""
    return list(dict.fromkeys(_roots(columns, found)))


def _inside(row: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - whatever the row holds
    """The value of a column, or of a field within one; None where there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _lines(path: Path, *, keep_ends: bool = False) -> Iterator[str]:
    """The lines of a text file; only a newline ends one, as in JSONL and CSV."""
    held = ""
    for chunk in decoded(path):
        *whole, held = (held + chunk).split("\n")
        yield from (line + "\n" for line in whole) if keep_ends else whole
    if held:
        yield held


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy the dataset's folder anew.") from None
    return found


class _arrow_errors:  # noqa: N801 - reads as a statement: `with _arrow_errors(path, "Parquet")`
    """Turns what pyarrow raises about a broken file into an error that names the file."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        broken = (_arrow_module("pyarrow").ArrowException, OSError)
        if isinstance(error, broken):
            raise DataError(
                f"{self.path} cannot be read as {self.kind}: {error}. The file is of another format, or was cut short: "
                f"write or copy it anew."
            ) from None


def _arrow_module(name: str) -> Any:  # noqa: ANN401 - a module without types
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Reading Parquet and Arrow needs pyarrow, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
