"""A driver that opens slowly: the time before its first reading is filled with the power right after it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

import tonne
from tonne.measure.sensors.protocol import Description, Reading

OPENS_IN_S = 0.3
POWER_W_PER_S = 100.0


@dataclass(frozen=True, kw_only=True)
class Rising(Description):
    """A counter of power that rises from zero."""

    begun_ns: int

    def read(self) -> Reading:
        now_ns = time.monotonic_ns()
        return Reading(now_ns, POWER_W_PER_S * ((now_ns - self.begun_ns) / 1e9) ** 2 / 2)

    def close(self) -> None:
        return


def test_the_beginning_is_not_filled_with_the_mean_of_a_long_interval(monkeypatch):
    monkeypatch.delenv("TONNE_RUN", raising=False)
    begun_ns = time.monotonic_ns()

    def opened():
        time.sleep(OPENS_IN_S)
        return [Rising(name="x:cpu", part="cpu", kind="counter", unit="J", begun_ns=begun_ns)], []

    meter = tonne.track("slow-driver", interval_s=60.0, open_sensors=opened).start()
    time.sleep(1.5)
    meter.stop()
    account = meter.account()
    seconds = account.duration_s.value
    whole_j = POWER_W_PER_S * seconds**2 / 2
    # The first 0.3 s held 4.5 J; at the power right after them (30 to 40 W) they come to 10.5 J, at the mean of the
    # whole interval (90 W) to 27 J.
    assert account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(whole_j, rel=0.12)
