"""What two sides share: an input that both rest on moves both, and cancels in their ratio.

The rule, in one sentence: an input is shared where both sides know it by the same name, with the same value, interval
and source, and nothing says that there are two of it (docs/decisions/0079).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tonne.estimate import Basis, Estimate
from tonne.planning.scenario import KEPT, Scenario
from tonne.reference.step_residuals import StepResidual, step_residuals

OF_THE_PLACE = {
    "pue",
    "grid_gco2e_per_kwh",
    "market_gco2e_per_kwh",
    "wue_l_per_kwh",
    "grid_wue_l_per_kwh",
    "usd_per_kwh",
    "storage_power_w",
}
OF_THE_JOB = {"achieved_peak_fraction", "pace"}  # how fast this model steps, with this software
TIMED = "achieved_peak_fraction"
READ = {"accelerators_kwh", "it_kwh", "accelerator_hours"}  # by the sensors of each run
HOSTS = "hosts_kwh"
MODELS = {Basis.MODELLED, Basis.ASSUMED}

Side = Callable[[Mapping[str, float]], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The inputs of two sides as one set, and how each side reads its own from it."""

    inputs: dict[str, Estimate]
    first: Side
    second: Side
    shared: tuple[str, ...]  # uncertain inputs that are the same on both sides
    partly: tuple[str, ...]  # of which a part is
    apart: tuple[str, ...]  # uncertain inputs of one side alone, or different on each


def joined(a: Scenario, b: Scenario, letters: tuple[str, str]) -> Joined:
    """The inputs of both sides: what they share once, what they do not under a letter for each.

    Args:
        a: The first side.
        b: The second.
        letters: Of the sides.
    """
    inputs: dict[str, Estimate] = {}
    keys: tuple[dict[str, tuple[str, ...]], ...] = ({}, {})
    kinds: dict[str, list[str]] = {"shared": [], "partly": [], "apart": []}
    for name in dict.fromkeys([*a.inputs, *b.inputs]):
        share = shared_part(name, a, b)
        owners = [(i, side.inputs[name]) for i, side in enumerate((a, b)) if name in side.inputs]
        if name in a.rests_on | b.rests_on and any(not one.is_exact for _, one in owners):
            kinds["shared" if share == 1 else "partly" if share > 0 else "apart"].append(name)
        if share == 1 and a.inputs[name] == b.inputs[name]:
            inputs[name] = a.inputs[name]
            keys[0][name] = keys[1][name] = (name,)
            continue
        if share > 0:
            inputs[f"{name} (both)"] = _part(owners[0][1], share, centre=1.0)
        for i, one in owners:
            own = f"{name} ({letters[i]})"
            inputs[own] = _part(one, 1.0 - share, centre=one.value)
            keys[i][name] = (own, f"{name} (both)") if share > 0 else (own,)
    shared, partly, apart = (tuple(kinds[kind]) for kind in ("shared", "partly", "apart"))
    return Joined(inputs=inputs, first=_side(keys[0]), second=_side(keys[1]), shared=shared, partly=partly, apart=apart)


def shared_part(name: str, a: Scenario, b: Scenario) -> float:
    """Which part of what is not known of an input both sides share, 0 to 1, as a share of its variance."""
    if name not in a.inputs or name not in b.inputs or name.endswith(KEPT) or name in READ:
        return 0.0
    one, other = a.inputs[name], b.inputs[name]
    if name == HOSTS:
        return 1.0 if _same(a.traits.machine, b.traits.machine) and _same_model(one, other) else 0.0
    if name in OF_THE_JOB:
        return _of_the_job(name, a, b)
    if one != other:
        return 0.0
    guessed = one.basis == Basis.ASSUMED and name in OF_THE_PLACE
    return 0.0 if guessed and a.traits.place != b.traits.place else 1.0


def _of_the_job(name: str, a: Scenario, b: Scenario) -> float:
    """How a model steps is shared by plans of that model on that accelerator; in another layout, in part."""
    one, other = a.inputs[name], b.inputs[name]
    if one.is_exact and other.is_exact:
        return 1.0 if one == other else 0.0
    if not (_same(a.traits.job, b.traits.job) and _same(a.traits.machine, b.traits.machine)):
        return 0.0
    if one == other:
        return 1.0
    return shared_error_part(a.traits.mixture) if name == TIMED and _same_model(one, other) else 0.0


def _same(one: object, other: object) -> bool:
    return one is not None and one == other


def _same_model(one: Estimate, other: Estimate) -> bool:
    """Whether both are of one model: the same sources and relative interval, nothing that was read."""
    if one.basis not in MODELS or (one.basis, one.sources) != (other.basis, other.sources):
        return False
    spreads = [_log_spreads(estimate) for estimate in (one, other)]
    return all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9) for x, y in zip(*spreads, strict=True))


def _log_spreads(estimate: Estimate) -> tuple[float, float]:
    if estimate.low <= 0:
        return math.inf, math.inf
    return math.log(estimate.value / estimate.low), math.log(estimate.high / estimate.value)


def _part(estimate: Estimate, share: float, *, centre: float) -> Estimate:
    """A factor with that share of an estimate's log-variance, around a centre."""
    if share == 1 and centre == estimate.value:
        return estimate
    below, above = (math.sqrt(share) * spread for spread in _log_spreads(estimate))
    low, high = centre * math.exp(-below), centre * math.exp(above)
    return Estimate(value=centre, low=low, high=high, basis=estimate.basis, sources=estimate.sources)


def _side(keys: Mapping[str, tuple[str, ...]]) -> Side:
    return lambda x: {name: math.prod(x[key] for key in of) for name, of in keys.items()}


@cache
def shared_error_part(mixture: bool) -> float:
    """The part of the time model's error that steps of one model on one accelerator share."""
    kind = "moe" if mixture else "dense"
    return error_correlation([row for row in step_residuals() if row.kind == kind])


def error_correlation(rows: Iterable[StepResidual]) -> float:
    """How much of a step's error is that of its model, measured: errors of steps of one model go together.

    Equation: rho = sum_g mean(r_i r_j; i != j in g) / sum_g mean(r_i^2; i in g), over groups g of at least two steps
    with the same source, model, accelerators' family and precision, r_i the logarithm of predicted over measured.

    Args:
        rows: Errors of a fit that saw no row of their model.

    Returns:
        Share of the variance, 0 to 1; 0 where no group has two steps.

    Source: tonne
    """
    groups: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        key = (row.source, row.model, row.family, row.precision)
        groups.setdefault(key, []).append(row.log_error("known"))
    together = alike = 0.0
    for errors in groups.values():
        n, squares = len(errors), sum(error * error for error in errors)
        if n > 1:
            together += (sum(errors) ** 2 - squares) / (n * (n - 1))
            alike += squares / n
    return min(max(together / alike, 0.0), 1.0) if alike else 0.0
