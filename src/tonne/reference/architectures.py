"""Shapes of published transformers: the rows of ``tables/architectures.csv``, as they stand."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = "architectures.csv"


@cache
def architecture_rows() -> Mapping[str, Mapping[str, str]]:
    """Every row of the table by its id, in the table's order; an empty cell is an empty string."""
    table = files("tonne.reference").joinpath("tables", TABLE)
    with table.open(encoding="utf-8") as lines:
        rows = {row["id"]: MappingProxyType(row) for row in csv.DictReader(lines)}
    return MappingProxyType(rows)
