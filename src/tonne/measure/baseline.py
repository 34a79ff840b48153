"""Power of the idle machine, read before a run begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tonne.measure.collector import GAP_INTERVALS
from tonne.measure.integration import Integral
from tonne.measure.sensors.protocol import Description, Missing, Sensor


def idle_w(
    open_sensors: Callable[[], tuple[Sequence[Sensor], Sequence[Missing]]], time_s: float, interval_s: float
) -> dict[str, float]:
    """Mean power that each sensor reads [W]; without those that gave no number.

    Args:
        open_sensors: Opens the drivers.
        time_s: How long to read [s].
        interval_s: Time between two readings [s].
    """
    sensors, _ = open_sensors()
    integrals = [Integral(Description.of(sensor), GAP_INTERVALS * interval_s) for sensor in sensors]
    begun = time.monotonic()
    while True:
        for sensor, integral in zip(sensors, integrals, strict=True):
            integral.add(sensor.read())
        left_s = begun + time_s - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(interval_s, left_s))
    for sensor in sensors:
        sensor.close()
    totals = {sensor.name: integral.total() for sensor, integral in zip(sensors, integrals, strict=True)}
    return {name: total.measured_j / total.measured_s for name, total in totals.items() if total.measured_s > 0}
