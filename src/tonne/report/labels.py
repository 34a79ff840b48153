"""Lines with a label before them. Light: a list of runs needs no forecast."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

WIDTH = 120
LABEL = 17


def listed(label: str, items: Sequence[str]) -> list[str]:
    """Items after a label, wrapped and indented below it."""
    if not items:
        return []
    indent = " " * (LABEL + 2)
    text = wrap(" · ".join(items), WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"  {label:<{LABEL}}{text[0]}", *(indent + line for line in text[1:])]
