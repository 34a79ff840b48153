"""Numbers for people: as many digits as the interval allows, in a unit that reads well."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tonne.estimate import Estimate

ENERGY_KWH = ((1e6, "GWh"), (1e3, "MWh"), (1.0, "kWh"), (1e-3, "Wh"))
MASS_KG = ((1e6, "kt"), (1e3, "t"), (1.0, "kg"), (1e-3, "g"), (1e-6, "mg"))
VOLUME_L = ((1e6, "ML"), (1e3, "m3"), (1.0, "L"), (1e-3, "mL"))
TIME_S = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
MONEY_USD = ((1e6, "M USD"), (1e3, "k USD"), (1.0, "USD"))
WORK_FLOP = ((1.0, "FLOP"),)
HOURS = ((1e6, "M h"), (1e3, "k h"), (1.0, "h"))
SIZE_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (1.0, "B"))
COUNT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, ""))

NARROW = 0.1  # an interval narrower than this share of its value supports a third digit
PLAIN_FROM, PLAIN_TO = 1e-3, 1e6


def scale_of(value: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The largest unit that the value fills, or the smallest; of nothing, the plain one."""
    if value == 0:
        return next(((size, name) for size, name in units if size == 1.0), units[-1])
    return next(((size, name) for size, name in units if abs(value) >= size), units[-1])


def rounded(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, whole digits never replaced by zeros of an exponent below a million."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if not PLAIN_FROM <= abs(value) < PLAIN_TO:
        return f"{value:.{digits - 1}e}".replace("e+", "e")
    value = float(f"{value:.{digits - 1}e}")  # before its digits are counted: 0.00999 is 0.010 with two
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def digits_of(estimate: Estimate) -> int:
    """Significant digits that an interval allows: three when it is narrow or without width, else two."""
    if estimate.value == 0:
        return 2
    return 3 if (estimate.high - estimate.low) / abs(estimate.value) <= NARROW else 2


def value_and_interval(estimate: Estimate, units: Sequence[tuple[float, str]]) -> tuple[str, str]:
    """The value with its unit, and the interval in the same unit ("exact" where it has no width)."""
    size, unit = scale_of(estimate.value, units)
    digits = digits_of(estimate)
    value = f"{rounded(estimate.value / size, digits)} {unit}".rstrip()
    if estimate.is_exact:
        return value, "exact"
    low, high = (rounded(bound / size, digits) for bound in (estimate.low, estimate.high))
    return value, f"{low} - {high} {unit}".rstrip()


def short(value: float, units: Sequence[tuple[float, str]] = COUNT, digits: int = 3) -> str:
    """A plain number in a readable unit, such as 175B."""
    size, unit = scale_of(value, units)
    gap = "" if units is COUNT else " "
    return f"{rounded(value / size, digits)}{gap}{unit}".rstrip()


def count_text(value: float) -> str:
    """A count as people write it: 300B, 1.4T, 8,192."""
    if value < PLAIN_TO and float(value).is_integer():
        return f"{int(value):,}"
    size, unit = scale_of(value, COUNT)
    return f"{value / size:.4g}{unit}"
