"""Forecasts and runs beside each other: differences with intervals of their own, in which what is shared cancels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate, propagate
from tonne.forecasting import Forecast
from tonne.forecasting.single import dependencies
from tonne.impact.results import Values
from tonne.ledger.records import Run
from tonne.planning.pairing import Joined, joined
from tonne.planning.scenario import QUANTITIES, Scenario, scenario_of

MOST = 5
LETTERS = "ABCDE"
RENT = "usd_per_accelerator_hour"
ROUNDING = 1e-9  # relative; what cancels leaves this much in floating point


class Verdict(StrEnum):
    """Whether the 90 % interval of the ratio leaves no doubt."""

    LESS = "less"
    MORE = "more"
    SAME = "the same"
    UNCLEAR = "not distinguishable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A quantity of a later side beside that of the first: later minus first, and later over first.

    ``shares``: what brings the spread of the ratio, as shares of its log-variance. ``ratio`` is None where a side is
    zero.
    """

    difference: Estimate
    ratio: Estimate | None
    verdict: Verdict
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A later side beside the first: differences by quantity (None where a side is unknown), and what cancels."""

    differences: Mapping[str, Difference | None]
    shared: tuple[str, ...]
    partly: tuple[str, ...]
    apart: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two to five sides; ``pairs`` holds one for each after the first."""

    scenarios: tuple[Scenario, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compare(*sides: Scenario | Forecast | TrainingPlan | Run) -> Comparison:
    """What later sides take beside the first: paired differences, each with its own 90 % interval.

    Args:
        sides: Two to five forecasts, plans or runs of the ledger, in any mixture.

    Returns:
        The sides, and for each after the first its differences and ratios. What both rest on (a grid, a PUE, the power
        model of a board) is one input, and cancels; where the interval of a ratio spans one, the two are not
        distinguishable.

    Raises:
        DescriptionError: There are fewer than two or more than five, or one cannot be compared.
    """
    if not 2 <= len(sides) <= MOST:
        raise DescriptionError(
            f"{len(sides)} of them cannot be compared. Give two to {MOST}; the first is the measure."
        )
    scenarios = tuple(scenario_of(side) for side in sides)
    pairs = tuple(_pair(scenarios, later) for later in range(1, len(scenarios)))
    return Comparison(scenarios=scenarios, pairs=pairs, notes=tuple(_notes(scenarios)))


def _pair(scenarios: Sequence[Scenario], later: int) -> Pair:
    a, b = scenarios[0], scenarios[later]
    both = joined(a, b, (LETTERS[0], LETTERS[later]))

    def ratios(x: Mapping[str, float]) -> Values:
        first, second = a.equations(both.first(x)), b.equations(both.second(x))
        return {path: _ratio(first.get(path), second.get(path)) for path in QUANTITIES}

    found = propagate(ratios, both.inputs, drivers=dependencies(ratios, both.inputs))
    spread = difference_intervals(a, b, both)
    differences = {
        path: None
        if path not in spread
        else _difference(spread[path], _tidied(found.outputs[path]), found.shares.get(path, {}))
        for path in QUANTITIES
    }
    return Pair(differences=differences, shared=both.shared, partly=both.partly, apart=both.apart)


def _ratio(first: float | None, second: float | None) -> float | None:
    return None if not first or not second else second / first


def _tidied(ratio: Estimate | None) -> Estimate | None:
    """A ratio whose spread is rounding alone, without it; one that is one but for rounding is one."""
    if ratio is None or ratio.high - ratio.low > ROUNDING * ratio.value:
        return ratio
    value = 1.0 if abs(ratio.value - 1.0) <= ROUNDING else ratio.value
    return replace(ratio, value=value, low=value, high=value)


def difference_intervals(a: Scenario, b: Scenario, both: Joined) -> dict[str, tuple[float, float, float]]:
    """Value and interval of second minus first, by quantity; unknown ones are left out.

    Equation: high - d = sqrt(sum_i max(d(x_i+) - d, d(x_i-) - d, 0)^2), and the same downwards for low; d = b - a with
    all inputs at their values, x_i+ and x_i- the 95th and 5th percentile of input i, the others at their value.

    Source: tonne
    """

    def differences(x: Mapping[str, float]) -> dict[str, float]:
        first, second = a.equations(both.first(x)), b.equations(both.second(x))
        pairs = {path: (first.get(path), second.get(path)) for path in QUANTITIES}
        return {path: two - one for path, (one, two) in pairs.items() if one is not None and two is not None}

    centre_inputs = {name: estimate.value for name, estimate in both.inputs.items()}
    centre = differences(centre_inputs)
    up, down = dict.fromkeys(centre, 0.0), dict.fromkeys(centre, 0.0)
    for name, estimate in both.inputs.items():
        if estimate.is_exact:
            continue
        moved = [differences({**centre_inputs, name: bound}) for bound in (estimate.low, estimate.high)]
        for path, value in centre.items():
            steps = [one[path] - value for one in moved]
            up[path] += max(*steps, 0.0) ** 2
            down[path] += min(*steps, 0.0) ** 2
    return {path: (value, value - math.sqrt(down[path]), value + math.sqrt(up[path])) for path, value in centre.items()}


def _difference(spread: tuple[float, float, float], ratio: Estimate | None, shares: Mapping[str, float]) -> Difference:
    """The difference; the ratio says whether its sign is certain, and its interval keeps to that."""
    value, low, high = spread
    if ratio is not None and ratio.is_exact:
        shares = {}
    verdict = _verdict(*((0.0, spread) if ratio is None else (1.0, (ratio.value, ratio.low, ratio.high))))
    if verdict == Verdict.MORE:
        low = max(low, 0.0)
    elif verdict == Verdict.LESS:
        high = min(high, 0.0)
    elif verdict == Verdict.UNCLEAR:
        low, high = min(low, 0.0), max(high, 0.0)
    else:
        value = low = high = 0.0
    basis, sources = (Basis.MEASURED, ()) if ratio is None else (ratio.basis, ratio.sources)
    difference = Estimate(value=value, low=low, high=high, basis=basis, sources=sources)
    return Difference(difference=difference, ratio=ratio, verdict=verdict, shares=dict(shares))


def _verdict(even: float, estimate: tuple[float, float, float]) -> Verdict:
    value, low, high = estimate
    if low == high == value == even:
        return Verdict.SAME
    if low > even:
        return Verdict.MORE
    return Verdict.LESS if high < even else Verdict.UNCLEAR


def _notes(scenarios: Sequence[Scenario]) -> list[str]:
    """What makes two sides differ that is none of theirs: other bounds, other money, other tables."""
    notes = []
    places = {side.traits.place for side in scenarios}
    if len(places) > 1 and any(_guessed(side, "pue") for side in scenarios):
        notes.append("a PUE that nobody gave is not the same one at two places: give --pue to compare in one building.")
    for label, of in (("leaves out", _left_out), ("has as its cost", _money), ("rests on the tables of", _tables)):
        said = [of(side) for side in scenarios]
        if len(set(said)) > 1:
            each = "; ".join(f"{letter} {label} {what}" for letter, what in zip(LETTERS, said, strict=False))
            notes.append(f"not the same on all sides: {each}.")
    return notes


def _guessed(side: Scenario, name: str) -> bool:
    return name in side.inputs and side.inputs[name].basis == Basis.ASSUMED


def _left_out(side: Scenario) -> str:
    parts = [part for part in side.account.energy.left_out if "(" not in part]  # the project around it is no part of it
    return ", ".join(sorted(part.removesuffix("_kwh").replace("_", " ") for part in parts)) or "nothing"


def _money(side: Scenario) -> str:
    if side.account.cost_usd is None:
        return "nothing that is known"
    return "the rent of accelerators" if RENT in side.inputs else "electricity"


def _tables(side: Scenario) -> str:
    return side.account.data_version
