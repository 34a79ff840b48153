"""What published recipes of mixtures of experts ran with: CUDA graphs, exchanges, overlap; a row for some releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tonne.reference.table import table

TABLE = "step_recipes"
VENDOR = "nvidia-"


def recipe_software(model: str, accelerator_id: str, precision: str, released: str) -> dict[str, Any]:
    """Fields of a plan's software that the recipe of a measured step fixes; empty where none was read.

    Args:
        model: As the time model groups rows.
        accelerator_id: Of the tables.
        precision: As the row spells it, e.g. mxfp8.
        released: Year and month, e.g. 2026-05.
    """
    found = [row for row in table(TABLE) if _serves(row, model, accelerator_id, precision, released)]
    if not found:
        return {}
    (row,) = found
    return {
        "graphed_step": row["graphs"] == "step",
        "dispatch": row["dispatch"],
        "overlapped_experts": row["overlapped_experts"] == "y",
        "low_precision_attention": row["low_precision_attention"] == "y",
    }


def _serves(row: Mapping[str, str], model: str, accelerator_id: str, precision: str, released: str) -> bool:
    return (
        row["model"] == model
        and accelerator_id.removeprefix(VENDOR) in row["chips"].split()
        and precision in row["precisions"].split()
        and row["first"] <= released <= (row["last"] or released)
    )
