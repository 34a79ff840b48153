"""Goodput by chip family and kind of model, as rows of the calibration table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tonne.forecasting.runs import goodput_evidence
from tonne.reference.calibration import POOLED, Calibration, Coefficient, goodput_coefficients
from tonne.reference.goodput import goodput_from


def fitted_goodput(runs: Iterable[Mapping[str, str]], calibration: Calibration) -> list[Coefficient]:
    """Goodput from the published runs that serve gate 3, over a calibration's step utilisation."""
    evidence = goodput_evidence(runs, calibration)
    counts = Counter((e.family, e.kind) for e in evidence) + Counter((POOLED, e.kind) for e in evidence)
    return goodput_coefficients(goodput_from(evidence), counts)
