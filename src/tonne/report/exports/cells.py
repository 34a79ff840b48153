"""A field of a form: its text, the number behind it, or why it is missing. Nothing is invented to fill one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tonne.estimate import Basis, Estimate, scaled
from tonne.ledger.lenses.totals import Total
from tonne.report.numbers import digits_of, value_and_interval

KWH_PER_MWH, KG_PER_TONNE, GRAMS_PER_KG = 1000.0, 1000.0, 1000.0
FEWEST_DIGITS = 2  # of the EU's form
FEW = 3  # runs that are named
PLAIN_FROM, PLAIN_TO = 1e-3, 1e6
WORDS = {
    Basis.MEASURED: "measured",
    Basis.PUBLISHED: "from published figures",
    Basis.MODELLED: "modelled",
    Basis.ASSUMED: "partly assumed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A field that is filled in, or (``missing`` says why not, and what to do). ``estimate`` is in ``unit``."""

    text: str = ""
    missing: str = ""
    estimate: Estimate | None = None
    unit: str = ""

    @property
    def shown(self) -> str:
        """The text; of a missing field, why it is missing."""
        return f"[missing: {self.missing}]" if self.missing else self.text


NOTHING_COUNTED = "no run is counted: tag what the runs were for"


def said(text: str | None, missing: str) -> Cell:
    """A field of words."""
    return Cell(text=text) if text else Cell(missing=missing)


def plain_number(value: float, digits: int) -> str:
    """A number of so many significant digits that every program reads back: no separators, a point, e-notation."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    rounded = float(f"{value:.{digits - 1}e}")
    if not PLAIN_FROM <= abs(rounded) < PLAIN_TO:
        mantissa, _, exponent = f"{rounded:.{digits - 1}e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    places = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{rounded:.{places}f}"


def rounded_value(estimate: Estimate, factor: float = 1.0) -> float:
    """The value in another unit, with as many significant digits as its interval allows."""
    return float(plain_number(estimate.value * factor, digits_of(estimate)))


def fixed(estimate: Estimate | None, factor: float, unit: str, missing: str) -> Cell:
    """A number in the unit that a form asks for, with its interval and basis."""
    if estimate is None:
        return Cell(missing=missing)
    found = scaled(estimate, factor)
    digits = max(digits_of(found), FEWEST_DIGITS)
    value, low, high = (plain_number(number, digits) for number in (found.value, found.low, found.high))
    spread = "" if found.is_exact else f"90 % interval {low} to {high} {unit}; "
    return Cell(text=f"{value} {unit} ({spread}{WORDS[found.basis]})", estimate=found, unit=unit)


def readable(estimate: Estimate | None, units: Sequence[tuple[float, str]], missing: str) -> Cell:
    """A number for prose, in the unit that reads best."""
    if estimate is None:
        return Cell(missing=missing)
    value, spread = value_and_interval(estimate, units)
    between = "" if spread == "exact" else f"90 % interval {spread.replace(' - ', ' to ')}; "
    return Cell(text=f"{value} ({between}{WORDS[estimate.basis]})", estimate=estimate)


def why_unknown(total: Total, what: str) -> str:
    """Why a sum is unknown: for want of which runs."""
    if not total.unknown:
        return f"{what} is unknown: {NOTHING_COUNTED}"
    who = ", ".join(total.unknown[:FEW]) + (f" and {len(total.unknown) - FEW} more" if len(total.unknown) > FEW else "")
    return f"{what} is unknown for {who}"
