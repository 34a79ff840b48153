"""`tonne reference`: rows of the reference tables."""

from __future__ import annotations

import json
import shutil
import sys

from tonne.documents import SCHEMA_VERSION
from tonne.reference import DATA_VERSION
from tonne.reference.browse import rows

NARROW_TERMINAL, WIDEST_CELL, NARROWEST_SOURCE = 80, 32, 24
FEW = 3  # so many rows are shown whole, field by field
LAST = ("year", "basis", "licence", "source")
MAIN = {  # what to show of a row where not all fits
    "accelerators": ("id", "bf16_tflop_per_s", "memory_gb", "board_power_limit_w"),
    "nodes": ("id", "accelerators", "accelerator_id", "max_system_power_w"),
    "cpus": ("vendor", "model", "cores", "tdp_w"),
    "grids": ("zone", "name_en", "gco2e_per_kwh", "accounting", "boundary", "gas"),
    "regions": ("provider", "region", "location", "grid_zone", "pue"),
    "embodied": ("accelerator_id", "key", "id", "item", "kgco2e", "value", "unit", "per_unit"),
    "architectures": ("id", "kind", "parameters_published", "tokens_trained"),
    "prices": ("kind", "key", "date", "value", "unit"),
    "power": ("family", "fraction_value", "host_w", "network_w", "whole_server_w", "accelerator_id", "watts"),
    "sources": ("key", "title"),
    "pue": ("provider", "site", "pue", "wue_l_per_kwh"),
}


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
        print("\n".join(_table(found, MAIN.get(table, ()))))
        print(f"{len(found)} rows; a query that means {FEW} or fewer shows all their fields.", file=sys.stderr)


def _record(row: dict[str, str]) -> str:
    """All fields of a row that are not empty, one a line."""
    filled = {key: value for key, value in row.items() if value}
    width = max(len(key) for key in filled)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in filled.items())


def _table(found: list[dict[str, str]], main: tuple[str, ...]) -> list[str]:
    """The main columns, and those that say where a row is from; the source takes what room is left."""
    names = list(dict.fromkeys(name for row in found for name in row))
    columns = [
        name for name in (*(main or (n for n in names if n not in LAST)), *LAST) if any(row.get(name) for row in found)
    ]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in found)) for name in columns}
    widths = {name: min(width, WIDEST_CELL) for name, width in widths.items()}
    room = max(shutil.get_terminal_size().columns, NARROW_TERMINAL)
    widths[columns[-1]] = max(room - sum(widths[name] + 2 for name in columns[:-1]), NARROWEST_SOURCE)
    lines = [{name: name for name in columns}, *found]
    return ["  ".join(f"{_cut(row.get(n, ''), widths[n]):<{widths[n]}}" for n in columns).rstrip() for row in lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
