"""The tables, read once and only when asked for."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from tonne.errors import UnknownReferenceError

DATA_VERSION = "2026.11"
TABLES = Path(__file__).parent / "tables"  # importlib.resources costs 20 ms, and the package is never zipped

Row = dict[str, str]


@cache
def table(name: str) -> tuple[Row, ...]:
    """Rows of tables/NAME.csv, every cell a string ("NA" stays Namibia).

    Args:
        name: Name of the table without folder and suffix.

    Raises:
        UnknownReferenceError: The package has no such table.
    """
    path = TABLES / f"{name}.csv"
    if not path.is_file():
        known = sorted(path.stem for path in TABLES.glob("*.csv"))
        raise UnknownReferenceError(f"there is no table {name!r}. Known: {', '.join(known)}. Use one of these.")
    lines = csv.reader(path.read_text(encoding="utf-8").splitlines())
    header = next(lines)
    return tuple(dict(zip(header, line, strict=True)) for line in lines)


def number(cell: str) -> float | None:
    """The number in a cell, or None where the cell is empty."""
    return float(cell) if cell else None


def whole(cell: str) -> int | None:
    """The whole number in a cell ("8", "8.0"), or None where the cell is empty."""
    return int(float(cell)) if cell else None


def spread(of_table: str, rule: str) -> tuple[float, float]:
    """Factors from a value to the ends of its 90 % interval, by a rule of spreads.csv."""
    for row in table("spreads"):
        if row["table"] == of_table and row["rule"] == rule:
            return float(row["low_factor"]), float(row["high_factor"])
    raise UnknownReferenceError(f"spreads.csv has no rule {rule!r} for {of_table!r}. Add a row with its reason.")
