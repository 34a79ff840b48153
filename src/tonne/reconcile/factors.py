"""A ratio taken apart: factors whose product it is, each with its interval, none dropped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tonne.estimate import Basis, Estimate, weakest
from tonne.reconcile.quantities import Link
from tonne.reconcile.result import Factor
from tonne.reconcile.sides import Side
from tonne.reconcile.spreads import NONE, Spread, ratio_spread, smaller, spread_of, together, turned, with_spread

SAME = 1e-9  # relative: a number of the place that differs by less is one number on both sides
NOTHING = 1e-12  # of the logarithm of a ratio: no difference to share out


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The factors of a ratio, and the spread of what is the same number on both sides."""

    factors: tuple[Factor, ...]
    shared: Spread


def taken_apart(forecast: Side, measured: Side, chain: Sequence[str], links: Mapping[str, Link]) -> Taken:
    """The factors whose product is the last number of a chain, measured over forecast.

    Equation: m_k / f_k = prod_i (m_i / m_(i-1)) / (f_i / f_(i-1)), with m and f the numbers of the chain that both
    sides know, m_0 = f_0 = 1. A number that one side lacks is left out, and the factors on its two sides are one.

    Args:
        forecast: One side.
        measured: The other; both know the last number.
        chain: Names of numbers, each a multiple of the one before.
        links: What leads to each of them.

    Returns:
        Factors in the order of the chain. The interval of one is that of both sides' ratios in squares; a number of the
        place that is the same on both sides is one number, and spreads nothing; watts that both sides have from one
        model are off together.
    """
    found: list[Factor] = []
    shared: list[Spread] = [NONE]
    waiting: list[str] = []
    last: str | None = None
    for level in chain:
        waiting.append(level)
        if level not in forecast.levels or level not in measured.levels:
            continue
        steps = [_step(side, last, level) for side in (forecast, measured)]
        factor, common = _factor(steps[0], steps[1], [links[name] for name in waiting])
        because = _lacking(forecast, measured, waiting[:-1], links)
        found.append(replace(factor, joined_because=because))
        shared.append(common)
        waiting, last = [], level
    return Taken(factors=_with_shares(found), shared=together(*shared))


def _step(side: Side, last: str | None, level: str) -> Estimate:
    """What leads from one number of a side to the next; the number itself at the beginning."""
    upper = side.levels[level]
    if last is None:
        return upper
    lower = side.levels[last]
    spread = ratio_spread(spread_of(upper), spread_of(lower))
    return with_spread(upper.value / lower.value, spread, weakest([upper.basis, lower.basis]), upper.sources)


def _factor(forecast: Estimate, measured: Estimate, links: Sequence[Link]) -> tuple[Factor, Spread]:
    """One factor, and the spread that both sides share."""
    ratio = float(measured.value / forecast.value)
    spread, common = _spreads(forecast, measured, links)
    alone = links[0] if len(links) == 1 else None
    factor = Factor(
        names=tuple(link.name for link in links),
        ratio=with_spread(ratio, spread, weakest([forecast.basis, measured.basis])),
        forecast=None if alone is None else _shown(forecast, alone),
        measured=None if alone is None else _shown(measured, alone),
    )
    return factor, common


def _spreads(forecast: Estimate, measured: Estimate, links: Sequence[Link]) -> tuple[Spread, Spread]:
    """The spread of a factor, and the one that both sides have in common."""
    before, after = spread_of(forecast), spread_of(measured)
    if all(link.place for link in links) and abs(measured.value / forecast.value - 1.0) < SAME:
        return NONE, before
    if all(link.watts for link in links) and of_one_model(forecast, measured):
        return ratio_spread(after, before), smaller(after, before)
    return together(after, turned(before)), NONE


def of_one_model(forecast: Estimate, measured: Estimate) -> bool:
    """Whether a measurement is that of a model which the forecast rests on too: what it is off, both are."""
    modelled = measured.basis in {Basis.MODELLED, Basis.ASSUMED}
    return modelled and bool(measured.sources) and set(measured.sources) <= set(forecast.sources)


def _shown(step: Estimate, link: Link) -> Estimate:
    """The number that a link is named after, in its unit."""
    if not link.turned:
        return with_spread(step.value * link.scale, spread_of(step), step.basis, step.sources)
    return with_spread(1.0 / (step.value * link.scale), turned(spread_of(step)), step.basis, step.sources)


def _lacking(forecast: Side, measured: Side, names: Iterable[str], links: Mapping[str, Link]) -> str | None:
    """Which numbers in between are not known, and to whom."""
    lacks = []
    for name in names:
        of = [who for who, side in (("forecast", forecast), ("measurement", measured)) if name not in side.levels]
        lacks.append(f"the {' and the '.join(of)} {'does' if len(of) == 1 else 'do'} not say {_word(name, links)}")
    return "; ".join(lacks) or None


def _word(name: str, links: Mapping[str, Link]) -> str:
    return {"stepping_h": "its stepping time", "held_h": "its hours", "flop": "its FLOP"}.get(name, name)


def _with_shares(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """The factors with their shares of the logarithm of the whole."""
    logs = [math.log(one.ratio.value) for one in factors]
    whole = math.fsum(logs)
    if abs(whole) < NOTHING:
        return tuple(factors)
    return tuple(replace(one, share=log / whole) for one, log in zip(factors, logs, strict=True))
