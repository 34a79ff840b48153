"""`tonne reference`: rows of the reference tables."""

from __future__ import annotations

import json
import shutil
import sys

from tonne.reference import DATA_VERSION
from tonne.reference.browse import rows
from tonne.report.document import SCHEMA_VERSION

NARROW_TERMINAL, WIDEST_CELL = 80, 44
FEW = 3  # so many rows are shown whole, field by field
LAST = ("year", "basis", "licence", "source")


def run(table: str, query: str | None, *, as_json: bool = False) -> None:
    """Print the rows of a table that a query means."""
    found = rows(table, query)
    if as_json:
        whole = {
            "schema_version": SCHEMA_VERSION,
            "table": table,
            "query": query,
            "rows": [{key: value or None for key, value in row.items()} for row in found],
            "data_version": DATA_VERSION,
        }
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    elif len(found) <= FEW:
        print("\n\n".join(_record(row) for row in found))
    else:
        print("\n".join(_table(found)))
        print(f"{len(found)} rows; a query that means {FEW} or fewer shows all their fields.", file=sys.stderr)


def _record(row: dict[str, str]) -> str:
    """All fields of a row that are not empty, one a line."""
    filled = {key: value for key, value in row.items() if value}
    width = max(len(key) for key in filled)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in filled.items())


def _table(found: list[dict[str, str]]) -> list[str]:
    """The first columns that fit into the terminal, and those that say where a row is from."""
    last = [name for name in LAST if name in found[0]]
    first = [name for name in found[0] if name not in last and any(row.get(name) for row in found)]
    widths = {
        name: min(max(len(name), *(len(row.get(name, "")) for row in found)), WIDEST_CELL) for name in first + last
    }
    room = max(shutil.get_terminal_size().columns, NARROW_TERMINAL) - sum(widths[name] + 2 for name in last)
    shown: list[str] = []
    for name in first:
        room -= widths[name] + 2
        if room < 0 and shown:
            break
        shown.append(name)
    columns = shown + last
    lines = [{name: name for name in columns}, *found]
    return ["  ".join(f"{_cut(line.get(n, ''), widths[n]):<{widths[n]}}" for n in columns).rstrip() for line in lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
