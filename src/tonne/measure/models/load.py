"""How busy the processors were: read from the kernel, and kept as time by utilisation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BINS = 20  # of utilisation; the mean within each is kept, so that a steady load is exact
FALLS_BY_S = 1.0  # of counted time over all processors, at most: some ticks of each

Counted = tuple[int, float, float]  # when [ns], busy time, and with the idle time [s], over all processors


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds that all hardware threads together were busy and idle since the machine was started."""

    busy_s: float
    idle_s: float


def cpu_times(proc: Path) -> CpuTimes | None:
    """What /proc/stat says; None where there is none.

    Time stolen by other virtual machines and time that guests ran, which user time already holds, are left out.
    """
    try:
        with (proc / "stat").open(encoding="ascii") as file:
            ticks = [int(cell) for cell in file.readline().split()[1:8]]
    except (OSError, ValueError):
        return None
    if len(ticks) < 7:
        return None
    user, nice, system, idle, waiting, interrupts, soft_interrupts = ticks
    hertz = os.sysconf("SC_CLK_TCK")
    return CpuTimes((user + nice + system + interrupts + soft_interrupts) / hertz, (idle + waiting) / hertz)


def utilisation(before: CpuTimes, after: CpuTimes) -> float | None:
    """Busy share between two readings, 0 to 1; None where no tick passed."""
    busy_s, idle_s = max(after.busy_s - before.busy_s, 0.0), max(after.idle_s - before.idle_s, 0.0)
    return busy_s / (busy_s + idle_s) if busy_s + idle_s > 0 else None


@dataclass(slots=True)
class Load:
    """Time by utilisation, in constant memory: seconds and busy seconds of each of 20 bins."""

    seconds: list[float] = field(default_factory=lambda: [0.0] * BINS)
    busy: list[float] = field(default_factory=lambda: [0.0] * BINS)

    @classmethod
    def steady(cls, time_s: float, share: float) -> Load:
        """A load that never changed."""
        load = cls()
        load.add(time_s, share)
        return load

    def add(self, time_s: float, share: float) -> None:
        """Time at a utilisation between 0 and 1."""
        place = min(max(int(share * BINS), 0), BINS - 1)
        self.seconds[place] += time_s
        self.busy[place] += time_s * share

    def count(self, before: Counted, now: Counted, time_s: float) -> Counted:
        """Add the time between two readings of what the kernel counts; from which of them the next one counts.

        Where the kernel counted nothing, because a hypervisor ran none of the processors, what it counts next is of
        that time too. Idle time may even fall by some ticks (proc(5)); what falls by more began anew.

        Args:
            before: What the kernel had counted at a time.
            now: What it had later.
            time_s: How much of the time between them is looked at [s].
        """
        whole_s = now[2] - before[2]
        if -FALLS_BY_S <= whole_s <= 0:
            return before
        if whole_s > 0:
            self.add(time_s, min(max((now[1] - before[1]) / whole_s, 0.0), 1.0))
        return now

    def plus(self, other: Load) -> Load:
        """Both, one after the other."""
        return Load(
            [a + b for a, b in zip(self.seconds, other.seconds, strict=True)],
            [a + b for a, b in zip(self.busy, other.busy, strict=True)],
        )

    def minus(self, earlier: Load) -> Load:
        """What came after an earlier load of the same node."""
        return self.plus(Load([-a for a in earlier.seconds], [-a for a in earlier.busy]))

    def shares(self) -> list[tuple[float, float]]:
        """Time [s] and mean utilisation of each bin that holds any."""
        return [(time_s, busy / time_s) for time_s, busy in zip(self.seconds, self.busy, strict=True) if time_s > 0]

    @property
    def time_s(self) -> float:
        """All of its time [s]."""
        return sum(self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """Its fields as built-in types, for a line of JSON."""
        return {"seconds": list(self.seconds), "busy": list(self.busy)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Load:
        """The load that `as_dict` wrote."""
        return cls(list(fields["seconds"]), list(fields["busy"]))
