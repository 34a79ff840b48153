"""Software Carbon Intensity of training: operational plus embodied emissions for each functional unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonne.estimate import Estimate, scaled
from tonne.ledger.lenses.compute import training_flop
from tonne.ledger.lenses.totals import sum_of
from tonne.ledger.lenses.view import MADE_THE_MODEL, View
from tonne.ledger.records import Run
from tonne.units import GRAMS_PER_KILOGRAM

PER_FLOP, PER_TOKENS, PER_PARAMETERS = 1e15, 1e6, 1e9  # so many make one unit: a gram is far more than a FLOP's share


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """SCI = (O + M) / R [g CO2e a unit], with its two parts; ``units`` is R. What is unknown is None, and ``why``."""

    unit: str
    units: float | None
    score_gco2e: Estimate | None
    operational_gco2e: Estimate | None
    embodied_gco2e: Estimate | None
    why: str = ""


def scores(seen: View, runs: Sequence[Run]) -> tuple[Score, ...]:
    """Scores a training run, a 10^15 FLOP, a million tokens and a billion parameters of what made the model.

    Equation: SCI = (O + M) per R, O = E I, M = T E (TiR / EL) (RR / ToR).

    Args:
        seen: The runs through the lens `sci` or `sci-ai`.
        runs: These runs. R is effective: FLOP and tokens of the runs that made the model, where any is tagged so,
            though the emissions of all others are counted.

    Source: isoiec21031, the equation; gsf2026sciai, functional units of the provider.
    """
    counted = [run for run in runs if run.id in seen.counted]
    made = [run for run in counted if run.purpose in MADE_THE_MODEL] or counted
    flop = _whole([_value(training_flop(run)) for run in made])
    tokens = _whole([run.work.tokens for run in made])
    parameters = max((run.work.parameters or 0 for run in made), default=0) or None
    return (
        _score(seen, "trained model", 1.0, ""),
        _score(seen, "10^15 FLOP of training", _over(flop, PER_FLOP), "its training compute is unknown"),
        _score(seen, "million training tokens", _over(tokens, PER_TOKENS), "its training tokens are unknown"),
        _score(seen, "billion parameters", _over(parameters, PER_PARAMETERS), "its parameters are unknown"),
    )


def _score(seen: View, unit: str, units: float | None, why: str) -> Score:
    operational, embodied = (seen.totals[name].value for name in ("operational_location_kgco2e", "embodied_kgco2e"))
    if not units:
        return Score(unit=unit, units=None, score_gco2e=None, operational_gco2e=None, embodied_gco2e=None, why=why)
    per = GRAMS_PER_KILOGRAM / units
    both = None if operational is None or embodied is None else scaled(sum_of([operational, embodied]), per)
    missing = [text for part, text in ((operational, "O, the operational part, is unknown"),
               (embodied, "M, the embodied part, is unknown and may not be left out")) if part is None]  # fmt: skip
    return Score(
        unit=unit,
        units=units,
        score_gco2e=both,
        operational_gco2e=None if operational is None else scaled(operational, per),
        embodied_gco2e=None if embodied is None else scaled(embodied, per),
        why="; ".join(missing),
    )


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else float(estimate.value)


def _whole(parts: Sequence[float | None]) -> float | None:
    """The sum; None where a part is unknown, or there is none."""
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def _over(number: float | None, size: float) -> float | None:
    return None if number is None else number / size
