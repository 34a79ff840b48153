"""Coefficients of serving, fitted on published measurements of inference.

Few coefficients, each with a meaning and bounds, and the same for all chips, models and engines: what these do
otherwise is the spread. Every source weighs by the root of its rows, so that a long table does not decide alone.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tonne.errors import TonneError
from tonne.forecasting.served_runs import ServedRun, forecast_s, forecast_w, measured_w, prefill_share, served_run
from tonne.reference.inference_runs import InferenceRun, inference_runs
from tonne.reference.table import DATA_VERSION

Values = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A coefficient before a row was seen: value, log-spread, and the bounds of what is possible."""

    value: float
    spread: float
    least: float
    most: float


PRIORS = {
    "prefill_peak_fraction": Prior(value=0.5, spread=0.3, least=0.1, most=0.9),
    "bandwidth_fraction": Prior(value=0.7, spread=0.2, least=0.3, most=0.95),
    "experts_fraction": Prior(value=0.7, spread=0.3, least=0.2, most=1.0),
    "link_fraction": Prior(value=0.6, spread=0.4, least=0.1, most=0.95),
    "layer_s": Prior(value=40e-6, spread=0.7, least=5e-6, most=300e-6),
    "latency_s": Prior(value=20e-6, spread=0.7, least=2e-6, most=200e-6),
}
POWER_PRIORS = {
    "memory_activity": Prior(value=0.6, spread=0.3, least=0.2, most=1.0),
    "resting_activity": Prior(value=0.3, spread=0.5, least=0.02, most=1.0),
}
FACTORS = ("prefill_time_factor", "decode_time_factor")  # by what takes most of a row's time
NEUTRAL = {"prefill_time_factor": 1.0, "decode_time_factor": 1.0}
NOISE = 0.35  # log-error of a row that says little about the coefficients
HUBER = 0.4  # log-error beyond which a row pulls with constant force
ROUNDS, STEPS = 6, (1.3, 1.1, 1.03, 1.01)
TAIL = 0.05
COLUMNS = ("quantity", "left_out", "value", "low", "high", "n", "n_sources", "basis", "version", "source")
EXACT = 4  # significant digits
# 95th percentile of Student's t over that of the normal distribution, by sources less one
STUDENT = (3.84, 1.78, 1.43, 1.30, 1.23, 1.18, 1.15)


def gate_runs(runs: Iterable[InferenceRun] | None = None) -> list[ServedRun]:
    """Rows of the gate that can be forecast and that tell a time."""
    found = []
    for run in inference_runs() if runs is None else runs:
        if run.gate != "use":
            continue
        try:
            served = served_run(run)
        except TonneError:
            continue  # the validation says why
        if served.measured_s is not None:
            found.append(served)
    return found


def fitted_times(rows: Sequence[ServedRun]) -> Values:
    """Shares of peak, bandwidth and link, and overheads, at the least weighted loss.

    Equation: min over q of sum_i w_i h(ln(t_i(q) / T_i)) + sum_k (ln(q_k / p_k) / s_k)^2, with t, T = time forecast
    and measured, h = Huber's loss at 0.4 over 0.35^2, w = 1 / sqrt(rows of the source), p, s = prior, log-spread.
    """
    counts = Counter(row.run.source for row in rows)
    weights = [1.0 / math.sqrt(counts[row.run.source]) for row in rows]

    def loss(values: Values) -> float:
        errors = (math.log(forecast_s(row, NEUTRAL | values) / (row.measured_s or 1.0)) for row in rows)
        return math.fsum(w * _huber(e) for w, e in zip(weights, errors, strict=True)) + _prior_loss(values, PRIORS)

    return _descended(loss, PRIORS)


def fitted_power(rows: Sequence[ServedRun], times: Values) -> Values:
    """Activities of a decode step, from watts of accelerators: energy a token times tokens a second."""
    metered = [(row, watts) for row in rows if (watts := measured_w(row)) is not None]

    def loss(values: Values) -> float:
        every = NEUTRAL | times | values
        errors = (math.log(forecast_w(row, every) / watts) for row, watts in metered)
        return math.fsum(_huber(e) for e in errors) / math.sqrt(max(len(metered), 1)) + _prior_loss(
            values, POWER_PRIORS
        )

    return _descended(loss, POWER_PRIORS)


def quantiles(errors: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Median, 5th and 95th percentile of (value, weight) pairs."""
    ordered = sorted(errors)
    whole = math.fsum(weight for _, weight in ordered)

    def at(share: float) -> float:
        passed = 0.0
        for value, weight in ordered:
            passed += weight
            if passed >= share * whole:
                return value
        return ordered[-1][0]

    return at(0.5), at(TAIL), at(1.0 - TAIL)


def table_rows() -> list[dict[str, str]]:
    """The whole table: all rows fitted, and for each source the fit without it.

    The spread of a fit comes from rows whose source was left out as well, so that no row judges itself: for the fit
    without one source, from fits without two.
    """
    rows = gate_runs()
    sources = sorted({row.run.source for row in rows})
    times: dict[frozenset[str], Values] = {}
    for number in range(3):
        for some in itertools.combinations(sources, number):
            times[frozenset(some)] = fitted_times([row for row in rows if row.run.source not in some])
    lines = []
    for left_out in ("", *sources):
        gone = frozenset({left_out} - {""})
        kept = [row for row in rows if row.run.source not in gone]
        without = {source: times[gone | {source}] for source in sources if source not in gone}
        spreads = {name: _spread(kept, without, name) for name in FACTORS}
        values = times[gone] | fitted_power(kept, times[gone])
        metered = sum(measured_w(row) is not None for row in kept)
        lines += _lines(values, spreads, left_out, kept, metered)
    return lines


def write_inference_table(path: Path) -> int:
    """Write the table; the number of its rows."""
    lines = table_rows()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return len(lines)


def widening(sources: int) -> float:
    """How much wider in logs the interval of a new source is than the scatter of a few known ones.

    Equation: z = t_95(k - 1) / 1.645 sqrt(1 + 1 / k), with k = sources.
    """
    degrees = min(max(sources - 1, 1), len(STUDENT))
    return STUDENT[degrees - 1] * math.sqrt(1.0 + 1.0 / sources)


def _spread(
    rows: Sequence[ServedRun], without: Mapping[str, Values], factor: str
) -> tuple[tuple[float, float, float], int, int]:
    """Measured over forecast time where the row's source was left out: median and 90 % interval, rows, sources."""
    chosen = [row for row in rows if _factor_of(row, without[row.run.source]) == factor]
    counts = Counter(row.run.source for row in chosen)
    ratios = [
        (
            (row.measured_s or 1.0) / forecast_s(row, NEUTRAL | without[row.run.source]),
            1.0 / math.sqrt(counts[row.run.source]),
        )
        for row in chosen
    ]
    value, low, high = quantiles(ratios)
    wider = widening(len(counts))
    return (value, value * (low / value) ** wider, value * (high / value) ** wider), len(chosen), len(counts)


def _factor_of(row: ServedRun, values: Values) -> str:
    prompts = prefill_share(row, NEUTRAL | values) >= 0.5
    return FACTORS[0] if prompts else FACTORS[1]


def _lines(
    values: Values,
    spreads: Mapping[str, tuple[tuple[float, float, float], int, int]],
    left_out: str,
    rows: Sequence[ServedRun],
    metered: int,
) -> list[dict[str, str]]:
    sources = len({row.run.source for row in rows})
    lines = []
    for name, value in values.items():
        if name in PRIORS:
            lines.append(_line(name, left_out, (value, value, value), (len(rows), sources)))
        else:
            low, high = POWER_SPREAD[name]
            interval = (value, max(value * low, 0.0), min(value * high, 1.0))
            lines.append(_line(name, left_out, interval, (metered, int(metered > 0))))
    for name, (quantile, n, n_sources) in spreads.items():
        lines.append(_line(name, left_out, quantile, (n, n_sources)))
    return lines


# One source of metered decoding of today; its forerunner of 2024, with an engine that let the cards wait, drew half.
POWER_SPREAD = {"memory_activity": (0.5, 1.35), "resting_activity": (0.4, 2.5)}


def _line(name: str, left_out: str, interval: tuple[float, float, float], n: tuple[int, int]) -> dict[str, str]:
    value, low, high = (f"{number:.{EXACT}g}" for number in interval)
    return {
        "quantity": name,
        "left_out": left_out,
        "value": value,
        "low": low,
        "high": high,
        "n": str(n[0]),
        "n_sources": str(n[1]),
        "basis": "modelled" if n[0] else "assumed",
        "version": DATA_VERSION,
        "source": "tonne.calibrate: inference_runs.csv" if n[0] else "tonne: prior",
    }


def _huber(error: float) -> float:
    size = abs(error)
    loss = size * size if size <= HUBER else HUBER * (2 * size - HUBER)
    return loss / NOISE**2


def _prior_loss(values: Mapping[str, float], priors: Mapping[str, Prior]) -> float:
    return math.fsum((math.log(values[name] / prior.value) / prior.spread) ** 2 for name, prior in priors.items())


def _descended(loss: Callable[[Values], float], priors: Mapping[str, Prior]) -> Values:
    """The values at the least loss, one at a time and in ever smaller steps."""
    values = {name: prior.value for name, prior in priors.items()}
    least = loss(values)
    for step in STEPS:
        for _ in range(ROUNDS):
            before = least
            for name, prior in priors.items():
                for factor in (step, 1.0 / step):
                    tried = values | {name: min(max(values[name] * factor, prior.least), prior.most)}
                    found = loss(tried)
                    if found < least:
                        values, least = tried, found
            if least == before:
                break
    return values
