"""Intensity of the hours in which a run drew its energy, relative to that of the year."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from tonne.estimate import Z_90, Basis, Estimate
from tonne.reference.grid_hours import HourProfile

HOUR_S = 3600.0
LOWEST = 0.05  # of the year's mean: the low end of an interval stays above nothing


def by_hour(begin_unix_s: float, end_unix_s: float) -> dict[int, float]:
    """Seconds of a time by the hours since 1970 in which they lie."""
    found: dict[int, float] = {}
    at = begin_unix_s
    while at < end_unix_s:
        hour = math.floor(at / HOUR_S)
        until = min((hour + 1) * HOUR_S, end_unix_s)
        found[hour] = found.get(hour, 0.0) + until - at
        at = until
    return found


def hour_factor(profile: HourProfile, weights: Mapping[int, float]) -> Estimate:
    """Mean intensity of some hours relative to that of the year.

    Equation: f = sum_h w_h r(month of h, hour of h) / sum_h w_h, with w = weights, r = the profile.

    Args:
        profile: Of the grid.
        weights: Energy or time by hour since 1970.

    Returns:
        Factor [1]. Its interval is the spread of single hours, of which those of one day go together.

    Source: entsoe2020generation; eia2022hourly.
    """
    whole = sum(weights.values())
    value = variance = 0.0
    days = set()
    for hour, weight in weights.items():
        moment = datetime.fromtimestamp(hour * HOUR_S, UTC)
        at = (moment.month, moment.hour)
        value += weight / whole * profile.relative[at]
        variance += weight / whole * profile.std[at] ** 2
        days.add(moment.date())
    half = Z_90 * math.sqrt(variance / len(days))
    return Estimate(
        value=value,
        low=max(value - half, LOWEST * value),
        high=value + half,
        basis=Basis(profile.basis),
        sources=(f"{profile.source}, hours of {profile.zone} in {profile.year}",),
    )
