"""A sum of energy that keeps apart what was measured and what was filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

RECENT_S = 60.0  # power "around" a gap is the mean of about so long before it
ENOUGH_STEPS = 30  # from so many steps on, the lowest and highest power seen bound that in a gap
UNSEEN_FACTOR = 2.0  # before that: half and twice the recent mean
STATE = (
    "recent_w",
    "_sums",
    "_measured_j",
    "_measured_s",
    "_gaps",
    "_faults",
    "_steps",
    "_lowest_w",
    "_highest_w",
    "_waiting_s",
    "_last_gap",
    "_last_gap_reason",
)
SHORTEST_STEP_S = 0.2  # shorter steps are too coarse to say what power was the lowest and the highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A sum of energy. `energy_j` is None where nothing was measured that a gap could be filled from.

    `low_j` and `high_j` are the ends of the interval that the gaps bring, before the sensor's own error.
    """

    energy_j: float | None = 0.0
    low_j: float = 0.0
    high_j: float | None = 0.0
    measured_j: float = 0.0
    measured_s: float = 0.0
    gap_s: float = 0.0
    gaps: Mapping[str, float] = field(default_factory=dict)  # reason -> time [s]
    faults: Mapping[str, int] = field(default_factory=dict)  # reason -> readings

    @property
    def measured_fraction(self) -> float:
        """Share of the time in which the sensor spoke; 0 where there was no time."""
        whole_s = self.measured_s + self.gap_s
        return self.measured_s / whole_s if whole_s > 0 else 0.0

    def plus(self, other: Total) -> Total:
        """Both, one after the other."""
        return _combined(self, other, 1)

    def minus(self, earlier: Total) -> Total:
        """What came after an earlier total of the same sensor."""
        return _combined(self, earlier, -1)

    def as_dict(self) -> dict[str, Any]:
        """Its fields as built-in types, for a line of JSON."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "gaps": dict(self.gaps), "faults": dict(self.faults)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Total:
        """The total that `as_dict` wrote; fields of a later version are passed over."""
        return cls(**{name: value for name, value in fields.items() if name in cls.__dataclass_fields__})


def _combined(a: Total, b: Total, sign: int) -> Total:
    def sum_of(first: float | None, second: float | None) -> float | None:
        return None if first is None or second is None else first + sign * second

    return Total(
        energy_j=sum_of(a.energy_j, b.energy_j),
        low_j=a.low_j + sign * b.low_j,
        high_j=sum_of(a.high_j, b.high_j),
        measured_j=a.measured_j + sign * b.measured_j,
        measured_s=a.measured_s + sign * b.measured_s,
        gap_s=a.gap_s + sign * b.gap_s,
        gaps=_by_reason(a.gaps, b.gaps, sign),
        faults={reason: int(n) for reason, n in _by_reason(a.faults, b.faults, sign).items()},
    )


def _by_reason(a: Mapping[str, float], b: Mapping[str, float], sign: int) -> dict[str, float]:
    both = {reason: a.get(reason, 0) + sign * b.get(reason, 0) for reason in {**a, **b}}
    return {reason: amount for reason, amount in both.items() if amount > 0}


@dataclass(slots=True)
class Tally:
    """The running sum behind a Total, in constant memory."""

    ceiling_w: float | None = None
    recent_w: float | None = None  # mean power of the last minute
    _sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # value, low, high [J]
    _measured_j: float = 0.0
    _measured_s: float = 0.0
    _gaps: dict[str, float] = field(default_factory=dict)
    _faults: dict[str, int] = field(default_factory=dict)
    _steps: int = 0
    _lowest_w: float = math.inf
    _highest_w: float = 0.0
    _waiting_s: float = 0.0  # gaps before anything was measured: filled as soon as something is
    _last_gap: list[float] | None = None  # its value, low, high [J] and time [s]; grows while one gap goes on
    _last_gap_reason: str = ""

    def measured(self, time_s: float, energy_j: float) -> None:
        """Energy that was measured."""
        self._measured_j += energy_j
        self._measured_s += time_s
        self._add(energy_j, energy_j, energy_j)
        self._last_gap = None
        self._learn(energy_j / time_s, time_s)
        if self._waiting_s > 0:
            waited_s, self._waiting_s = self._waiting_s, 0.0
            self._add(*self._filled(waited_s))

    def gap(
        self,
        time_s: float,
        reason: str,
        *,
        value_j: float | None = None,
        low_j: float | None = None,
        high_j: float | None = None,
    ) -> None:
        """Time in which nothing was measured; filled with the energy given, or at the power before it."""
        self._gaps[reason] = self._gaps.get(reason, 0.0) + time_s
        if self.recent_w is None and value_j is None:
            self._waiting_s += time_s
            return
        filled = self._filled(time_s, value_j)
        value = filled[0]
        low, high = (
            min(filled[1] if low_j is None else low_j, value),
            max(filled[2] if high_j is None else high_j, value),
        )
        self._add(value, low, high)
        if self._last_gap is None or self._last_gap_reason != reason:
            self._last_gap, self._last_gap_reason = [0.0, 0.0, 0.0, 0.0], reason
        self._last_gap = [a + b for a, b in zip(self._last_gap, (value, low, high, time_s), strict=True)]

    def open_at_start(self, time_s: float, gap_s: float, reason: str) -> None:
        """Time before the first reading: a gap where it is long, else the power after it."""
        if time_s > gap_s:
            self._gaps[reason] = self._gaps.get(reason, 0.0) + time_s
        self._waiting_s += time_s

    def fault(self, reason: str) -> None:
        """A reading that could not be used."""
        self._faults[reason] = self._faults.get(reason, 0) + 1

    def likely_j(self, time_s: float, energies_j: Sequence[float]) -> float | None:
        """Of several energies, the one nearest to the recent power; None where none is known."""
        if self.recent_w is None:
            return None
        expected_j = self.recent_w * time_s
        return min(energies_j, key=lambda energy_j: abs(energy_j - expected_j))

    def last_gap_j(self) -> float | None:
        """Energy with which the gap just before was filled; None where there was none or it waits."""
        return None if self._last_gap is None else self._last_gap[0]

    def replace_last_gap(self, energy_j: float) -> None:
        """The gap just before turned out to be measured."""
        if self._last_gap is None:
            return
        value, low, high, time_s = self._last_gap
        self._add(-value, -low, -high)
        self._gaps[self._last_gap_reason] -= time_s
        if self._gaps[self._last_gap_reason] <= 0:
            del self._gaps[self._last_gap_reason]
        self.measured(time_s, energy_j)

    def total(self, *, measured_s: float = 0.0, open_s: float = 0.0, open_counts_as_gap: bool = True) -> Total:
        """The sum so far.

        Args:
            measured_s: Further time that was measured without any energy [s].
            open_s: Time at the end that nothing was read in [s]; filled at the recent power.
            open_counts_as_gap: Whether that time is a gap, and not just the time since the last reading.
        """
        gaps = dict(self._gaps)
        if open_s > 0 and open_counts_as_gap:
            gaps["no reading"] = gaps.get("no reading", 0.0) + open_s
        unknown_s = self._waiting_s + (open_s if self.recent_w is None else 0.0)
        extra = self._filled(open_s) if open_s > 0 and self.recent_w is not None else (0.0, 0.0, 0.0)
        value, low, high = (a + b for a, b in zip(self._sums, extra, strict=True))
        return Total(
            energy_j=None if unknown_s > 0 else value,
            low_j=low,
            high_j=None if unknown_s > 0 else high,
            measured_j=self._measured_j,
            measured_s=self._measured_s + measured_s,
            gap_s=sum(gaps.values()),
            gaps=gaps,
            faults=dict(self._faults),
        )

    def as_dict(self) -> dict[str, Any]:
        """Its state as built-in types, for a line of JSON."""
        fields = {name.lstrip("_"): copy(getattr(self, name)) for name in STATE}
        return {**fields, "lowest_w": None if self._lowest_w == math.inf else self._lowest_w}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], ceiling_w: float | None) -> Tally:
        """The sum that `as_dict` wrote."""
        tally = cls(ceiling_w=ceiling_w)
        for name in STATE:
            setattr(tally, name, copy(fields[name.lstrip("_")]))
        tally._lowest_w = math.inf if fields["lowest_w"] is None else fields["lowest_w"]
        return tally

    def _add(self, value_j: float, low_j: float, high_j: float) -> None:
        self._sums = [a + b for a, b in zip(self._sums, (value_j, low_j, high_j), strict=True)]

    def _learn(self, power_w: float, time_s: float) -> None:
        """Recent power: the plain mean of the first minute, then one that forgets within about a minute."""
        self._steps += 1
        weight = min(time_s / min(self._measured_s, RECENT_S), 1.0)
        self.recent_w = power_w if self.recent_w is None else self.recent_w + weight * (power_w - self.recent_w)
        if time_s >= SHORTEST_STEP_S:
            self._lowest_w, self._highest_w = min(self._lowest_w, power_w), max(self._highest_w, power_w)

    def _filled(self, time_s: float, value_j: float | None = None) -> tuple[float, float, float]:
        """Value, low and high of a gap [J]."""
        mean_w = value_j / time_s if value_j is not None else (self.recent_w or 0.0)
        lowest_w, highest_w = min(self._lowest_w, mean_w), max(self._highest_w, mean_w)
        if self._steps < ENOUGH_STEPS:
            lowest_w, highest_w = min(lowest_w, mean_w / UNSEEN_FACTOR), max(highest_w, mean_w * UNSEEN_FACTOR)
        if self.ceiling_w is not None:
            highest_w = max(min(highest_w, self.ceiling_w), mean_w)
        return mean_w * time_s, lowest_w * time_s, highest_w * time_s
