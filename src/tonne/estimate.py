"""A number with its interval, basis and sources, and how intervals pass through equations.

Intervals are 90 % (5th to 95th percentile). A factor is log-normal with a spread of its own to either side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Number = Any  # a float for one plan, a NumPy array for many

BISECTIONS = 60  # to the last bits of a float
Z_90 = 1.6448536269514722  # 95th percentile of the standard normal distribution


class Basis(StrEnum):
    """What a number rests on, best first; a result is as good as its weakest input."""

    MEASURED = "measured"
    PUBLISHED = "published"
    MODELLED = "modelled"
    ASSUMED = "assumed"


_ORDER = list(Basis)


def weakest(bases: Iterable[Basis]) -> Basis:
    """The weakest of some bases; measured where there is none."""
    return max(bases, key=_ORDER.index, default=Basis.MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 90 % interval, basis and sources. Arrays are allowed in place of the three numbers."""

    value: Number
    low: Number
    high: Number
    basis: Basis
    sources: tuple[str, ...] = ()

    @classmethod
    def exact(cls, value: Number, basis: Basis = Basis.MEASURED, source: str = "given by the user") -> Estimate:
        """A number without spread, such as one that the user gives."""
        return cls(value=value, low=value, high=value, basis=basis, sources=(source,))

    @property
    def is_exact(self) -> bool:
        """Whether the interval has no width (anywhere, for arrays)."""
        spread = self.high - self.low
        return bool(spread == 0) if isinstance(spread, int | float) else not bool(spread.any())


def scaled(estimate: Estimate, factor: Number) -> Estimate:
    """An estimate times an exact positive number."""
    return Estimate(
        value=estimate.value * factor,
        low=estimate.low * factor,
        high=estimate.high * factor,
        basis=estimate.basis,
        sources=estimate.sources,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagated:
    """Outputs of `propagate`, and the share of each one's log-variance that each input brings."""

    outputs: dict[str, Estimate | None]
    shares: dict[str, dict[str, float]]


def propagate(
    function: Callable[[Mapping[str, Number]], Mapping[str, Number | None]],
    inputs: Mapping[str, Estimate],
    *,
    drivers: Mapping[str, Iterable[str]] | None = None,
) -> Propagated:
    """Outputs of an equation over uncertain inputs, shared inputs shared.

    Equation: ln(high/value)^2 = sum_i max(ln(f(x_i+)/f), ln(f(x_i-)/f), 0)^2, and the same downwards for low;
    x_i+ and x_i- are the 95th and 5th percentile of input i, the others at their value. For a product of
    log-normal factors this is exact; for sums it is the first-order (delta) result with finite steps.

    Args:
        function: From the inputs by name to the outputs by name; None where an output is unknown.
        inputs: The uncertain inputs by name.
        drivers: Inputs that an output rests on, by output, for its basis and sources; all inputs where left out.

    Returns:
        Outputs with intervals, and the variance shares (floats only; empty for arrays).

    Valid for: independent inputs; an input used in several places is one input.
    Source: tonne, method page on uncertainty.
    """
    centre_inputs = {name: e.value for name, e in inputs.items()}
    centre = function(centre_inputs)
    known = [name for name, value in centre.items() if value is not None]
    up: dict[str, Any] = dict.fromkeys(known, 0.0)
    down: dict[str, Any] = dict.fromkeys(known, 0.0)
    by_input: dict[str, dict[str, float]] = {name: {} for name in known}
    for name, estimate in inputs.items():
        if estimate.is_exact:
            continue
        above = function({**centre_inputs, name: estimate.high})
        below = function({**centre_inputs, name: estimate.low})
        for output in known:
            rise, fall = _steps(centre[output], above[output], below[output])
            up[output] = up[output] + rise * rise
            down[output] = down[output] + fall * fall
            if isinstance(rise, float):
                by_input[output][name] = rise * rise + fall * fall
    outputs: dict[str, Estimate | None] = dict.fromkeys(centre)
    for output in known:
        names = [n for n in (drivers or {}).get(output, inputs) if n in inputs]
        outputs[output] = _interval(centre[output], down[output], up[output], [inputs[n] for n in names])
    shares = {output: _normalised(parts) for output, parts in by_input.items()}
    return Propagated(outputs=outputs, shares=shares)


def _normalised(parts: dict[str, float]) -> dict[str, float]:
    whole = sum(parts.values())
    return {name: part / whole for name, part in sorted(parts.items(), key=lambda p: -p[1]) if part > 0}


def _steps(centre: Number, above: Number, below: Number) -> tuple[Number, Number]:
    """Log steps upwards and downwards that one input causes; relative to zero, the plain difference."""
    if isinstance(centre, int | float):
        if centre == 0 or above <= 0 or below <= 0:
            a, b = float(above - centre), float(below - centre)
        else:
            a, b = math.log(above / centre), math.log(below / centre)
        return max(a, b, 0.0), -min(a, b, 0.0)
    import numpy as np

    zero = (centre == 0) | (above <= 0) | (below <= 0)
    safe = np.where(zero, 1.0, centre)
    log_above = np.where(zero, above - centre, np.log(np.where(zero, 1.0, above) / safe))
    log_below = np.where(zero, below - centre, np.log(np.where(zero, 1.0, below) / safe))
    return np.maximum(np.maximum(log_above, log_below), 0.0), -np.minimum(np.minimum(log_above, log_below), 0.0)


def _interval(centre: Number, down: Number, up: Number, inputs: list[Estimate]) -> Estimate:
    basis = weakest(e.basis for e in inputs)
    sources = tuple(dict.fromkeys(s for e in inputs for s in e.sources))
    if isinstance(centre, int | float):
        if centre == 0:
            low, high = -math.sqrt(down), math.sqrt(up)
        else:
            low, high = centre * math.exp(-math.sqrt(down)), centre * math.exp(math.sqrt(up))
        return Estimate(value=centre, low=low, high=high, basis=basis, sources=sources)
    import numpy as np

    rise, fall = np.sqrt(up), np.sqrt(down)
    low = np.where(centre == 0, -fall, centre * np.exp(-fall))
    high = np.where(centre == 0, rise, centre * np.exp(rise))
    return Estimate(value=centre, low=low, high=high, basis=basis, sources=sources)


def binomial_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper-Pearson) interval of a share seen as hits of trials.

    Equation: P(X >= hits | low) = P(X <= hits | high) = (1 - confidence) / 2.

    Args:
        hits: Successes.
        trials: Attempts.
        confidence: Two-sided.

    Returns:
        Lower and upper end.
    """
    tail = (1.0 - confidence) / 2.0
    ways = [math.comb(trials, k) for k in range(hits + 1)]
    low = 0.0 if hits == 0 else _root(lambda p: 1.0 - _at_most(ways[:-1], trials, p) - tail)
    high = 1.0 if hits == trials else _root(lambda p: tail - _at_most(ways, trials, p))
    return low, high


def _at_most(ways: Sequence[int], trials: int, share: float) -> float:
    return math.fsum(n * share**k * (1.0 - share) ** (trials - k) for k, n in enumerate(ways))


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < 0.0 else (low, middle)
    return (low + high) / 2.0
