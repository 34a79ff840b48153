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


def decode_activity(memory_activity: Number, computing_s: Number, step_s: Number) -> Number:
    """Activity of a decode step: that of reading memory, and more where arithmetic fills the step.

    Equation: a = m + (1 - m) t_c / t_d, with m = memory_activity, t_c = computing_s, t_d = step_s.

    Args:
        memory_activity: Activity of a step that only reads.
        computing_s: Time of the step's arithmetic [s].
        step_s: Time of the step [s].

    Returns:
        Activity, between m and 1.

    Source: tonne
    """
    return memory_activity + (1.0 - memory_activity) * computing_s / step_s


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
