"""What a sensor is: one number that a driver gives, what it covers, and how wrong it may be.

Parts of a node: "accelerator:0", "accelerator:1" ..., "cpu", "memory"; "host" is all of the node but its accelerators,
"node" is all of it. Energy is in joules and power in watts, whatever unit the driver speaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Clock = Callable[[], int]  # time.monotonic_ns, or a test's own
Kind = Literal["counter", "power"]
Unit = Literal["J", "W"]

CPU, MEMORY, HOST, NODE = "cpu", "memory", "host", "node"
ACCELERATOR = "accelerator:"
UNUSED = "unused board"  # no driver is loaded: nothing can train on it, and what it idles at is in no figure
OWN_METERS = "own meters"  # what the user named; where they cannot be opened, that is told as a part without a sensor
LONGEST_FAULT = 120  # letters
SHORTEST_INTERVAL_S = 0.01  # a counter that wraps faster than this allows is told as a gap


def accelerator(index: int | str) -> str:
    """The part that is one accelerator, as "accelerator:0"."""
    return f"{ACCELERATOR}{index}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sensor said once.

    `time_ns` is of time.monotonic_ns(), so that clock jumps do not matter; `value` is in the sensor's unit. Where
    `fault` says why there is none, `value` is None.
    """

    time_ns: int
    value: float | None
    fault: str | None = None


class Described(Protocol):
    """What there is to know of a sensor without reading it; enough to add up what it once read."""

    @property
    def name(self) -> str:
        """Driver and place, unique on the node, as "rapl:package-0"."""

    @property
    def part(self) -> str:
        """The part of the node that it is about."""

    @property
    def covers(self) -> tuple[str, ...]:
        """All parts whose energy is in its number; `part` where it is one of them alone."""

    @property
    def kind(self) -> Kind:
        """Whether it counts energy or tells power."""

    @property
    def unit(self) -> Unit:
        """What its value is in: "J" of a counter, "W" of power."""

    @property
    def error_fraction(self) -> float:
        """Half of its 90 % interval as a share of the value; one bias all along, which does not average out."""

    @property
    def wrap_j(self) -> float | None:
        """Where a counter starts again from zero [J]; None where it does not."""

    @property
    def window_s(self) -> float:
        """Time before a reading over which its power is an average [s]; 0 for the power of the moment."""

    @property
    def ceiling_w(self) -> float | None:
        """Power that its part cannot exceed for seconds [W]; tells a wrap from a reset. None where it is not known."""

    @property
    def step_j(self) -> float:
        """Smallest change that a counter shows [J]; 0 where it is finer than anybody reads."""


class Sensor(Described, Protocol):
    """A sensor that can be read."""

    def read(self) -> Reading:
        """Its number now. Never raises: what went wrong is the reading's fault."""

    def close(self) -> None:
        """Let go of the driver; a second call does nothing."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What there is to know of a sensor, kept beside its readings so that they can be added up again later."""

    name: str
    part: str
    kind: Kind
    unit: Unit
    covers: tuple[str, ...] = ()
    error_fraction: float = 0.0
    wrap_j: float | None = None
    window_s: float = 0.0
    ceiling_w: float | None = None
    step_j: float = 0.0
    device: str = ""  # what the hardware is called, as "NVIDIA H100 80GB HBM3"
    device_id: str = ""  # what tells it from its like: the UUID of a GPU

    def __post_init__(self) -> None:
        """A sensor that covers nothing else covers its part."""
        object.__setattr__(self, "covers", tuple(self.covers) or (self.part,))

    def as_dict(self) -> dict[str, Any]:
        """Its fields as built-in types, for a line of JSON."""
        fields = {name: getattr(self, name) for name in Description.__dataclass_fields__}
        return {**fields, "covers": list(self.covers)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Description:
        """The description that `as_dict` wrote; fields of a later version are passed over."""
        return cls(**{name: value for name, value in fields.items() if name in Description.__dataclass_fields__})

    @classmethod
    def of(cls, sensor: Described) -> Description:
        """The description of a sensor."""
        return cls(**{name: getattr(sensor, name) for name in cls.__dataclass_fields__ if hasattr(sensor, name)})


@dataclass(frozen=True, kw_only=True)
class Readable(Description):
    """A sensor as its description and what reads it: the shape that all sensors of tonne have."""

    source: Callable[[], float]  # its number now in its unit, or a ReadingError
    clock: Clock = time.monotonic_ns
    closer: Callable[[], None] | None = None

    def read(self) -> Reading:
        """Its number now, timed half way through the reading."""
        before_ns = self.clock()
        try:
            value = self.source()
        except Exception as error:  # whatever a driver does: the program that is measured goes on
            return Reading(self.clock(), None, f"{type(error).__name__}: {error}"[:LONGEST_FAULT])
        return Reading((before_ns + self.clock()) // 2, value)

    def close(self) -> None:
        """Let go of the driver."""
        if self.closer is not None:
            self.closer()


def once(function: Callable[[], object]) -> Callable[[], None]:
    """A function that runs the first time it is called, and does nothing after."""
    left = [function]

    def run() -> None:
        while left:
            left.pop()()

    return run


class ReadingError(Exception):
    """A driver gave no number; the text says why."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A part without a sensor: why, and the command that mends it (empty where nothing does)."""

    part: str
    reason: str
    mend: str = ""
    device: str = ""  # what the hardware is called, where that is known

    @property
    def parts(self) -> list[str]:
        """The parts one by one: one driver may leave several without a sensor."""
        return self.part.split(", ")


def longest_interval_s(sensor: Described) -> float | None:
    """Longest time between two readings in which a counter cannot pass its wrap twice, with a margin of two [s].

    Equation: t = E_wrap / (2 P_ceiling). None where the counter does not wrap or no ceiling is known.
    """
    if sensor.wrap_j is None or not sensor.ceiling_w:
        return None
    return sensor.wrap_j / (2 * sensor.ceiling_w)


def reading_interval_s(sensors: Iterable[Described], wanted_s: float) -> float:
    """How often to read so that no counter wraps unseen: as wanted, or oftener [s].

    Args:
        sensors: All that are read together.
        wanted_s: The interval that the user asked for [s].
    """
    needed = [longest for sensor in sensors if (longest := longest_interval_s(sensor)) is not None]
    return max(min([wanted_s, *needed]), min(wanted_s, SHORTEST_INTERVAL_S))
