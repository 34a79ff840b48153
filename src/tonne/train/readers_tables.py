"""Rows of tables: JSONL, CSV, TSV, Parquet, and the Arrow files that `datasets` saves, through pyarrow alone."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tonne.errors import DataError, MissingPackageError
from tonne.train.readers_text import decoded

Row = tuple[tuple[str, ...], str]  # the texts of the columns asked for, and where the row stands
Values = tuple[list[Any], str]  # the values of columns asked for, whatever they are, and where the row stands
ROWS_AT_ONCE = 1024
TAB = "\t"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Columns that must be there, columns that may, and what to write where one is missing and another is there."""

    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    naming: Callable[[str, str], str] = lambda missing, found: f"columns = {found!r}"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the values."""
        return (*self.columns, *self.optional)


def jsonl_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file with one JSON object a line.

    Raises:
        DataError: A line is no JSON object, or has not the columns; the text says which line.
    """
    return _texts(jsonl_values(path, Asked(columns=columns)), columns)


def csv_rows(path: Path, columns: tuple[str, ...], *, separator: str = ",") -> Iterator[Row]:
    """The rows of a file with a heading and separated values; a quoted value may go over several lines.

    Raises:
        DataError: The heading has not the columns, or a row is of another length.
    """
    return _texts(csv_values(path, Asked(columns=columns), separator=separator), columns)


def parquet_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a Parquet file.

    Raises:
        DataError: It is none, or has not the columns.
    """
    return _texts(parquet_values(path, Asked(columns=columns)), columns)


def arrow_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of an Arrow file, of the stream or of the random-access kind.

    Raises:
        DataError: It is none, or has not the columns.
    """
    return _texts(arrow_values(path, Asked(columns=columns)), columns)


def jsonl_values(path: Path, asked: Asked) -> Iterator[Values]:
    """The values of these columns, then of the optional ones, None where one is not there.

    Raises:
        DataError: As ``jsonl_rows``.
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
        yield values_of(row, asked, where)


def csv_values(path: Path, asked: Asked, *, separator: str = ",") -> Iterator[Values]:
    """The values of these columns, then of the optional ones, None where one is not there.

    Between tabs a quotation mark may be a mark like any other, as in the files of GLUE: see ``quotes_count``.

    Raises:
        DataError: As ``csv_rows``.
    """
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB stops at the first long article
    lines = _lines(path, keep_ends=True)
    if separator != TAB or quotes_count(path):
        reader = csv.reader(lines, delimiter=separator, strict=True)
    else:
        reader = csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
    try:
        heading = [name.strip() for name in next(reader, [])]
        known = _known(asked, heading, f"{path}: the heading")
        places = [heading.index(name) if name in heading else None for name in known]
        for row in reader:
            if not row:
                continue
            where = f"{path}: line {reader.line_num}"
            if len(row) != len(heading):  # a text with an unquoted separator would put its end into the next column
                raise DataError(f"{where} has {len(row)} of {len(heading)} values. Mend the row, or quote its text.")
            yield [None if place is None else row[place] for place in places], where
    except csv.Error as error:
        raise DataError(f'{path}: line {reader.line_num} cannot be read: {error}. Quote texts with "...".') from None


def quotes_count(path: Path) -> bool:
    """Whether quotation marks of a file of tab-separated values stand around values, and are no part of them.

    They do where each value that begins with one also ends with one, and has others doubled alone; and where a value
    goes on in the next line, so that only a reader that heeds them finds as many values in each row as in the heading.
    """
    widths, loose = set(), False
    for line in _lines(path):
        values = line.rstrip("\r").split(TAB)
        if values != [""]:
            widths.add(len(values))
            loose = loose or any(value.startswith('"') and not _QUOTED.fullmatch(value) for value in values)
    if not loose:
        return True
    if len(widths) == 1:
        return False
    try:
        heeded = {len(row) for row in csv.reader(_lines(path, keep_ends=True), delimiter=TAB, strict=True) if row}
    except csv.Error:
        return False
    return len(heeded) == 1


def parquet_values(path: Path, asked: Asked) -> Iterator[Values]:
    """The values of these columns, then of the optional ones, None where one is not there.

    Raises:
        DataError: As ``parquet_rows``.
    """
    parquet = _arrow_module("pyarrow.parquet")
    with _arrow_errors(path, "Parquet"):
        file = parquet.ParquetFile(path)
    with file:
        named = _known(asked, file.schema_arrow.names, str(path))
        together = _read_together(named, file.schema_arrow.names)
        yield from _batch_values(file.iter_batches(ROWS_AT_ONCE, columns=together), named, path, "Parquet")


def arrow_values(path: Path, asked: Asked) -> Iterator[Values]:
    """The values of these columns, then of the optional ones, None where one is not there.

    Raises:
        DataError: As ``arrow_rows``.
    """
    arrow, ipc = _arrow_module("pyarrow"), _arrow_module("pyarrow.ipc")
    with _arrow_errors(path, "Arrow"):
        mapped = arrow.memory_map(str(path))
    with mapped:
        with _arrow_errors(path, "Arrow"):
            is_file = mapped.read(6) == b"ARROW1"
            mapped.seek(0)
            reader = ipc.open_file(mapped) if is_file else ipc.open_stream(mapped)
        named = _known(asked, reader.schema.names, str(path))
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
        wanted = (batch.select(_read_together(named, batch.schema.names)) for batch in batches)
        yield from _batch_values(wanted, named, path, "Arrow")


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


def values_of(row: Mapping[str, Any], asked: Asked, where: str) -> Values:
    """The values of a row that is a mapping.

    Raises:
        DataError: It has not the columns.
    """
    return [_inside(row, name) for name in _known(asked, row, where)], where


def _batch_values(batches: Iterator[Any], columns: tuple[str, ...], path: Path, kind: str) -> Iterator[Values]:
    """The values of Arrow record batches."""
    start = 0
    while True:
        with _arrow_errors(path, kind):
            batch = next(batches, None)
        if batch is None:
            return
        for number, row in enumerate(batch.to_pylist(), start=start + 1):
            yield [_inside(row, name) for name in columns], f"{path}: row {number}"
        start += batch.num_rows


def _texts(rows: Iterator[Values], columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows whose values are all there, all of them text."""
    for values, where in rows:
        if any(value is None for value in values):
            continue
        for name, value in zip(columns, values, strict=True):
            if not isinstance(value, str):
                raise DataError(
                    f"{where}: column {name!r} holds {value!r:.40}, no text. Name a column of text in columns."
                )
        yield tuple(values), where


def _known(asked: Asked, found: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401 - keys or names
    """The columns asked for, those that must be there are."""
    roots = _roots(asked.columns, found)
    missing = [name for name, root in zip(asked.columns, roots, strict=True) if root not in found]
    if missing:
        raise DataError(
            f"{where} has no column {' and '.join(map(repr, missing))}. Found: {', '.join(map(str, found)) or 'none'}. "
            f"Name one of them, e.g. {asked.naming(missing[0], str(next(iter(found), 'text')))}."
        )
    return asked.names


def _roots(columns: tuple[str, ...], found: Any) -> list[str]:  # noqa: ANN401 - keys or names
    """The columns that hold these: itself, or of "translation.en" the column "translation"."""
    return [name if name in found else name.split(".")[0] for name in columns]


def _read_together(columns: tuple[str, ...], found: Any) -> list[str]:  # noqa: ANN401 - keys or names
    """The columns to be read, each once; those that are not there are left out."""
    return [root for root in dict.fromkeys(_roots(columns, found)) if root in found]


def _inside(row: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - whatever the row holds
    """The value of a column, or of a field within one; None where there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
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
