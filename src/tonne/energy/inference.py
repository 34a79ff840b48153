"""Power of accelerators while they serve: reading a prompt, decoding, waiting for requests."""

from __future__ import annotations

from tonne.estimate import Number
from tonne.units import SECONDS_PER_HOUR, energy_kwh


def serving_power_w(idle_w: Number, full_w: Number, activity: Number) -> Number:
    """Power between idling and training.

    Equation: P = P_0 + a (P_1 - P_0), with P_0 = idle_w, P_1 = full_w, a = activity.

    Args:
        idle_w: Power of a waiting accelerator [W].
        full_w: Its mean power in the steps of training, below the board's limit [W].
        activity: Share of the difference that is drawn, 0 to 1.

    Returns:
        Power [W].

    Source: tonne
    """
    return idle_w + activity * (full_w - idle_w)


def decode_activity(
    computing_s: Number, step_s: Number, overhead_s: Number, activities: tuple[Number, Number]
) -> Number:
    """Activity of a decode step: full in its arithmetic, less while it only reads, least in its overhead.

    Equation: a = (t_c + m (t_d - t_o - t_c) + r t_o) / t_d, with t_c = computing_s, t_d = step_s, t_o = overhead_s,
    m, r = activities.

    Args:
        computing_s: Time of the step's arithmetic [s].
        step_s: Time of the step [s].
        overhead_s: Time in which it neither multiplies nor reads [s].
        activities: While it only reads memory, and in its overhead.

    Returns:
        Activity, 0 to 1.

    Source: tonne
    """
    memory, resting = activities
    return (computing_s + memory * (step_s - overhead_s - computing_s) + resting * overhead_s) / step_s


def boards_kwh(accelerators: Number, busy_joule: Number, idle_w: Number, waiting_s: Number) -> Number:
    """Energy of a replica's boards for one request.

    Equation: E = n (Q + P_0 t_0) / 3.6e6, with n = accelerators, Q = busy_joule, P_0 = idle_w, t_0 = waiting_s.

    Args:
        accelerators: That share one replica.
        busy_joule: Energy of one of them while it serves the request [J].
        idle_w: Power of one that waits [W].
        waiting_s: Time that it waits for each request [s].

    Returns:
        Energy [kWh].

    Source: tonne
    """
    return accelerators * energy_kwh(busy_joule + idle_w * waiting_s, 1.0 / SECONDS_PER_HOUR)


def waiting_s(serving_s: Number, busy_fraction: Number) -> Number:
    """Time that a replica waits for each request.

    Equation: t_0 = t_r (1 / u - 1), with t_r = serving_s, u = busy_fraction.

    Args:
        serving_s: Time that it serves the request [s].
        busy_fraction: Share of the time that it serves.

    Returns:
        Time [s].

    Source: tonne
    """
    return serving_s * (1.0 / busy_fraction - 1.0)
