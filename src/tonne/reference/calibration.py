"""Fitted coefficients: the share of its peak that a chip reaches while stepping, and goodput. Two inputs, never one.

The table `calibration.csv` is written by `python -m tonne.calibrate`. A row that no fit has is never invented here:
an accelerator whose family has no rows takes the pooled ones, which are wider and `assumed`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from tonne.errors import UnknownReferenceError
from tonne.estimate import Z_90, Basis, Estimate

POOLED = "*"
STEP, GOODPUT = "achieved_peak_fraction", "goodput"
KINDS = ("dense-decoder", "moe", "encoder", "encoder-decoder")
PRECISION_CLASS = {"fp32": "32-bit", "tf32": "32-bit", "fp16": "16-bit", "bf16": "16-bit", "fp8": "fp8", "fp4": "fp4"}
# The longest part that an id contains decides; the A800 and H800 are an A100 and an H100 with a slower link.
_FAMILY_OF_PART = {
    "k80": "Kepler", "p100": "P100", "v100": "V100", "a100": "A100", "a800": "A100", "a30": "A100",
    "h100": "H100", "h800": "H100", "h200": "H100", "gh200": "H100",
    "b100": "Blackwell", "b200": "Blackwell", "b300": "Blackwell", "gb200": "Blackwell", "gb300": "Blackwell",
    "tpu-v2": "TPU v2", "tpu-v3": "TPU v3", "tpu-v4": "TPU v4", "tpu-v4i": "TPU v4i", "tpu-v5e": "TPU v5e",
    "tpu-v5p": "TPU v5p", "tpu-v6e": "TPU v6e", "tpu-v7": "TPU v7",
    "gaudi1": "Gaudi 1", "gaudi2": "Gaudi 2", "gaudi3": "Gaudi 3",
    "mi250": "MI200", "mi250x": "MI200", "mi210": "MI200", "mi300x": "MI300", "mi325x": "MI300", "mi300a": "MI300",
}  # fmt: skip
MAXIMUM_GOODPUT = 1.0
SHRINKAGE_ROWS = 4.0  # rows at which a family counts as much as the pool; between 2 and 8 nothing moves by 3 %
LEAST_LOG_SPREAD = 0.05  # no run is planned more exactly than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """One row of the calibration table."""

    quantity: str
    family: str
    precision: str
    kind: str
    estimate: Estimate
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Fitted coefficients, looked up by accelerator, precision and kind of model."""

    coefficients: Mapping[tuple[str, str, str, str], Coefficient]

    @classmethod
    def of(cls, coefficients: Iterable[Coefficient]) -> Calibration:
        """A calibration made of some rows; a later row replaces an earlier one of the same key."""
        return cls(coefficients={(c.quantity, c.family, c.precision, c.kind): c for c in coefficients})

    def achieved_peak_fraction(self, accelerator_id: str, precision: str, kind: str) -> Estimate:
        """Model FLOP per second while stepping, over the dense peak of the precision.

        Args:
            accelerator_id: Id of the accelerator table, e.g. "nvidia-h100-sxm5-80gb".
            precision: As in a plan; of a chip without a known fp8 peak, the fraction is of its bf16 peak.
            kind: "dense-decoder", "moe", "encoder" or "encoder-decoder".

        Returns:
            Fraction of the peak, with its 90 % predictive interval; `assumed` where the family has no rows of its own.

        Raises:
            UnknownReferenceError: The precision or the kind is none of those that were fitted.
        """
        if precision not in PRECISION_CLASS:
            raise UnknownReferenceError(
                f"no achieved fraction of peak for precision={precision!r}. Known: {', '.join(PRECISION_CLASS)}. "
                "Use one of these, or give schedule.step_utilisation."
            )
        return self._found(STEP, family_of(accelerator_id), PRECISION_CLASS[precision], kind)

    def goodput(self, accelerator_id: str, kind: str, accelerators: int | None = None) -> Estimate:
        """Share of the calendar time of a run that goes into steps that count.

        Args:
            accelerator_id: Id of the accelerator table.
            kind: Kind of model, as in `achieved_peak_fraction`.
            accelerators: How many; the published runs show no dependence that survives leaving organisations out,
                so it does not change the answer today.

        Returns:
            Goodput, at most 1, with its 90 % predictive interval.

        Raises:
            UnknownReferenceError: The kind is none of those that were fitted.
        """
        return self._found(GOODPUT, family_of(accelerator_id), POOLED, kind)

    def with_goodput(self, goodput: Mapping[str, Estimate]) -> Calibration:
        """The same calibration with goodput by family (and `*`) put in place of its own."""
        kept = [c for c in self.coefficients.values() if c.quantity != GOODPUT]
        return Calibration.of(kept + goodput_coefficients(goodput, {}))

    def _found(self, quantity: str, family: str, precision: str, kind: str) -> Estimate:
        if kind not in KINDS:
            raise UnknownReferenceError(
                f"no {quantity} for kind={kind!r}. Known: {', '.join(KINDS)}. Use one of these."
            )
        for key in ((family, kind), (family, POOLED), (POOLED, kind), (POOLED, POOLED)):
            found = self.coefficients.get((quantity, key[0], precision, key[1]))
            if found is not None:
                return found.estimate
        raise UnknownReferenceError(
            f"calibration.csv has no {quantity} for {precision} and {kind}. Add a pooled row (family '*'), "
            "or write the table anew with `python -m tonne.calibrate`."
        )


def family_of(accelerator_id: str) -> str:
    """Chip generation of an accelerator id; `*` where none is fitted for it."""
    words = accelerator_id.lower()
    parts = words.split("-")
    pairs = {"-".join(pair) for pair in zip(parts, parts[1:], strict=False)} | set(parts)
    fitting = [part for part in _FAMILY_OF_PART if part in pairs]
    return _FAMILY_OF_PART[max(fitting, key=len)] if fitting else POOLED


def quantile(values: Sequence[float], share: float) -> float:
    """Quantile of some values, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def side_spreads(residuals: Sequence[float]) -> tuple[float, float]:
    """Standard deviation below and above the centre, each from the residuals on its side.

    Equation: s_low^2 = mean(e^2 | e < 0), s_high^2 = mean(e^2 | e > 0).
    """
    below, above = [e for e in residuals if e < 0], [e for e in residuals if e > 0]
    return tuple(math.sqrt(sum(e * e for e in side) / len(side)) if side else 0.0 for side in (below, above))  # type: ignore[return-value]


def goodput_from(
    ratios_by_family: Mapping[str, Sequence[float]], step_log_spread: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Estimate]:
    """Goodput by family, shrunk to the pooled median, and pooled (`*`), from calendar over step utilisation.

    Equation: ln g_f = (n_f m_f + k m) / (n_f + k), with m_f and m the medians of ln ratio in the family and over all,
    k = SHRINKAGE_ROWS. Spread: that of ln(ratio / g_f) over all rows, each side of its own, less the spread of step
    utilisation, which a forecast adds on its own; so that both together are what was seen.

    Args:
        ratios_by_family: Calendar utilisation over step utilisation of runs, by chip family.
        step_log_spread: Log standard deviations of step utilisation, below and above.

    Returns:
        Estimates by family; `*` is the pooled one, widened by the spread between families, and assumed.

    Valid for: at least one ratio; capped at 1, for no calendar holds more steps than fit into it.
    """
    logs = {family: [math.log(r) for r in ratios] for family, ratios in ratios_by_family.items() if ratios}
    pooled = quantile([value for values in logs.values() for value in values], 0.5)
    centres = {
        family: (len(values) * quantile(values, 0.5) + SHRINKAGE_ROWS * pooled) / (len(values) + SHRINKAGE_ROWS)
        for family, values in logs.items()
    }
    residuals = [value - centres[family] for family, values in logs.items() for value in values]
    seen = side_spreads(residuals)
    low, high = (
        max(math.sqrt(max(s * s - t * t, 0.0)), LEAST_LOG_SPREAD) for s, t in zip(seen, step_log_spread, strict=True)
    )
    between = math.sqrt(sum((centre - pooled) ** 2 for centre in centres.values()) / len(centres))
    wider = (math.hypot(low, between), math.hypot(high, between))
    fitted = {family: _capped(centre, (low, high), Basis.MODELLED) for family, centre in centres.items()}
    return {**fitted, POOLED: _capped(pooled, wider, Basis.ASSUMED)}


def _capped(log_centre: float, spreads: tuple[float, float], basis: Basis) -> Estimate:
    value = min(math.exp(log_centre), MAXIMUM_GOODPUT)
    low, high = value * math.exp(-Z_90 * spreads[0]), value * math.exp(Z_90 * spreads[1])
    return Estimate(value=value, low=low, high=min(high, MAXIMUM_GOODPUT), basis=basis, sources=("tonne.calibrate",))


def goodput_coefficients(goodput: Mapping[str, Estimate], rows: Mapping[str, int]) -> list[Coefficient]:
    """Goodput by family as rows of the calibration table."""
    return [
        Coefficient(quantity=GOODPUT, family=f, precision=POOLED, kind=POOLED, estimate=e, rows=rows.get(f, 0))
        for f, e in goodput.items()
    ]


def with_sources(coefficient: Coefficient, sources: tuple[str, ...]) -> Coefficient:
    """The same coefficient with its sources named."""
    return replace(coefficient, estimate=replace(coefficient.estimate, sources=sources))


@cache
def shipped() -> Calibration:
    """The calibration that comes with the package."""
    text = files("tonne.reference").joinpath("tables/calibration.csv").read_text(encoding="utf-8")
    return Calibration.of(_coefficient(row) for row in csv.DictReader(text.splitlines()))


def _coefficient(row: Mapping[str, str]) -> Coefficient:
    return Coefficient(
        quantity=row["quantity"],
        family=row["family"],
        precision=row["precision"],
        kind=row["kind"],
        estimate=Estimate(
            value=float(row["value"]),
            low=float(row["low"]),
            high=float(row["high"]),
            basis=Basis(row["basis"]),
            sources=(row["source"],),
        ),
        rows=int(row["n"]),
    )
