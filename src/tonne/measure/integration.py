"""Energy from the readings of a sensor: differences of a counter, the integral of power, and gaps where neither holds.

A reading that is no number, negative, stuck, gone or out of all proportion never enters a sum. The time that it leaves
open is a gap: filled at the power around it, with an interval, and told apart from what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tonne.measure.sensors.protocol import Described, Reading
from tonne.measure.tally import Tally, Total

NS_PER_S = 1e9
SLOWEST_UPDATE_S = 0.2  # drivers refresh a counter every 1 to 100 ms: what lies between adds to a short step
STILL_COUNTER_S = 10.0  # no part that runs draws nothing for so long
LEAST_W = 10.0  # whoever counts in coarse steps counts at least so much: a longer rest than that makes is a fault
STILL_POWER_S = 60.0  # a reading that moved before, and then repeats to the last digit for so long
MOVES_BEFORE_STILL = 3  # a meter that never moved may be one that tells a constant

RESET = "counter was reset"
WRAPS = "counter may have wrapped more than once between two readings"
STILL = "reading does not move"
SILENT = "no reading"
NOT_A_NUMBER = "reading is not a number"
NEGATIVE = "reading is negative"
TOO_HIGH = "reading is above what the part can draw"


def counter_step_j(before_j: float, after_j: float, wrap_j: float | None) -> float:
    """Energy between two readings of a counter that wrapped at most once.

    Equation: E = e1 - e0, and + E_wrap where e1 < e0.

    Args:
        before_j: First reading, e0 [J].
        after_j: Second reading, e1 [J].
        wrap_j: Where the counter starts again from zero [J]; None where it never does.

    Returns:
        Energy [J]; negative where a counter that does not wrap went back.
    """
    wrapped = after_j < before_j and wrap_j is not None
    return after_j - before_j + (wrap_j or 0.0) * wrapped


def power_step_j(before_w: float, after_w: float, time_s: float, window_s: float) -> float:
    """Energy between two readings of power that are averages over the window before each.

    Equation: E = P1 min(w, t) + (P0 + P1)/2 max(t - w, 0). Exact where the window is the time between readings, the
    trapezoid rule where there is no window.

    Args:
        before_w: First reading, P0 [W].
        after_w: Second reading, P1 [W].
        time_s: Time between them, t [s].
        window_s: Averaging window of the sensor, w [s].

    Returns:
        Energy [J].
    """
    averaged_s = min(window_s, time_s)
    return after_w * averaged_s + (before_w + after_w) / 2 * (time_s - averaged_s)


@dataclass(slots=True)
class Integral:
    """Energy of one sensor, added up reading by reading.

    Args:
        of: The sensor, or its description.
        gap_s: Longest time between two readings of power that the trapezoid may bridge [s].
        start_ns: When counting begins, of time.monotonic_ns(); left out, at the first reading. What a step
            took before it does not count.
    """

    of: Described
    gap_s: float
    start_ns: int | None = None
    tally: Tally = field(init=False)
    _last: Reading | None = field(default=None, init=False)  # the last good one
    _moved_ns: int = field(default=0, init=False)
    _moves: int = field(default=0, init=False)
    _still: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """An empty sum."""
        self.tally = Tally(ceiling_w=self.of.ceiling_w)

    def add(self, reading: Reading) -> None:
        """Take in a reading; readings come in the order of their times."""
        fault = reading.fault or self._fault_of(reading.value)
        if fault is not None or reading.value is None:
            if not self._is_early(reading):
                self.tally.fault(fault or SILENT)
            return
        if self._last is not None and self.start_ns is not None and self._is_early(self._last):
            early = self._is_early(reading)
            self._begin(reading if early else self._between(self._last, reading, self.start_ns))
        if self._last is None or self._last.value is None:
            self._begin(reading)
        elif reading.time_ns > self._last.time_ns:
            step = self._add_count if self.of.kind == "counter" else self._add_power
            step(reading, self._last.value, reading.value, (reading.time_ns - self._last.time_ns) / NS_PER_S)

    def end_at(self, time_ns: int, after: Reading) -> None:
        """Take in as much of the step to a reading as lies before the end.

        Args:
            time_ns: The end.
            after: The first reading after it.
        """
        last, usable = self._last, after.fault is None and self._fault_of(after.value) is None
        if usable and last is not None and last.time_ns < time_ns < after.time_ns:
            self.add(self._between(last, after, time_ns))

    def start_at(self, time_ns: int) -> None:
        """Count from a time just now on, and not from the first reading: what went before is nobody's.

        Args:
            time_ns: Of time.monotonic_ns(), after the readings so far.
        """
        self.start_ns, self.tally = time_ns, Tally(ceiling_w=self.of.ceiling_w)

    def total(self, at_ns: int | None = None) -> Total:
        """The sum up to the last reading, or up to a time after it, the rest being filled as a gap where it is long.

        Args:
            at_ns: Time up to which to count, of time.monotonic_ns().
        """
        if self._last is None:
            open_s = 0.0 if at_ns is None or self.start_ns is None else (at_ns - self.start_ns) / NS_PER_S
            return self.tally.total(open_s=max(open_s, 0.0))
        still_s = 0.0 if self._still else self._since_move_s(self._last.time_ns)
        measured_s = still_s if self.of.kind == "counter" else 0.0
        counted_ns = max(self._last.time_ns, self.start_ns or 0)
        open_s = 0.0 if at_ns is None else max((at_ns - counted_ns) / NS_PER_S, 0.0)
        return self.tally.total(measured_s=measured_s, open_s=open_s, open_counts_as_gap=open_s > self.gap_s)

    @property
    def last_ns(self) -> int:
        """When the last good reading was taken, of time.monotonic_ns(); 0 before one."""
        return 0 if self._last is None else self._last.time_ns

    def as_dict(self) -> dict[str, Any]:
        """Its state as built-in types, for a line of JSON."""
        last = None if self._last is None else [self._last.time_ns, self._last.value]
        moved = [self._moved_ns, self._moves, self._still]
        return {"start_ns": self.start_ns, "last": last, "moved": moved, "tally": self.tally.as_dict()}

    @classmethod
    def from_dict(cls, of: Described, gap_s: float, fields: Mapping[str, Any]) -> Integral:
        """The sum that `as_dict` wrote.

        Args:
            of: As in the constructor.
            gap_s: As in the constructor [s].
            fields: What it wrote.
        """
        integral = cls(of, gap_s, fields["start_ns"])
        integral.tally = Tally.from_dict(fields["tally"], of.ceiling_w)
        integral._last = None if fields["last"] is None else Reading(*fields["last"])
        integral._moved_ns, integral._moves, integral._still = fields["moved"]
        return integral

    def _fault_of(self, value: float | None) -> str | None:
        if value is None:
            return SILENT
        if not math.isfinite(value):
            return NOT_A_NUMBER
        if value < 0:
            return NEGATIVE
        ceiling_w = self.of.ceiling_w
        return TOO_HIGH if self.of.kind == "power" and ceiling_w is not None and value > ceiling_w else None

    def _is_early(self, reading: Reading) -> bool:
        """Whether it was taken before counting begins."""
        return self.start_ns is not None and reading.time_ns < self.start_ns

    def _between(self, before: Reading, after: Reading, time_ns: int) -> Reading:
        """What the sensor would have said at a time between two readings."""
        assert before.value is not None
        assert after.value is not None
        wrap_j = self.of.wrap_j if self.of.kind == "counter" else None
        is_counter = self.of.kind == "counter"
        step = counter_step_j(before.value, after.value, wrap_j) if is_counter else after.value - before.value
        if is_counter and step < 0:
            return Reading(time_ns, before.value)  # a reset, which the next step tells
        share = (time_ns - before.time_ns) / (after.time_ns - before.time_ns)
        value = before.value + share * step
        return Reading(time_ns, value - wrap_j if wrap_j and value >= wrap_j else value)

    def _begin(self, reading: Reading) -> None:
        self._last, self._moved_ns = reading, reading.time_ns
        if self.start_ns is not None and reading.time_ns > self.start_ns:
            self.tally.open_at_start((reading.time_ns - self.start_ns) / NS_PER_S, self.gap_s, SILENT)

    def _since_move_s(self, time_ns: int) -> float:
        return (time_ns - self._moved_ns) / NS_PER_S

    def _move(self, reading: Reading) -> None:
        self._last, self._moved_ns, self._still = reading, reading.time_ns, False
        self._moves += 1

    def _add_power(self, reading: Reading, before_w: float, after_w: float, time_s: float) -> None:
        energy_j = power_step_j(before_w, after_w, time_s, self.of.window_s)
        moved = after_w != before_w
        long_still = self._since_move_s(reading.time_ns) > STILL_POWER_S and self._moves >= MOVES_BEFORE_STILL
        if time_s > self.gap_s:
            self.tally.gap(time_s, SILENT, value_j=energy_j)
        elif not moved and long_still:
            self.tally.gap(time_s, STILL, value_j=energy_j)
            self._still = True
        else:
            self.tally.measured(time_s, energy_j)
        if moved:
            self._move(reading)
        self._last = reading

    def _add_count(self, reading: Reading, before_j: float, after_j: float, time_s: float) -> None:
        """Steps without a change wait until the counter moves: it may be read faster than it is refreshed."""
        if after_j == before_j and not self._may_wrap_within(time_s):
            self._wait(reading, time_s)
            return
        since_move_s = self._since_move_s(reading.time_ns)
        if self._still:
            self._move_again(reading, before_j, after_j)
            return
        energies_j = self._possible_j(before_j, after_j, since_move_s)
        if len(energies_j) == 1:
            self.tally.measured(since_move_s, energies_j[0])
        elif energies_j:
            likely_j = self.tally.likely_j(since_move_s, energies_j)
            self.tally.gap(since_move_s, WRAPS, value_j=likely_j, low_j=energies_j[0], high_j=energies_j[-1])
        else:
            self.tally.gap(since_move_s, RESET if after_j < before_j else TOO_HIGH)
        self._move(reading)

    def _may_wrap_within(self, time_s: float) -> bool:
        """Whether a counter that shows the same again may have gone all the way round."""
        ceiling_w, wrap_j = self.of.ceiling_w, self.of.wrap_j
        return ceiling_w is not None and wrap_j is not None and ceiling_w * time_s >= wrap_j

    def _wait(self, reading: Reading, time_s: float) -> None:
        self._last = reading
        if self._still:
            self.tally.gap(time_s, STILL)
        elif self._since_move_s(reading.time_ns) > max(STILL_COUNTER_S, self.of.step_j / LEAST_W):
            self.tally.gap(self._since_move_s(reading.time_ns), STILL)
            self._still = True

    def _move_again(self, reading: Reading, before_j: float, after_j: float) -> None:
        """A counter that stood still moves: it caught up, where it now holds what was filled in meanwhile."""
        since_move_s = self._since_move_s(reading.time_ns)
        assert self._last is not None
        self.tally.gap((reading.time_ns - self._last.time_ns) / NS_PER_S, STILL)
        energies_j = self._possible_j(before_j, after_j, since_move_s)
        filled_j = self.tally.last_gap_j()
        if len(energies_j) == 1 and filled_j is not None and energies_j[0] >= filled_j / 2:
            self.tally.replace_last_gap(energies_j[0])
        self._move(reading)

    def _possible_j(self, before_j: float, after_j: float, time_s: float) -> list[float]:
        """What the two readings may stand for, by whole wraps, and the part could have drawn [J]; ascending."""
        least_j = counter_step_j(before_j, after_j, self.of.wrap_j)
        ceiling_w, wrap_j = self.of.ceiling_w, self.of.wrap_j
        if least_j < 0 or (ceiling_w is not None and least_j > ceiling_w * (time_s + SLOWEST_UPDATE_S)):
            return []
        if ceiling_w is None or not wrap_j:
            return [least_j]
        further = max(int((ceiling_w * time_s - least_j) // wrap_j), 0)
        if not further:
            return [least_j]
        mean_j = (self.tally.recent_w or 0.0) * time_s
        nearest = min(max(round((mean_j - least_j) / wrap_j), 0), further)
        return sorted({least_j, least_j + nearest * wrap_j, least_j + further * wrap_j})
