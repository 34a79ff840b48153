"""All gates at once."""

from __future__ import annotations

from tonne.validation.arithmetic import gate_1, gate_4
from tonne.validation.hours import gate_3
from tonne.validation.power import gate_2
from tonne.validation.result import Validation


def validate() -> Validation:
    """Forecasts compared with what was published about the same runs, gate by gate.

    Returns:
        Gates with their rows, summaries, coverage, and the same rows by simpler formulas.
    """
    return Validation(gates=(gate_1(), gate_2(), gate_3(), gate_4()))
