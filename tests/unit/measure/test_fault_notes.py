"""Readings that cannot be right are told, even where the energy across them is exact."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

import tonne
from tonne.measure.sensors.protocol import Description, Reading


@dataclass(frozen=True, kw_only=True)
class Faulty(Description):
    """A counter of 100 W whose second and third reading are NaN."""

    reads: list[int] = field(default_factory=list)

    def read(self) -> Reading:
        now_ns = time.monotonic_ns()
        self.reads.append(now_ns)
        is_faulty = len(self.reads) in {2, 3}
        return Reading(now_ns, None, "reading is not a number") if is_faulty else Reading(now_ns, 100.0 * now_ns / 1e9)

    def close(self) -> None:
        return


def test_readings_that_could_not_be_used_are_told_and_their_energy_is_exact(monkeypatch):
    monkeypatch.delenv("TONNE_RUN", raising=False)
    sensor = Faulty(name="x:cpu", part="cpu", kind="counter", unit="J")
    meter = tonne.track("faulty", interval_s=0.05, open_sensors=lambda: ([sensor], [])).start()
    while len(sensor.reads) < 8:
        time.sleep(0.02)
    meter.stop()
    account = meter.account()
    assert (
        "x:cpu: 2 readings could not be used (NaN, negative or failed); its counter holds what went on meanwhile"
        in (account.notes)
    )
    assert account.energy.cpu_kwh.value * 3.6e6 == pytest.approx(100.0 * account.duration_s.value, rel=0.02)
