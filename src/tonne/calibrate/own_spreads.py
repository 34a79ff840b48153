"""How much a run tells of another model on the same stack: pairs of measured steps of one source."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from tonne.calibrate.measured_steps import MeasuredStep
from tonne.calibrate.scales import LEAST_PAIRS
from tonne.forecasting.runs import Row, pace_evidence
from tonne.reference.calibration import PACE, Calibration
from tonne.reference.own_runs import ModelSpread
from tonne.reference.step_residuals import Stack, StepResidual, conformal_half_width
from tonne.reference.time_stacks import precision_group

STACK: Stack = "unseen"  # predicted by a fit that saw no row of the source: as a stack of one's own is


def model_spreads(steps: Sequence[MeasuredStep], residuals: Iterable[StepResidual]) -> list[ModelSpread]:
    """By kind and precision, how far two models of one stack differ in what the time model is off for them.

    Equation: d = |ln(p_1/m_1) - ln(p_2/m_2)|, with p = predicted by a fit without the source, m = measured.
    """
    log_errors = {r.id: r.log_error(STACK) for r in residuals}
    sizes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one, other in model_pairs(steps):
        group = one.kind, precision_group(one.plan.training.precision)
        sizes[group].append(abs(log_errors[one.id] - log_errors[other.id]))
    return [_spread(*key, sorted(found)) for key, found in sorted(sizes.items()) if len(found) >= LEAST_PAIRS]


def model_pairs(steps: Sequence[MeasuredStep]) -> Iterator[tuple[MeasuredStep, MeasuredStep]]:
    """Rows of two models of one source, framework, chip, kind, precision as spelled, and (mixtures) release."""
    groups: dict[tuple[object, ...], list[MeasuredStep]] = defaultdict(list)
    for step in steps:
        software = step.plan.software
        release = software.released if step.kind == "moe" else None
        stack = (step.source, software.framework, step.plan.cluster.record.id, step.recipe, step.kind)
        groups[*stack, release].append(step)
    for members in groups.values():
        yield from (pair for pair in combinations(members, 2) if pair[0].model != pair[1].model)


def pace_spread(rows: Iterable[Row], calibration: Calibration) -> ModelSpread:
    """How far two runs of one organisation, chip and kind differ in what their forecasts without a layout are off.

    Equation: d = |ln q_1 - ln q_2|, with q = calendar utilisation / (step utilisation forecast x goodput forecast).
    """
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        for evidence in pace_evidence([row], calibration):
            groups[row["org"], row["chip"], row["kind"]].append(math.log(evidence.ratio))
    pairs = (pair for members in groups.values() for pair in combinations(members, 2))
    return _spread(PACE, "*", sorted(abs(a - b) for a, b in pairs))


def _spread(kind: str, precision: str, sizes: Sequence[float]) -> ModelSpread:
    return ModelSpread(
        kind=kind,
        precision=precision,
        pairs=len(sizes),
        median=sizes[len(sizes) // 2],
        log_half_width=conformal_half_width(sizes),
    )
