"""`tonne validate`: forecasts beside what was published about real runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tonne.report.document import SCHEMA_VERSION
from tonne.report.numbers import rounded
from tonne.validation import validate

ROW_TABLES = ("rows", "excluded", "lacking")  # one line a published run: shown with --rows
WIDEST_CELL = 40


def run(*, with_rows: bool = False, as_json: bool = False) -> None:
    """Print how forecasts fare against published runs, by gate."""
    found = {"schema_version": SCHEMA_VERSION, **validate().to_dict()}
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(lines(found, with_rows=with_rows)))


def lines(found: Mapping[str, Any], *, with_rows: bool) -> list[str]:
    """Every table of a validation, each under its name."""
    text: list[str] = []
    for name, value in found.items():
        if name == "schema_version" or (name in ROW_TABLES and not with_rows):
            continue
        records = _records(value)
        if records:
            text += [name.replace("_", " "), *table(records, with_rows=with_rows), ""]
        elif value:
            text.append(f"{name.replace('_', ' ')}: {_cell(value)}")
    return text[:-1] if text and not text[-1] else text


def table(records: Sequence[Mapping[str, Any]], *, with_rows: bool) -> list[str]:
    """Records as lines below the names of their fields; what lies inside a record comes after it, indented."""
    flat = [{key: _cell(value) for key, value in record.items() if not _records(value)} for record in records]
    names = list(dict.fromkeys(key for record in flat for key in record))
    widths = {n: min(WIDEST_CELL, max(len(n), *(len(record.get(n, "")) for record in flat))) for n in names}
    text = ["  " + "  ".join(f"{n.replace('_', ' '):<{widths[n]}}" for n in names).rstrip()]
    for record, shown in zip(records, flat, strict=True):
        text.append("  " + "  ".join(f"{shown.get(n, '')[:WIDEST_CELL]:<{widths[n]}}" for n in names).rstrip())
        for key, value in record.items():
            inner = _records(value)
            if inner and (with_rows or key not in ROW_TABLES):
                text += [f"    {key.replace('_', ' ')}", *("  " + line for line in table(inner, with_rows=with_rows))]
    return text


def _records(value: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - what a document holds
    """The records in a list of them, or in a table of them by name; none in anything else."""
    if isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
        return list(value)
    if isinstance(value, Mapping) and value and all(isinstance(item, Mapping) for item in value.values()):
        return [{"name": key, **item} for key, item in value.items()]
    return []


def _cell(value: Any) -> str:  # noqa: ANN401 - what a document holds
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, list | tuple):
        return " to ".join(_cell(item) for item in value) if len(value) == 2 else ", ".join(_cell(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return str(value)
