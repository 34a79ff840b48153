"""Labelled examples that need no download, by name: ``source = "builtin:NAME"``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from tonne.describe.data import BUILT_IN_EXAMPLES
from tonne.errors import DataError

# name -> module of this room, and its function without arguments: rows in their order, each a mapping of columns
CORPORA: dict[str, tuple[str, str]] = {}


def built_in_rows(source: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a built-in source, such as "builtin:translate-zh"; a column has the name of its role.

    Raises:
        DataError: There is none of this name.
    """
    name = source.removeprefix(BUILT_IN_EXAMPLES)
    if name not in CORPORA:
        known = ", ".join(f"{BUILT_IN_EXAMPLES}{known}" for known in CORPORA) or "none"
        raise DataError(f"source {source!r} is not built in. Known: {known}. Take one of them, or name a file.")
    module, function = CORPORA[name]
    rows: Iterator[Mapping[str, Any]] = iter(getattr(import_module(f"tonne.train.{module}"), function)())
    return rows
