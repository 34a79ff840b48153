"""Conversions, and the one reading of a quantity as people write it ("300B", "1.08M")."""

from __future__ import annotations

import math
import re

from tonne.errors import QuantityError

SECONDS_PER_HOUR = 3600.0
HOURS_PER_YEAR = 8766.0  # Julian year
WATTS_PER_KILOWATT = 1000.0
GRAMS_PER_KILOGRAM = 1000.0
GIBIBYTE = 2**30

_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}
_QUANTITY = re.compile(r"^\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]?)\s*$")


def energy_kwh(power_w: float, time_h: float) -> float:
    """Energy of a constant power.

    Equation: E = P t / 1000.

    Args:
        power_w: Power [W].
        time_h: Time [h].

    Returns:
        Energy [kWh].
    """
    return power_w * time_h / WATTS_PER_KILOWATT


def hours(time_s: float) -> float:
    """Hours in a time given in seconds [h]."""
    return time_s / SECONDS_PER_HOUR


def quantity(text: str, *, name: str = "quantity") -> float:
    """Number meant by a text such as "300B", "1.08M", "2e12" or "4096".

    Args:
        text: What the user wrote; suffixes k, M, B (or G), T, P are powers of a thousand.
        name: How to call it in the error.

    Returns:
        The number, finite and positive.

    Raises:
        QuantityError: The text is not a number with a known suffix, or it is not positive and finite.
    """
    found = _QUANTITY.match(text)
    if found is None or found.group(2).lower() not in _SUFFIXES:
        raise QuantityError(
            f"{name}={text!r} is not a quantity. Write a number, if you like with one of the suffixes "
            f"k, M, B, T (thousand to trillion), e.g. 300B or 3e11."
        )
    value = float(found.group(1).replace("_", "")) * _SUFFIXES[found.group(2).lower()]
    if not (math.isfinite(value) and value > 0):
        raise QuantityError(f"{name}={text!r} must be a finite number above zero, e.g. 300B.")
    return value
