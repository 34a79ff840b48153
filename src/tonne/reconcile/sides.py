"""The two sides of a reconciliation: each one's figures, and the numbers that lead from its work to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tonne.account import Account
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Stage, Work
from tonne.ledger.stepping import STEPPING as STAGE
from tonne.ledger.stepping import stepping_s
from tonne.reconcile.quantities import (
    DURATION,
    FLOP,
    FRACTION,
    GOODPUT,
    HELD,
    QUANTITIES,
    SECONDS_PER_HOUR,
    STEP_TIME,
    STEPPING,
    STEPS,
    TOKENS,
)
from tonne.reconcile.spreads import Spread, product, ratio_spread, spread_of, turned, with_spread

TOLD, DERIVED = "told by the run", "steps that the run told"
AS_PLANNED = "the run told its tokens, not its FLOP: those of a token are taken as planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side: its figures by path in the Account, and every number above zero that a chain may pass through."""

    figures: Mapping[str, Estimate | None]
    levels: Mapping[str, Estimate]


def have_accelerators(*accounts: Account) -> bool:
    """Whether all sides say accelerator-hours, so that the chains pass through them."""
    return all(a.accelerator_hours is not None and a.accelerator_hours.value > 0 for a in accounts)


def forecast_side(account: Account, inputs: Mapping[str, Estimate], *, accelerators: bool) -> Side:
    """What was forecast.

    Args:
        account: The forecast.
        inputs: What it was made of, names as in `Forecast.inputs`.
        accelerators: Whether both sides say accelerator-hours.
    """
    figures = _figures(account)
    pace = inputs.get("pace")
    if pace is not None:  # its steps are as fast as the forecast of the duration has them
        figures[FRACTION] = _multiplied(figures[FRACTION], pace)
        figures[STEP_TIME] = _multiplied(figures[STEP_TIME], _reciprocal(pace))
    told = {TOKENS: inputs.get("tokens"), STEPS: inputs.get("steps"), FLOP: inputs.get("training_flop")}
    return _side(figures, told, accelerators=accelerators)


def measured_side(
    account: Account, work: Work, stages: Sequence[Stage], expected: Side, *, accelerators: bool
) -> tuple[Side, tuple[str, ...]]:
    """What was measured, and notes.

    Args:
        account: The measurement.
        work: What the run says it did.
        stages: Of the run's time.
        expected: What was forecast: for the peak, and for FLOP of a token where the run told its tokens alone.
        accelerators: Whether both sides say accelerator-hours.
    """
    figures = _figures(account)
    lasted = account.duration_s
    stepped_s = stepping_s(account, work, stages)
    if figures[GOODPUT] is None and stepped_s is not None and lasted is not None:
        figures[GOODPUT] = Estimate.exact(stepped_s / float(lasted.value), Basis.MEASURED, DERIVED)
    is_staged = any(stage.name == STAGE for stage in stages)  # else the meter's, with what came between steps
    if (figures[STEP_TIME] is None or is_staged) and stepped_s is not None and work.steps:
        figures[STEP_TIME] = Estimate.exact(stepped_s / work.steps, Basis.MEASURED, DERIVED)
    told = {TOKENS: _exact(work.tokens), STEPS: _exact(work.steps), FLOP: _exact(work.training_flop)}
    side = _side(figures, told, accelerators=accelerators)
    if figures[FRACTION] is not None:
        return side, ()
    figures[FRACTION], notes = _fraction(side, expected)
    return _side(figures, told, accelerators=accelerators), notes


def _fraction(seen: Side, expected: Side) -> tuple[Estimate | None, tuple[str, ...]]:
    """Share of the peak, which is that of the forecast: as many times more as FLOP in an hour of stepping."""
    of_forecast = [expected.levels.get(name) for name in (FRACTION, FLOP, STEPPING)]
    flop, stepping = seen.levels.get(FLOP), seen.levels.get(STEPPING)
    notes: tuple[str, ...] = ()
    tokens, planned = seen.levels.get(TOKENS), expected.levels.get(TOKENS)
    fraction, planned_flop, planned_h = of_forecast
    if stepping is None or fraction is None or planned_flop is None or planned_h is None:
        return None, ()
    if flop is None and tokens is not None and planned is not None:
        value = float(tokens.value * planned_flop.value / planned.value)
        flop, notes = Estimate.exact(value, Basis.MODELLED, AS_PLANNED), (f"{AS_PLANNED}.",)
    if flop is None:
        return None, ()
    faster = (flop.value / stepping.value) / (planned_flop.value / planned_h.value)
    return Estimate.exact(float(fraction.value * faster), flop.basis, flop.sources[0]), notes


def _side(figures: Mapping[str, Estimate | None], told: Mapping[str, Estimate | None], *, accelerators: bool) -> Side:
    levels = {name: one for name, one in {**figures, **told}.items() if one is not None and _usable(one)}
    lasted = levels.get(DURATION)
    held = levels.get("accelerator_hours") if accelerators else None
    if not accelerators and lasted is not None:
        held = with_spread(lasted.value / SECONDS_PER_HOUR, spread_of(lasted), lasted.basis, lasted.sources)
    if held is not None:
        levels[HELD] = held
        goodput = levels.get(GOODPUT)
        if goodput is not None:
            levels[STEPPING] = _stepping(held, goodput)
    return Side(figures=figures, levels=levels)


def _stepping(held: Estimate, goodput: Estimate) -> Estimate:
    """Hours of the steps alone, of which the goodput makes all hours: the surer of the two."""
    spread: Spread = ratio_spread(spread_of(held), turned(spread_of(goodput)))
    return with_spread(float(held.value * goodput.value), spread, held.basis, held.sources)


def _usable(estimate: Estimate) -> bool:
    return math.isfinite(estimate.value) and estimate.value > 0


def _figures(account: Account) -> dict[str, Estimate | None]:
    return {path: _at(account, path) for path in QUANTITIES}


def _at(account: Any, path: str) -> Estimate | None:  # noqa: ANN401 - walks nested dataclasses
    for name in path.split("."):
        account = getattr(account, name)
    found: Estimate | None = account
    return found


def _exact(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(float(value), Basis.MEASURED, TOLD)


def _multiplied(estimate: Estimate | None, factor: Estimate) -> Estimate | None:
    return None if estimate is None or estimate.value <= 0 else product(estimate, factor)


def _reciprocal(estimate: Estimate) -> Estimate:
    return with_spread(1.0 / estimate.value, turned(spread_of(estimate)), estimate.basis, estimate.sources)
