"""A driver that opens slowly: the time before its first reading is filled with the power right after it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tonne
from tonne.measure.sensors.protocol import Description, Reading

OPENS_IN_S = 0.3
POWER_W_PER_S = 100.0


@dataclass(frozen=True, kw_only=True)
class Rising(Description):
    """A counter of power that rises from zero."""

    begun_ns: int
    reads: list[int] = field(default_factory=list)

    def read(self) -> Reading:
        self.reads.append(1)
        now_ns = time.monotonic_ns()
        return Reading(now_ns, POWER_W_PER_S * ((now_ns - self.begun_ns) / 1e9) ** 2 / 2)

    def close(self) -> None:
        return


@pytest.mark.slow
def test_the_beginning_is_not_filled_with_the_mean_of_a_long_interval(monkeypatch):
    monkeypatch.delenv("TONNE_RUN", raising=False)
    begun_ns, reads = time.monotonic_ns(), []

    def opened():
        time.sleep(OPENS_IN_S)
        return [Rising(name="x:cpu", part="cpu", kind="counter", unit="J", begun_ns=begun_ns, reads=reads)], []

    meter = tonne.track("slow-driver", interval_s=60.0, open_sensors=opened).start()
    until = time.monotonic() + 60
    while len(reads) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.5)
    meter.stop()
    lines = [json.loads(line) for line in Path(meter.folder, "journal.jsonl").read_text().splitlines()]
    read = [(line["t"] / 1e9 + line["o"][0] / 1e6, line["v"][0]) for line in lines if line.get("v")]
    begin_s = next(line["t"] for line in lines if line.get("kind") == "start") / 1e9
    (first_s, first_j), (second_s, second_j) = read[:2]
    assert second_s - first_s < 10  # and not a whole interval
    filled_j = (second_j - first_j) / (second_s - first_s) * (first_s - begin_s)
    energy = meter.account().energy.cpu_kwh
    end_s = next(line["t"] for line in lines if line.get("kind") == "leave") / 1e9
    last_s, last_j = max(one for one in read if one[0] <= end_s)
    expected_j = last_j - first_j + filled_j
    after_j = POWER_W_PER_S * (max(one[0] for one in read) - begun_ns / 1e9) * (end_s - last_s)  # at most
    assert expected_j * 0.995 <= energy.value * 3.6e6 <= expected_j * 1.005 + after_j
