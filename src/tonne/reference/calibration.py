"""Fitted coefficients: the share of its peak that a chip reaches while stepping, the pace of runs, what they recover.

The table `calibration.csv` is written by `python -m tonne.calibrate`. A row that no fit has is never invented here:
an accelerator whose family has no rows takes the pooled ones, which are wider and `assumed`.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate

if TYPE_CHECKING:
    from tonne.reference.own_runs import OwnRun

POOLED = "*"
STEP, PACE, RECOVERY = "achieved_peak_fraction", "pace", "recovery_share"
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
    """Fitted coefficients, looked up by accelerator, precision and kind of model; and the user's own measured runs."""

    coefficients: Mapping[tuple[str, str, str, str], Coefficient]
    own: tuple[OwnRun, ...] = ()

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

    def pace(self, accelerator_id: str, kind: str) -> Estimate:
        """How fast runs whose layout is not known stepped, as a share of the speed forecast for them.

        Args:
            accelerator_id: Id of the accelerator table.
            kind: Kind of model, as in `achieved_peak_fraction`.

        Returns:
            Share, with its 90 % predictive interval; a run may be faster than forecast.

        Raises:
            UnknownReferenceError: The kind is none of those that were fitted.
        """
        return self._found(PACE, family_of(accelerator_id), POOLED, kind)

    def recovery_share(self) -> Estimate:
        """Share of the time kept by runs that meet failures, beside what failures cost at best."""
        return self._found(RECOVERY, POOLED, POOLED, KINDS[0])

    def with_own(self, runs: Iterable[OwnRun]) -> Calibration:
        """The same calibration with measured runs of one's own, which move and narrow forecasts of their stacks."""
        return replace(self, own=tuple(runs))

    def with_runs(self, pace: Mapping[tuple[str, str], Estimate], recovery: Estimate) -> Calibration:
        """The same calibration with what other runs say in place of its own."""
        kept = [c for c in self.coefficients.values() if c.quantity not in {PACE, RECOVERY}]
        return Calibration.of([*kept, *pace_coefficients(pace, {}), recovery_coefficient(recovery, 0)])

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
    pairs = {"-".join(pair) for pair in itertools.pairwise(parts)} | set(parts)
    fitting = [part for part in _FAMILY_OF_PART if part in pairs]
    return _FAMILY_OF_PART[max(fitting, key=len)] if fitting else POOLED


def pace_coefficients(
    pace: Mapping[tuple[str, str], Estimate], runs: Mapping[tuple[str, str], int]
) -> list[Coefficient]:
    """Pace by family and kind as rows of the calibration table, with how many runs stand behind each."""
    return [
        Coefficient(quantity=PACE, family=f, precision=POOLED, kind=k, estimate=e, rows=runs.get((f, k), 0))
        for (f, k), e in pace.items()
    ]


def recovery_coefficient(recovery: Estimate, runs: int) -> Coefficient:
    """The share of the time that runs recover, as a row of the calibration table."""
    return Coefficient(quantity=RECOVERY, family=POOLED, precision=POOLED, kind=POOLED, estimate=recovery, rows=runs)


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
