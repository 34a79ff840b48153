"""Pace of published runs: how fast they stepped beside the step forecast for them, by family and kind.

Here, and not in `calibrate`, because the validation fits it anew with one organisation left out at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tonne.estimate import Z_90, Basis, Estimate
from tonne.reference.calibration import KINDS, POOLED
from tonne.reference.time_model import FITTED_FAMILIES

TIMED = "timed"
MOST_CENTRAL_PACE = 1.0  # nobody counts on being faster than the fastest layout
RUN_LOG_SPREAD = 0.4  # of one run around what it shares with others: software, organisation, bookkeeping
EFFECT_LOG_SPREAD = 0.5  # of families and kinds, before a run of theirs is seen
MEAN_LOG_SPREAD = 100.0  # no opinion
LEAST_ALIKE = 12  # fewer runs do not say their own spread
LEAST_LOG_SPREAD = 0.05  # no run is planned more exactly than this


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceEvidence:
    """One run: calendar utilisation over what its steps and its goodput were forecast to leave."""

    family: str
    kind: str
    ratio: float
    step: Estimate
    goodput: Estimate
    timed: bool = False  # whether the step is that of a layout, and not a mean of its kind of model


def pace_from(evidence: Sequence[PaceEvidence]) -> dict[tuple[str, str], Estimate]:
    """Pace by family (and `*`) and kind.

    Equation: ln q = m + a_family + b_kind + r, with q = calendar utilisation / (step utilisation forecast x goodput
    forecast); a and b normal with EFFECT_LOG_SPREAD, r with RUN_LOG_SPREAD. Spread: that of the residuals, each side
    its own, less the spreads of step utilisation and goodput, which a forecast adds on its own, so that all together
    are what was seen.

    Args:
        evidence: Runs.

    Returns:
        Estimates by (family, kind), at most 1 in the middle; a family without runs (`*`) is wider and assumed.

    Valid for: at least one run. Encoders, of which one run is known, count as dense decoders.
    """
    import numpy as np  # noqa: PLC0415 - only who fits pays for NumPy

    logs = np.array([math.log(e.ratio) for e in evidence])
    effects = list(dict.fromkeys(effect for e in evidence for effect in _effects(e.family, e.kind)))
    design = np.array([[float(x in _effects(e.family, e.kind)) for x in effects] for e in evidence])
    ridge = np.diag([_prior_log_spread(effect) ** -2 for effect in effects])
    covariance = np.linalg.inv(design.T @ design / RUN_LOG_SPREAD**2 + ridge)
    sizes = dict(zip(effects, (covariance @ design.T @ logs / RUN_LOG_SPREAD**2).tolist(), strict=True))
    used = len(effects) - float(np.trace(ridge @ covariance))  # degrees of freedom that the runs decided
    inflation = math.sqrt(len(logs) / max(len(logs) - used, 1.0))
    residuals = [inflation * float(x) for x in logs - design @ np.array(list(sizes.values()))]
    timed_families = {e.family for e in evidence if e.timed}
    spreads = {timed: _spreads_of(timed, residuals, evidence) for timed in (True, False)}
    seen = {e.family for e in evidence} - {POOLED}
    families = [*sorted(seen | (set(FITTED_FAMILIES) if timed_families else set())), POOLED]
    return {
        (family, kind): _estimate(sizes, family, kind, spreads[bool(timed_families) and family in FITTED_FAMILIES])
        for family in families
        for kind in KINDS
    }


def _spreads_of(timed: bool, residuals: Sequence[float], evidence: Sequence[PaceEvidence]) -> tuple[float, float]:
    """Own spreads of the runs whose steps are known alike; of all runs, where these are few."""
    alike = [(r, e) for r, e in zip(residuals, evidence, strict=True) if e.timed == timed]
    if len(alike) < LEAST_ALIKE:
        alike = list(zip(residuals, evidence, strict=True))
    return _own_spreads([r for r, _ in alike], [e for _, e in alike])


def _effects(family: str, kind: str) -> tuple[tuple[str, str], ...]:
    """The effects that add up: the mean, the family, and experts or an encoder-decoder.

    Families whose steps are timed share one: how far practice lags has no reason to differ by chip. In the
    others the effect takes up what their step utilisation is off.
    """
    special = (("kind", kind),) if kind in {"moe", "encoder-decoder"} else ()
    return (("mean", ""), ("family", TIMED if family in FITTED_FAMILIES else family), *special)


def _prior_log_spread(effect: tuple[str, str]) -> float:
    return MEAN_LOG_SPREAD if effect[0] == "mean" else EFFECT_LOG_SPREAD


def _own_spreads(residuals: Sequence[float], evidence: Sequence[PaceEvidence]) -> tuple[float, float]:
    """Log spreads of the pace alone, below and above."""
    seen = side_spreads(residuals)
    known = [part for e in evidence for part in (e.step, e.goodput)]  # forecast apart
    others = (
        sum((math.log(part.value / part.low) / Z_90) ** 2 for part in known) / len(evidence),
        sum((math.log(part.high / part.value) / Z_90) ** 2 for part in known) / len(evidence),
    )
    low, high = (
        max(math.sqrt(max(s * s - other, 0.0)), LEAST_LOG_SPREAD) for s, other in zip(seen, others, strict=True)
    )
    return low, high


def side_spreads(residuals: Sequence[float]) -> tuple[float, float]:
    """Standard deviation below and above the centre, each from the residuals on its side.

    Equation: s_low^2 = mean(e^2 | e < 0), s_high^2 = mean(e^2 | e > 0).
    """
    below, above = [e for e in residuals if e < 0], [e for e in residuals if e > 0]
    low, high = (math.sqrt(sum(e * e for e in side) / len(side)) if side else 0.0 for side in (below, above))
    return low, high


def _estimate(sizes: Mapping[tuple[str, str], float], family: str, kind: str, spreads: tuple[float, float]) -> Estimate:
    wanted = _effects(family, kind)
    value = min(math.exp(sum(sizes.get(effect, 0.0) for effect in wanted)), MOST_CENTRAL_PACE)
    unseen = math.sqrt(sum(_prior_log_spread(effect) ** 2 for effect in wanted if effect not in sizes))
    below, above = (math.exp(Z_90 * math.hypot(spread, unseen)) for spread in spreads)
    return Estimate(
        value=value,
        low=value / below,
        high=value * above,
        basis=Basis.ASSUMED if unseen else Basis.MODELLED,
        sources=("tonne.calibrate: published_runs.csv over throughput.csv",),
    )
