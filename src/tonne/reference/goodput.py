"""What the tables say of goodput, and the work of a published run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from tonne.estimate import Basis, Estimate
from tonne.reference.accelerators import AcceleratorRecord
from tonne.reference.table import table

Row = Mapping[str, str]
KIND_OF_ROW = {"decoder": "dense-decoder", "moe": "moe", "encoder": "encoder", "encdec": "encoder-decoder"}
FLOP_PER_TFLOP = 1e12


@cache
def goodput_constant(name: str) -> Estimate:
    """A constant of what is lost between steps, by name; the unit is in it."""
    row = next(row for row in table("goodput_constants") if row["name"] == name)
    return Estimate(
        value=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        basis=Basis(row["basis"]),
        sources=(f"{row['source']}, {row['locator']}" if row["locator"] else row["source"],),
    )


def peak_flop_per_s(chip: AcceleratorRecord, precision: str) -> float | None:
    """Dense peak of a precision; of its 16-bit twin, or of bf16 for fp8, where the table has none [FLOP/s]."""
    peaks = chip.peak_dense_tflop_per_s
    spare = {"fp16": "bf16", "bf16": "fp16", "fp8": "bf16"}.get(precision, precision)
    peak = peaks.get(precision) or peaks.get(spare)
    return None if peak is None else peak * FLOP_PER_TFLOP


def run_flop(row: Row) -> float | None:
    """Model FLOP of a published run from its row: active parameters, tokens and, where given, the shape.

    Equation: C = D (6 N + a L h s), with N the active parameters, D tokens, a = 6 under a causal mask and 12 without;
    in an encoder-decoder each token passes through one of the two halves: C = 3 N D, with the targets' tokens in D.

    Returns:
        Work [FLOP]; None where parameters or tokens are not given.

    Source: kaplan2020scaling, section 2.1; chowdhery2022palm, Appendix B.
    """
    parameters, tokens = row["params_active"] or row["params_total"], row["tokens_trained"]
    if not parameters or not tokens:
        return None
    if row["kind"] == "encdec":
        return 3 * float(parameters) * (float(tokens) + float(row["target_tokens"] or 0))
    shape = [float(row[name] or 0) for name in ("layers", "hidden", "seq_len")]
    attention = (12 if row["kind"] == "encoder" else 6) * math.prod(shape)
    return (6 * float(parameters) + attention) * float(tokens)
