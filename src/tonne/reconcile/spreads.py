"""Half-widths of intervals in logarithms, to either side, and how they pass through ratios."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tonne.estimate import Basis, Estimate, weakest

ROUNDING = 1e-12  # in squares of logarithms: two half-widths that differ by less are one
WIDEST = 30.0  # in logarithms, where an interval reaches down to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Half-widths of a 90 % interval in logarithms: ln(value/low) and ln(high/value)."""

    down: float
    up: float


NONE = Spread(down=0.0, up=0.0)


def spread_of(estimate: Estimate) -> Spread:
    """Half-widths of an estimate above zero."""
    low = math.log(estimate.value / estimate.low) if estimate.low > 0 else WIDEST
    return Spread(down=max(min(low, WIDEST), 0.0), up=max(math.log(estimate.high / estimate.value), 0.0))


def ratio_spread(upper: Spread, lower: Spread) -> Spread:
    """Half-widths of what the lower number is multiplied by to give the upper one, on the same side.

    Equation: s^2 = |s_b^2 - s_a^2|, with b = a r, s the half-width in logarithms of each: what r adds to a, or, where b
    is the surer number, what r adds to b.
    """
    return Spread(down=_root(upper.down**2 - lower.down**2), up=_root(upper.up**2 - lower.up**2))


def _root(difference: float) -> float:
    return math.sqrt(abs(difference)) if abs(difference) > ROUNDING else 0.0


def together(*spreads: Spread) -> Spread:
    """Half-widths of a product of independent factors."""
    return Spread(down=math.hypot(*(s.down for s in spreads)), up=math.hypot(*(s.up for s in spreads)))


def turned(spread: Spread) -> Spread:
    """Half-widths of the reciprocal."""
    return Spread(down=spread.up, up=spread.down)


def smaller(a: Spread, b: Spread) -> Spread:
    """The smaller half-width on each side."""
    return Spread(down=min(a.down, b.down), up=min(a.up, b.up))


def less(spread: Spread, shared: Spread) -> Spread:
    """Half-widths without a shared factor."""
    return Spread(
        down=math.sqrt(max(spread.down**2 - shared.down**2, 0.0)),
        up=math.sqrt(max(spread.up**2 - shared.up**2, 0.0)),
    )


def with_spread(value: float, spread: Spread, basis: Basis, sources: tuple[str, ...] = ()) -> Estimate:
    """A number with its interval."""
    return Estimate(
        value=value,
        low=value * math.exp(-spread.down),
        high=value * math.exp(spread.up),
        basis=basis,
        sources=sources,
    )


def product(a: Estimate, b: Estimate) -> Estimate:
    """Two independent numbers above zero, multiplied."""
    return with_spread(
        a.value * b.value,
        together(spread_of(a), spread_of(b)),
        weakest([a.basis, b.basis]),
        tuple(dict.fromkeys(a.sources + b.sources)),
    )
