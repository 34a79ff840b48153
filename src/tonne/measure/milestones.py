"""Lines of a journal that say what its sensors added up to, so that a run of months is read as fast as one of hours.

Every so many ticks a process writes such a line after the tick. Of what lies between the first and the last of them no
tick is needed: what was added in between is the difference of the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tonne.measure.integration import Integral
from tonne.measure.journal import Line, parsed
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Described
from tonne.measure.tally import Total

EVERY_TICKS = 600
KIND = "milestone"
TICK, WINDOWS, MILESTONE = b'{"t":', b'{"kind":"windows"', b'{"kind":"milestone"'
IN_ANY_ORDER = tuple(f'{{"kind":"{kind}"'.encode() for kind in ("progress", "loose", "open", "boards", "pids", "facts"))
JUST_BEFORE = 2  # a milestone's own tick, and the windows so far


def line_of(time_ns: int, integrals: Iterable[Integral], load: Load | None) -> Line:
    """The line of a process that has just read its sensors.

    Args:
        time_ns: After the reading, of time.monotonic_ns().
        integrals: By sensor; none where another process reads.
        load: Of the node since this process began to look at it.
    """
    sums = [integral.as_dict() for integral in integrals]
    return {"kind": KIND, "t": time_ns, "sums": sums, "load": None if load is None else load.as_dict()}


def needed(texts: Iterable[bytes]) -> Iterator[Line]:
    """Of the lines of a file those that its account needs, in their order; torn ones are passed over."""
    waiting: list[bytes] = []
    is_first = True
    for text in texts:
        if text.startswith((TICK, WINDOWS)):
            waiting.append(text)
            continue
        if text.startswith(MILESTONE):
            yield from _whole(waiting if is_first else waiting[-JUST_BEFORE:])
            waiting, is_first = [], False
        elif not text.startswith(IN_ANY_ORDER):  # a stretch of time, or other sensors
            yield from _whole(waiting)
            waiting, is_first = [], True
        yield from _whole((text,))
    yield from _whole(waiting)


def _whole(texts: Iterable[bytes]) -> Iterator[Line]:
    for text in texts:
        line = parsed(text) if text.endswith(b"\n") else None
        if line is not None:
            yield line


@dataclass(frozen=True, slots=True)
class Skip:
    """Time of which one sensor's readings are not needed, and its sums at either end."""

    from_ns: int
    to_ns: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def lies_in(self, begin_ns: int, end_ns: int) -> bool:
        """Whether all of it does."""
        return begin_ns <= self.from_ns and self.to_ns <= end_ns

    def over(self, so_far: Integral, of: Described) -> tuple[Integral, Total]:
        """The sum at its end, and what is to be added to it: what the process that wrote it had not seen.

        Args:
            so_far: The sum at its beginning.
            of: The sensor.
        """
        mine, theirs = so_far.total(), Integral.from_dict(of, so_far.gap_s, self.before).total()
        known = mine.energy_j is not None and theirs.energy_j is not None
        unseen = mine.minus(theirs) if known else Total()
        return Integral.from_dict(of, so_far.gap_s, self.after), unseen
