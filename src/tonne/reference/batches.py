"""The batch of a plan that names none: the line through batches that sources print."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """B = tokens (n / accelerators)^exponent; printed batches lie around it by spread_factor (one deviation)."""

    tokens: float
    accelerators: float
    exponent: float
    spread_factor: float


@cache
def batch_line() -> BatchLine:
    """The line of assumed_batch.csv, which `python -m tonne.calibrate` writes."""
    values = {row["name"]: float(row["value"]) for row in table("assumed_batch")}
    return BatchLine(
        tokens=values["batch_tokens"],
        accelerators=values["batch_accelerators"],
        exponent=values["batch_exponent"],
        spread_factor=values["batch_spread_factor"],
    )
