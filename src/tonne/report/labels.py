"""Lines with a label before them, and cells of tables. Light: a list of runs needs no forecast."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

WIDTH = 120
LABEL = 17


def no_formula(text: str) -> str:
    """Text of a table's cell that a spreadsheet does not take for a formula: an import names its runs as it likes."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def listed(label: str, items: Sequence[str]) -> list[str]:
    """Items after a label, wrapped and indented below it."""
    if not items:
        return []
    indent = " " * (LABEL + 2)
    text = wrap(" · ".join(items), WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"  {label:<{LABEL}}{text[0]}", *(indent + line for line in text[1:])]
