"""What a power cap does to the time of a step."""

from __future__ import annotations

from tonne.estimate import Number

STATIC_SHARE = 0.363  # share of the board's limit that does not buy speed; fit on four GPUs of 2016-2020
SPEED_EXPONENT = 3.94  # power beyond the static share grows with this power of speed; same fit


def smaller(a: Number, b: Number) -> Number:
    """The smaller of two numbers, element by element for arrays."""
    return a * (a <= b) + b * (a > b)


def slow_down(power_w: Number, capped_power_w: Number, board_power_limit_w: Number) -> Number:
    """How much longer a step takes under a cap.

    Equation: t/t0 = ((P0 - s L) / (P - s L))^(1/g), with P0 = power_w, P = capped_power_w, L = board_power_limit_w,
    s = STATIC_SHARE, g = SPEED_EXPONENT.

    Args:
        power_w: Power without the cap [W].
        capped_power_w: Power under the cap, at most power_w and above s L [W].
        board_power_limit_w: The board's own limit [W].

    Returns:
        Factor, at least 1.

    Valid for: caps that keep 70 % or more of the power (error 2-5 %); cards up to 2020, extrapolated to newer ones.
    Source: you2024zeus, own fit on the published traces.
    """
    static_w = STATIC_SHARE * board_power_limit_w
    return ((power_w - static_w) / (capped_power_w - static_w)) ** (1.0 / SPEED_EXPONENT)
