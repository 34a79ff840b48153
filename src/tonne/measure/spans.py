"""Named stretches of time in a run: what they took, added up by name as they end. They may overlap."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


NS_PER_S = 1e9
DIGITS = 6  # of joules and seconds in the journal

Sums = list[list[float]]  # by sensor: energy, low, high [J], time measured and in gaps [s]


class Spans:
    """What the ended windows of one name took in this process.

    Where this process read the sensors, their sums are kept; of the others, when they were: then the readings of
    another process tell, or those that came later.
    """

    __slots__ = ("count", "lasted_s", "loose_from_ns", "loose_s", "loose_to_ns", "sums")

    def __init__(self) -> None:
        """Nothing has ended yet."""
        self.count = 0
        self.lasted_s = 0.0
        self.sums: Sums | None = None
        self.loose_s = 0.0  # of windows without sums since the last line
        self.loose_from_ns = 0
        self.loose_to_ns = 0

    def add(self, begun_ns: int, ended_ns: int, sums: Sums | None, *, is_new: bool = True) -> None:
        """Add one that ended, or the rest of one that a pause of the run had cut."""
        lasted_s = (ended_ns - begun_ns) / NS_PER_S
        self.count += is_new
        self.lasted_s += lasted_s
        if sums is None or (self.sums is not None and len(sums) != len(self.sums)):
            self.loose_s += lasted_s
            self.loose_from_ns = min(self.loose_from_ns or begun_ns, begun_ns)
            self.loose_to_ns = max(self.loose_to_ns, ended_ns)
        elif self.sums is None:
            self.sums = sums
        else:
            self.sums = [
                [a + b for a, b in zip(old, new, strict=True)] for old, new in zip(self.sums, sums, strict=True)
            ]

    def line(self) -> list[Any]:
        """Number and time [s]; sums so far; time [s], begin and end [ns] of those without since the last line."""
        loose = [self.loose_s, self.loose_from_ns, self.loose_to_ns] if self.loose_s else None
        sums = None if self.sums is None else [[round(number, DIGITS) for number in sensor] for sensor in self.sums]
        return [self.count, self.lasted_s, sums, loose]

    def written(self) -> None:
        """The line is in the journal."""
        self.loose_s, self.loose_from_ns, self.loose_to_ns = 0.0, 0, 0


def between(earlier: Sums | None, later: Sums | None, part_of_all: float) -> Sums | None:
    """What came between two states of the sums; None without the later one, or where a sensor is silent even then.

    By time where nothing was known at the earlier one, or of a sensor that was silent then: what it adds up to later
    fills the time from the beginning on.

    Args:
        earlier: At the beginning of the window.
        later: At its end.
        part_of_all: The window as a share of all the time that `later` is of.
    """
    if later is None or not all(map(_knows, later)):
        return None
    if earlier is None or len(earlier) != len(later):
        return [[part_of_all * a for a in new] for new in later]
    return [
        [a - b for a, b in zip(new, old, strict=True)] if _knows(old) else [part_of_all * a for a in new]
        for new, old in zip(later, earlier, strict=True)
    ]


def _knows(sensor: list[float]) -> bool:
    """Whether a sensor had measured anything: energy, or time without any."""
    return bool(sensor[0] or sensor[3])


def together_s(spans: Sequence[tuple[float, float]]) -> float:
    """Time in which at least one of some spans, begin and end [s], goes on [s]."""
    lasted_s, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        lasted_s += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return lasted_s
