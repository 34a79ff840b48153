"""Measured steps that no fit ever saw, beside what the fitted model says of them. Written by `make calibrate`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

TABLE = "step_outside.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideStep:
    """One measured step and its forecast. ``check``: the sweep it belongs to; ``layout``: as given or as found."""

    id: str
    check: str
    source: str
    model: str
    accelerators: int
    layout: str
    measured_s: float
    predicted_s: float


@cache
def outside_steps() -> tuple[OutsideStep, ...]:
    """The rows that `make calibrate` wrote."""
    text = files("tonne.reference").joinpath("tables", TABLE).read_text(encoding="utf-8")
    return tuple(_outside(row) for row in csv.DictReader(text.splitlines()))


def _outside(row: Mapping[str, str]) -> OutsideStep:
    return OutsideStep(
        id=row["id"],
        check=row["check"],
        source=row["source"],
        model=row["model"],
        accelerators=int(row["accelerators"]),
        layout=row["layout"],
        measured_s=float(row["measured_s"]),
        predicted_s=float(row["predicted_s"]),
    )
