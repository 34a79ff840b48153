"""What sensors said at a tick, as fields of a journal's line, and what was added up until then."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tonne.measure.integration import Integral
    from tonne.measure.sensors.protocol import Reading

    State = tuple[int, list[float]]  # when a sensor was read last, and its `terms` then

NS_PER_S = 1e9
DIGITS = 4  # of a reading: a tenth of a millijoule


def fields_of(readings: Sequence[Reading], begun_ns: int) -> dict[str, Any]:
    """Values, when each was read after the first [us], and faults by sensor."""
    found: dict[str, Any] = {
        "t": begun_ns,
        "v": [
            round(reading.value, DIGITS) if is_number(reading) and reading.value is not None else None
            for reading in readings
        ],
        "o": [(reading.time_ns - begun_ns) // 1000 for reading in readings],
    }
    faults = {str(i): reading.fault for i, reading in enumerate(readings) if reading.fault}
    return {**found, "f": faults} if faults else found


def is_number(reading: Reading) -> bool:
    """Whether it has a number, neither of infinity nor NaN: others are added up as the journal has them, as none."""
    return reading.fault is None and reading.value is not None and reading.value - reading.value == 0


def terms(integral: Integral, at_ns: int, begun_ns: int) -> list[float]:
    """Energy, low, high [J], time measured and in gaps [s] up to a time at or soon after the last reading."""
    read, now = integral.total(), integral.total(at_ns)
    if read.energy_j is None or now.energy_j is None or read.high_j is None:
        return [0.0, 0.0, 0.0, 0.0, max(at_ns - begun_ns, 0) / NS_PER_S]  # nothing was measured yet
    since_j = now.energy_j - read.energy_j
    return [now.energy_j, read.low_j + since_j, read.high_j + since_j, now.measured_s, now.gap_s]


def state(integral: Integral, begun_ns: int) -> State:
    """When a sensor's last reading was taken, or counting began, and what was added up until then, as `terms`."""
    counted_ns = max(integral.last_ns, integral.start_ns or begun_ns)
    return counted_ns, terms(integral, counted_ns, begun_ns)


def states(integrals: Sequence[Integral], begun_ns: int) -> list[State]:
    """What each sensor added up to at its last reading."""
    return [state(integral, begun_ns) for integral in integrals]


def terms_at(before: list[State], integrals: Sequence[Integral], at_ns: int, begun_ns: int) -> list[list[float]]:
    """What each sensor added up to at a time around its last two readings; see `terms_between`."""
    both = zip(before, integrals, strict=True)
    return [terms_between(one, integral, at_ns, begun_ns) for one, integral in both]


def terms_between(before: State, integral: Integral, at_ns: int, begun_ns: int) -> list[float]:
    """What was added up to a time around the last two readings: a reading may come late.

    Args:
        before: Its `state` before the last reading.
        integral: Its sum by now.
        at_ns: The time.
        begun_ns: As of `terms`.
    """
    before_ns, earlier = before
    now_ns, later = state(integral, begun_ns)
    if at_ns >= now_ns or now_ns <= before_ns:
        return terms(integral, at_ns, begun_ns)
    share = max((at_ns - before_ns) / (now_ns - before_ns), 0.0)
    return [a + share * (b - a) for a, b in zip(earlier, later, strict=True)]


def unread(reading: Reading) -> Reading:
    """A reading that says nothing, at its time."""
    from tonne.measure.integration import SILENT  # noqa: PLC0415 - seldom needed
    from tonne.measure.sensors.protocol import Reading  # noqa: PLC0415 - as above

    return Reading(reading.time_ns, None, SILENT)
