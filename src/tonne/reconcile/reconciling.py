"""A forecast against a measurement: both numbers, the verdict, and why they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tonne.account import Account
from tonne.errors import MeasurementError
from tonne.estimate import Estimate, weakest
from tonne.ledger.records import Run, Stage, Work
from tonne.measure.status import FAILED, INTERRUPTED, RECOVERED, STOPPED
from tonne.reconcile.factors import Taken, of_one_model, taken_apart
from tonne.reconcile.quantities import (
    COST,
    ENERGY_COST,
    OF_ENERGY,
    QUANTITIES,
    SERVERS,
    STEPS,
    TOKENS,
    chain_of,
    link_to,
)
from tonne.reconcile.result import ABOVE, BELOW, INSIDE, UNKNOWN, Comparison, Reconciliation
from tonne.reconcile.sides import Side, forecast_side, have_accelerators, measured_side
from tonne.reconcile.spreads import NONE, Spread, less, spread_of, together, with_spread

CUT = (FAILED, INTERRUPTED, RECOVERED, STOPPED)
EDGE = 1e-9  # relative: a value on the edge of an interval is inside
AFTER = "the forecast was made after the run had begun: it foretold nothing, and does not count in the coverage."
OTHER_HARDWARE = "the forecast is of accelerators, and the run had none: it ran on other hardware than was forecast."
ONE_MODEL = (
    "no sensor read the power: the watts on both sides are those of one model, whose errors they share. Their ratio "
    "says how the load differed, not how good the model is."
)
OTHER_COST = "one cost is the rent of accelerators, the other the price of electricity: their ratio is no price's."
WHY = {  # what a figure needs that may be missing
    "carbon.operational_location_kgco2e": "no place was given",
    "carbon.operational_market_kgco2e": "no contract was given",
    "carbon.embodied_kgco2e": "no factor of this hardware is published",
    "water_l": "a water factor is missing",
    "water_on_site_l": "no factor of the site is known",
    "water_off_site_l": "no factor of the grid is known",
    "cost_usd": "no price was given",
    "energy_cost_usd": "no price was given",
    "throughput.step_time_s": "no steps were told",
    "throughput.goodput": "no steps were told",
    "throughput.achieved_peak_fraction": "no FLOP, or no peak, is known",
    "energy.network_kwh": "no switch was read",
    "energy.storage_kwh": "no storage was read",
}


def reconciled(
    forecast: Account,
    measured: Account,
    inputs: Mapping[str, Estimate] | None = None,
    work: Work | None = None,
    stages: Iterable[Stage] = (),
    *,
    after_the_fact: bool = False,
) -> Reconciliation:
    """A forecast against a measurement of the same run.

    Args:
        forecast: What was forecast.
        measured: What was measured.
        inputs: What the forecast was made of, names as in `Forecast.inputs`: tokens, steps, training_flop and pace are
            used; without them fewer factors can be told apart.
        work: What the run says it did: tokens, steps, FLOP.
        stages: Parts of the run's time; the one named "stepping" says what its steps took.
        after_the_fact: Whether the forecast was made when the run had begun.

    Returns:
        A comparison of every quantity that either side knows.
    """
    given = inputs or {}
    accelerators = have_accelerators(forecast, measured)
    expected = forecast_side(forecast, given, accelerators=accelerators)
    seen, notes = measured_side(measured, work or Work(), tuple(stages), expected, accelerators=accelerators)
    compared = [_compared(path, expected, seen, accelerators=accelerators) for path in QUANTITIES]
    known = [one for one in compared if one.forecast is not None or one.measured is not None]
    more = (AFTER,) if after_the_fact else ()
    return Reconciliation(
        comparisons=tuple(known),
        notes=(
            *more,
            *notes,
            *_boundary_notes(forecast, measured),
            *_model_notes(expected, seen),
            *_cost_notes(expected, seen),
        ),
        after_the_fact=after_the_fact,
    )


def reconciled_run(run: Run, *, after_the_fact: bool = False) -> Reconciliation:
    """The forecast that a run carries against what it took.

    Args:
        run: With an account, an end, and the account that was forecast for it.
        after_the_fact: Whether that forecast was made when the run had begun.

    Raises:
        MeasurementError: The run goes on, was not measured, or nobody forecast it; the text says what to do.
    """
    forecast, measured = _both(run)
    found = reconciled(forecast, measured, _inputs_of(run), run.work, run.stages, after_the_fact=after_the_fact)
    return replace(found, notes=(_cut_note(run), *found.notes)) if run.status in CUT else found


def _cut_note(run: Run) -> str:
    """Why the figures of a run that did not finish are below those of the whole."""
    planned = run.forecast_inputs.get("steps")
    made = (
        "" if run.work.steps is None or planned is None else f"it made {run.work.steps} of {planned.value:.0f} steps; "
    )
    return (
        f"the run is {run.status}: {made}the forecast is of all of it. Look at a step, the utilisation, the factors; "
        "the verdicts do not count in the coverage."
    )


def verdicts_of(run: Run, quantities: Iterable[str]) -> dict[str, str]:
    """On which side of its forecast's band each quantity of a run lies; factors are not looked for.

    Left out is what rests on energy that no sensor read, where the forecast rests on the same model: that it agrees
    with itself says nothing of it.

    Raises:
        MeasurementError: As of `reconciled_run`.
    """
    forecast, measured = _both(run)
    accelerators = have_accelerators(forecast, measured)
    expected = forecast_side(forecast, _inputs_of(run), accelerators=accelerators)
    seen, _ = measured_side(measured, run.work, tuple(run.stages), expected, accelerators=accelerators)
    untested = OF_ENERGY if _is_one_model(expected, seen) else ()
    asked = [path for path in quantities if path not in untested]
    pairs = {path: (expected.figures[path], seen.figures[path]) for path in asked}
    return {path: UNKNOWN if a is None or b is None else _verdict(a, b)[0] for path, (a, b) in pairs.items()}


def _both(run: Run) -> tuple[Account, Account]:
    """The account that was forecast for a run, and the measured one.

    Raises:
        MeasurementError: One of them is not there yet, or not at all.
    """
    if run.ended_unix_s is None:
        raise MeasurementError(
            f"the run {run.id} is {run.status} and has no end: what it took is not known yet. Wait for it, or close it "
            f"with `tonne recover {run.id}` where it was cut off."
        )
    if run.account is None or not _something(run.account):
        raise MeasurementError(
            f"the run {run.id} holds nothing that was measured. Name a run that `tonne run` or `tonne train` measured."
        )
    if run.forecast is None:
        raise MeasurementError(
            f"nobody forecast the run {run.id}. Give the forecast or its plan: "
            f"tonne reconcile {run.id} --forecast plan.toml"
        )
    return run.forecast, run.account


def _something(account: Account) -> bool:
    return account.duration_s is not None and account.duration_s.value > 0


def _inputs_of(run: Run) -> dict[str, Estimate]:
    """The inputs of a run's forecast; tokens of its plan where they are not among them."""
    found = dict(run.forecast_inputs)
    data: Any = (run.plan or {}).get("data") or {}
    if "tokens" not in found and data.get("tokens"):
        found["tokens"] = Estimate.exact(float(data["tokens"]))
    return found


def _compared(path: str, expected: Side, seen: Side, *, accelerators: bool) -> Comparison:
    """One quantity."""
    forecast, measured = expected.figures[path], seen.figures[path]
    both = path in expected.levels and path in seen.levels
    taken = _taken(path, expected, seen, accelerators=accelerators) if both else Taken(factors=(), shared=NONE)
    verdict, sure = (UNKNOWN, None) if forecast is None or measured is None else _verdict(forecast, measured)
    return Comparison(
        quantity=path,
        forecast=forecast,
        measured=measured,
        difference=None if forecast is None or measured is None else _difference(forecast, measured, taken.shared),
        ratio=_ratio(forecast, measured, taken) if both and forecast is not None and measured is not None else None,
        verdict=verdict,
        sure=sure,
        why=_why(path, forecast, measured),
        factors=taken.factors,
    )


def _taken(path: str, expected: Side, seen: Side, *, accelerators: bool) -> Taken:
    start = TOKENS if TOKENS in expected.levels and TOKENS in seen.levels else STEPS
    if STEPS not in expected.levels or STEPS not in seen.levels:
        start = TOKENS
    of_energy = path == COST and _is_electricity(expected) and _is_electricity(seen)
    chain = chain_of(path, start, accelerators=accelerators, of_energy=of_energy)
    links = {level: link_to(level, start, of_energy=of_energy) for level in chain}
    return taken_apart(expected, seen, chain, links)


def _is_electricity(side: Side) -> bool:
    """Whether a side's cost is that of its electricity."""
    cost, electricity = side.figures[COST], side.figures[ENERGY_COST]
    return cost is not None and electricity is not None and cost.value == electricity.value


def _ratio(forecast: Estimate, measured: Estimate, taken: Taken) -> Estimate:
    """Measured over forecast; its interval is that of its factors."""
    spread = together(*(spread_of(one.ratio) for one in taken.factors))
    basis = weakest([forecast.basis, measured.basis])
    return with_spread(float(measured.value / forecast.value), spread, basis)


def _difference(forecast: Estimate, measured: Estimate, shared: Spread) -> Estimate:
    """Measured less forecast; what is one number on both sides spreads their difference alone."""
    value = float(measured.value - forecast.value)
    up, down = _reach(measured, shared), _reach(forecast, shared)
    common = [abs(value) * (math.exp(side) - 1.0) for side in (shared.up, shared.down)]
    above, below = common if value >= 0 else (common[1], common[0])
    return Estimate(
        value=value,
        low=value - math.hypot(up[0], down[1], below),
        high=value + math.hypot(up[1], down[0], above),
        basis=weakest([forecast.basis, measured.basis]),
    )


def _reach(estimate: Estimate, shared: Spread) -> tuple[float, float]:
    """How far an interval reaches below and above its value, without what is shared."""
    if estimate.value <= 0:
        return float(estimate.value - estimate.low), float(estimate.high - estimate.value)
    own = less(spread_of(estimate), shared)
    value = float(estimate.value)
    return value * (1.0 - math.exp(-own.down)), value * (math.exp(own.up) - 1.0)


def _verdict(forecast: Estimate, measured: Estimate) -> tuple[str, bool]:
    """On which side of the forecast's interval the measured value lies, and whether its whole interval does."""
    slack = EDGE * max(abs(forecast.low), abs(forecast.high))
    low, high = forecast.low - slack, forecast.high + slack
    if measured.value > high:
        return ABOVE, bool(measured.low > high)
    if measured.value < low:
        return BELOW, bool(measured.high < low)
    return INSIDE, bool(measured.low >= low and measured.high <= high)


def _why(path: str, forecast: Estimate | None, measured: Estimate | None) -> str | None:
    lacking = [who for who, one in (("forecast", forecast), ("measurement", measured)) if one is None]
    if lacking:
        reason = WHY.get(path)
        return f"the {' and the '.join(lacking)} has none" + (f": {reason}" if reason else "")
    nothing = [
        who for who, one in (("forecast", forecast), ("measurement", measured)) if one is not None and one.value <= 0
    ]
    return f"the {' and the '.join(nothing)} is zero: there is no ratio" if nothing else None


def _boundary_notes(forecast: Account, measured: Account) -> tuple[str, ...]:
    """What one side counts and the other leaves out, or has none of."""
    hours = forecast.accelerator_hours, measured.accelerator_hours
    other = (OTHER_HARDWARE,) if _positive(hours[0]) and hours[1] is not None and hours[1].value == 0 else ()
    counted = [
        name
        for name in ("network", "storage")
        if _positive(getattr(forecast.energy, f"{name}_kwh")) and name in measured.energy.left_out
    ]
    if not counted:
        return other
    text = f"the forecast counts {' and '.join(counted)}, the measurement does not: that is a factor of its own."
    return (*other, text)


def _model_notes(expected: Side, seen: Side) -> tuple[str, ...]:
    return (ONE_MODEL,) if _is_one_model(expected, seen) else ()


def _is_one_model(expected: Side, seen: Side) -> bool:
    """Whether the energy of both sides is that of one model."""
    forecast, measured = expected.levels.get(SERVERS), seen.levels.get(SERVERS)
    return forecast is not None and measured is not None and of_one_model(forecast, measured)


def _positive(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value > 0


def _cost_notes(expected: Side, seen: Side) -> tuple[str, ...]:
    known = expected.figures[COST] is not None and seen.figures[COST] is not None
    return (OTHER_COST,) if known and _is_electricity(expected) != _is_electricity(seen) else ()
