"""The CSV file that all trackers of a folder share: rows are added one at a time, whole, and never lost to another.

The file is locked while a row is added, so that of many processes that stop together one writes the header and each
adds its row.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tonne.integrations.codecarbon.settings import LOGGER

try:
    import fcntl
except ImportError:  # Windows: one process at a time is on its own
    fcntl = None  # type: ignore[assignment]

Row = Mapping[str, Any]


def add_row(path: Path, row: Row) -> None:
    """Add a row, with a header where the file is new; a file of other columns is moved aside first.

    Raises:
        OSError: The file cannot be written.
    """
    with _locked(path) as file:
        header = _header(file)
        if header is not None and sorted(header) != sorted(row):
            _move_aside(path)
            return add_row(path, row)
        lines = [] if header is not None else [list(row)]
        names = header if header is not None else list(row)
        text = _text([*lines, [_cell(row[name]) for name in names]])
        file.write((text if _ends_whole(file) else f"\n{text}").encode())
    return None


def put_row(path: Path, row: Row, key: str) -> None:
    """Add a row in place of the one with the same value of a column; of several such rows, beside them.

    Raises:
        OSError: The file cannot be written.
    """
    with _locked(path) as file:
        header = _header(file)
        file.seek(0)
        others = list(csv.DictReader(io.StringIO(file.read().decode("utf-8-sig"))))
        same = [other for other in others if other.get(key) == str(row[key])]
        if header is not None and sorted(header) == sorted(row) and len(same) == 1:
            kept = [other for other in others if other is not same[0]]
            whole = [header, *([other[name] for name in header] for other in kept), [_cell(row[n]) for n in header]]
            _replace(path, _text(whole))
            return
    add_row(path, row)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A file of just these rows.

    Raises:
        OSError: The file cannot be written.
    """
    _replace(path, _text([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]))


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, which nobody else changes meanwhile; opened anew where another process put a new one in its place."""
    while True:
        with path.open("a+b", buffering=0) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                is_the_one = os.fstat(file.fileno()).st_ino == path.stat().st_ino
            except FileNotFoundError:
                continue  # moved aside just now
            if is_the_one:
                yield file
                return


def _ends_whole(file: IO[bytes]) -> bool:
    """Whether the last line has its end: a row that another program was killed over is not gone on with."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    return file.read(1) in {b"", b"\n"}


def _header(file: IO[bytes]) -> list[str] | None:
    """The names in the first line; None of an empty file."""
    file.seek(0)
    first = file.readline().decode("utf-8-sig")
    return next(csv.reader([first])) if first.strip() else None


def _move_aside(path: Path) -> None:
    """Give a file the first free name of `emissions.csv.bak`, `emissions.csv.1.bak` ..., and say so."""
    number = 0
    target = path.with_name(f"{path.name}.bak")
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}.bak")
    path.rename(target)
    LOGGER.warning("%s has other columns: it is now %s, and a new file is begun.", path, target.name)


def _replace(path: Path, text: str) -> None:
    """Put a new file in place of the old one at once."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8", newline="")
    new.replace(path)


def _text(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:  # noqa: ANN401 - of whatever type the column is
    """What is not known is an empty cell, as pandas writes it."""
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN
