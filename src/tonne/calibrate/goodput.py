"""Pace by chip family and kind of model, and what runs recover, as rows of the calibration table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tonne.forecasting.lost_time import recovery_share
from tonne.forecasting.runs import pace_evidence
from tonne.reference.calibration import POOLED, Calibration, Coefficient, pace_coefficients, recovery_coefficient
from tonne.reference.pace import pace_from

Rows = Sequence[Mapping[str, str]]


def fitted_runs(runs: Rows, recovered: Rows, calibration: Calibration) -> list[Coefficient]:
    """Pace from the published runs that serve gate 3, over a calibration's step utilisation; and what runs recover."""
    recovery = recovery_share(recovered)
    evidence = pace_evidence(runs, calibration.with_runs({}, recovery))
    counts = Counter((e.family, e.kind) for e in evidence) + Counter((POOLED, e.kind) for e in evidence)
    return [*pace_coefficients(pace_from(evidence), counts), recovery_coefficient(recovery, len(recovered))]
