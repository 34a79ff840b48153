"""A validation of inference as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from tonne.report.validation_text import WIDTH, aligned, gate_lines, rounded_percent
from tonne.validation.inference import InferenceValidation
from tonne.validation.result import Gate

LEFT_OUT = "left out  "
HEADS = ("by source", "n", "median", "90th pct", "bias", "in 90 % interval")


def inference_validation_lines(validation: InferenceValidation, *, with_rows: bool = False) -> list[str]:
    """Time by phase and energy, with the simpler formulas; the same rows by source; each row where asked for."""
    text: list[str] = []
    for gate in validation.gates:
        text += [*gate_lines(gate, with_rows=with_rows), ""]
    text += [*_sources(validation), "", *_left_out(validation, with_rows=with_rows)]
    text += ["Each row is forecast from coefficients fitted without its own source (a time factor for how engines"]
    text += ["scatter included). median and 90th pct are of |forecast / published - 1|; bias is the median, signed."]
    return text


def _sources(validation: InferenceValidation) -> list[str]:
    return aligned([HEADS, *(_source(gate) for gate in validation.sources)])


def _source(gate: Gate) -> tuple[str, ...]:
    figures = (rounded_percent(gate.median), rounded_percent(gate.p90), rounded_percent(gate.bias, sign=True))
    return (gate.name, str(gate.n), *figures, "" if gate.coverage is None else f"{gate.coverage:.0%}")


def _left_out(validation: InferenceValidation, *, with_rows: bool) -> Iterator[str]:
    if not with_rows:
        yield f"left out: {len(validation.left_out)} rows; --rows gives the reasons"
        return
    for row in validation.left_out:
        first, *rest = wrap(f"{row.id}  {row.reason}", WIDTH - len(LEFT_OUT))
        yield LEFT_OUT + first
        yield from (" " * len(LEFT_OUT) + line for line in rest)
