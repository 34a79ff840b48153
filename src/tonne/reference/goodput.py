"""Goodput of published runs: calendar utilisation over step utilisation, shrunk to what families and kinds share.

Here, and not in `calibrate`, because the validation fits it anew with one organisation left out at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tonne.estimate import Z_90, Basis, Estimate
from tonne.reference.accelerators import AcceleratorRecord
from tonne.reference.calibration import KINDS, POOLED
from tonne.reference.table import table
from tonne.reference.time_model import FITTED_FAMILIES

Row = Mapping[str, str]
KIND_OF_ROW = {"decoder": "dense-decoder", "moe": "moe", "encoder": "encoder", "encdec": "encoder-decoder"}
FLOP_PER_TFLOP = 1e12
TIMED = "timed"
MAXIMUM_GOODPUT = 1.0
MOST_CENTRAL_GOODPUT = 0.97  # restarts, evaluation and checkpoints take some per cent of even a small run
RUN_LOG_SPREAD = 0.4  # of one run around what it shares with others: software, organisation, bookkeeping
EFFECT_LOG_SPREAD = 0.5  # of families and kinds, before a run of theirs is seen
MEAN_LOG_SPREAD = 100.0  # no opinion
LEAST_ALIKE = 12  # fewer runs do not say their own spread
LEAST_LOG_SPREAD = 0.05  # no run is planned more exactly than this


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputEvidence:
    """One run: calendar utilisation over the step utilisation that its chip and kind would have."""

    family: str
    kind: str
    ratio: float
    step: Estimate
    timed: bool = False  # whether the step is that of a layout, and not a mean of its kind of model


@cache
def goodput_constant(name: str) -> float:
    """A constant of what failures cost, by name; the unit is in it."""
    return next(float(row["value"]) for row in table("goodput_constants") if row["name"] == name)


def peak_flop_per_s(chip: AcceleratorRecord, precision: str) -> float | None:
    """Dense peak of a precision; of its 16-bit twin, or of bf16 for fp8, where the table has none [FLOP/s]."""
    peaks = chip.peak_dense_tflop_per_s
    spare = {"fp16": "bf16", "bf16": "fp16", "fp8": "bf16"}.get(precision, precision)
    peak = peaks.get(precision) or peaks.get(spare)
    return None if peak is None else peak * FLOP_PER_TFLOP


def run_flop(row: Row) -> float | None:
    """Model FLOP of a published run from its row: active parameters, tokens and, where given, the shape.

    Equation: C = D (6 N + a L h s), with N the active parameters, D tokens, a = 6 under a causal mask and 12 without;
    in an encoder-decoder each token passes through one of the two halves: C = 3 N D.

    Returns:
        Work [FLOP]; None where parameters or tokens are not given.

    Source: kaplan2020scaling, section 2.1; chowdhery2022palm, Appendix B.
    """
    parameters, tokens = row["params_active"] or row["params_total"], row["tokens_trained"]
    if not parameters or not tokens:
        return None
    if row["kind"] == "encdec":
        return 3 * float(parameters) * float(tokens)
    shape = [float(row[name] or 0) for name in ("layers", "hidden", "seq_len")]
    attention = (12 if row["kind"] == "encoder" else 6) * math.prod(shape)
    return (6 * float(parameters) + attention) * float(tokens)


def goodput_from(evidence: Sequence[GoodputEvidence]) -> dict[tuple[str, str], Estimate]:
    """Goodput by family (and `*`) and kind.

    Equation: ln g = m + a_family + b_kind + r; a and b normal with EFFECT_LOG_SPREAD, r with RUN_LOG_SPREAD. Spread:
    that of the residuals, each side its own, less the spread of step utilisation, which a forecast adds on its own, so
    that both together are what was seen.

    Args:
        evidence: Runs.

    Returns:
        Estimates by (family, kind), capped; a family without runs (`*`) is wider and assumed.

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


def _spreads_of(timed: bool, residuals: Sequence[float], evidence: Sequence[GoodputEvidence]) -> tuple[float, float]:
    """Own spreads of the runs whose steps are known alike; of all runs, where these are few."""
    alike = [(r, e) for r, e in zip(residuals, evidence, strict=True) if e.timed == timed]
    if len(alike) < LEAST_ALIKE:
        alike = list(zip(residuals, evidence, strict=True))
    return _own_spreads([r for r, _ in alike], [e for _, e in alike])


def _effects(family: str, kind: str) -> tuple[tuple[str, str], ...]:
    """The effects that add up: the mean, the family, and experts or an encoder-decoder.

    Families whose steps are timed share one: what is lost beside the steps has no reason to differ by chip. In the
    others the effect takes up what their step utilisation is off.
    """
    special = (("kind", kind),) if kind in {"moe", "encoder-decoder"} else ()
    return (("mean", ""), ("family", TIMED if family in FITTED_FAMILIES else family), *special)


def _prior_log_spread(effect: tuple[str, str]) -> float:
    return MEAN_LOG_SPREAD if effect[0] == "mean" else EFFECT_LOG_SPREAD


def _own_spreads(residuals: Sequence[float], evidence: Sequence[GoodputEvidence]) -> tuple[float, float]:
    """Log spreads of goodput alone, below and above."""
    seen = side_spreads(residuals)
    steps = (
        [math.log(e.step.value / e.step.low) / Z_90 for e in evidence],
        [math.log(e.step.high / e.step.value) / Z_90 for e in evidence],
    )
    low, high = (
        max(math.sqrt(max(s * s - sum(x * x for x in own) / len(own), 0.0)), LEAST_LOG_SPREAD)
        for s, own in zip(seen, steps, strict=True)
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
    value = min(math.exp(sum(sizes.get(effect, 0.0) for effect in wanted)), MOST_CENTRAL_GOODPUT)
    unseen = math.sqrt(sum(_prior_log_spread(effect) ** 2 for effect in wanted if effect not in sizes))
    below, above = (math.exp(Z_90 * math.hypot(spread, unseen)) for spread in spreads)
    return Estimate(
        value=value,
        low=value / below,
        high=min(value * above, MAXIMUM_GOODPUT),
        basis=Basis.ASSUMED if unseen else Basis.MODELLED,
        sources=("tonne.calibrate: published_runs.csv over throughput.csv",),
    )
