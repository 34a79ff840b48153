"""The table of the time model's coefficients in the documentation: value, spread, prior, and which rows show each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tonne.calibrate.measured_steps import MeasuredStep, measured_steps
from tonne.reference.table import table
from tonne.reference.time_model import Fitted, fitted_coefficients
from tonne.timing.step_time import step_time_s

SHOWS = 0.03  # a row shows a coefficient when 10 % more of it moves the row's step by 0.3 % or more
MOVED = 0.01
HEADS = ("coefficient", "meaning", "value", "spread", "before any row", "possible", "rows that show it")


def coefficients_table() -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
    return "\n".join([*lines, *_rows(fitted_coefficients(), measured_steps(table("throughput")))])


def _rows(coefficients: Sequence[Fitted], steps: Sequence[MeasuredStep]) -> Iterator[str]:
    values = {c.name: c.value for c in coefficients}
    times = [_time_s(step, values) for step in steps]
    for c in coefficients:
        moved = {**values, c.name: c.value * (1 + MOVED)}
        shown: Counter[str] = Counter()
        for step, time_s in zip(steps, times, strict=True):
            if abs(math.log(_time_s(step, moved) / time_s)) >= SHOWS * MOVED:
                shown[step.source] += 1
        cells = (f"`{c.name}`", c.meaning, f"{c.value:.3g}", _spread(c.log_spread), _prior(c), _bounds(c), _said(shown))
        yield f"| {' | '.join(cells)} |"


def _time_s(step: MeasuredStep, values: Mapping[str, float]) -> float:
    own = {role: values[names[0]] for role, names in step.roles.items()}
    return float(step_time_s(step.situation, {**values, **own}))


def _spread(log_spread: float) -> str:
    return f"x/ {math.exp(log_spread):.2f}"


def _prior(c: Fitted) -> str:
    return f"{c.prior:.3g} {_spread(c.prior_log_spread)}"


def _bounds(c: Fitted) -> str:
    return f"{c.least:.3g} to {c.most:.3g}"


def _said(shown: Counter[str]) -> str:
    """How many rows, and of which sources, the most first."""
    sources = ", ".join(f"{source.split('/')[-1]} {n}" for source, n in shown.most_common())
    return f"{shown.total()}: {sources}" if shown else "0"
