"""Power that Linux shows under /sys/class/hwmon: of a server's supply, of NVIDIA Grace, of boards of AMD and Intel.

Chips that measure single rails, and drivers whose power another sensor already covers, are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tonne.measure.environment import Roots
from tonne.measure.sensors.protocol import (
    CPU,
    MEMORY,
    NODE,
    Clock,
    Kind,
    Readable,
    accelerator,
)
from tonne.reference.measuring import measuring_constant

MICRO, MILLI = 1e-6, 1e-3
SERVER, GRACE = "power_meter", "Grace Power"  # the second is a label of the first: one socket, memory included
BOARDS = ("amdgpu", "i915", "xe")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a chip: what drives it, its label, and the file with its number."""

    driver: str
    label: str
    file: Path
    kind: Kind

    @property
    def stem(self) -> str:
        """The channel's name, as "power1"."""
        return self.file.name.rpartition("_")[0]


def open_hwmon(roots: Roots, clock: Clock, accelerators: frozenset[str] = frozenset()) -> list[Readable]:
    """The meters that cover a whole part.

    Args:
        roots: Where the kernel shows them.
        clock: Time of the readings.
        accelerators: Parts that another driver already reads; boards are left out where there are any.

    Source: linux2009powermeter, attributes of a meter.
    """
    channels = [channel for chip in sorted(roots.hwmon.glob("hwmon*"), key=_number) for channel in _channels(chip)]
    servers = [channel for channel in channels if channel.driver == SERVER]
    graces = [channel for channel in servers if channel.label.startswith(GRACE)]
    whole = [channel for channel in servers if not channel.label]
    boards = [] if accelerators else [channel for channel in channels if _is_board(channel)]
    opened = [_sensor(c, f"hwmon:grace-{i}", (CPU, (CPU, MEMORY)), clock) for i, c in enumerate(graces)]
    opened += [_sensor(c, f"hwmon:server-{i}", (NODE, (NODE,)), clock) for i, c in enumerate(whole)]
    opened += [_sensor(c, f"hwmon:{c.driver}-{i}", (accelerator(i), ()), clock) for i, c in enumerate(boards)]
    return [sensor for sensor in opened if sensor.read().fault is None]


def _is_board(channel: Channel) -> bool:
    """Whether it is a board; graphics inside an AMD processor have no limit of their own, and tell the whole chip's."""
    limited = channel.driver != "amdgpu" or (channel.file.parent / f"{channel.stem}_cap").exists()
    return channel.driver in BOARDS and limited


def _number(chip: Path) -> int:
    digits = chip.name.removeprefix("hwmon")
    return int(digits) if digits.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _channels(chip: Path) -> list[Channel]:
    """The channels of a chip, one for each place: energy before power, the average before the moment."""
    driver, found = _text(chip / "name"), {}
    for pattern, kind in (("power*_input", "power"), ("power*_average", "power"), ("energy*_input", "counter")):
        for file in sorted(chip.glob(pattern)):
            stem = file.name.rpartition("_")[0]
            number = stem.lstrip("abcdefghijklmnopqrstuvwxyz")
            found[number] = Channel(
                driver, _text(chip / f"{stem}_label"), file, "counter" if kind == "counter" else "power"
            )
    return [found[number] for number in sorted(found)]


def _micro(file: Path) -> Callable[[], float]:
    """Reads microjoules as joules, or microwatts as watts."""
    return lambda: float(file.read_bytes()) * MICRO


def _sensor(channel: Channel, name: str, part: tuple[str, tuple[str, ...]], clock: Clock) -> Readable:
    chip = channel.file.parent
    window_ms = _text(chip / f"{channel.stem}_average_interval") if channel.file.name.endswith("_average") else ""
    return Readable(
        name=name,
        part=part[0],
        covers=part[1],
        kind=channel.kind,
        unit="J" if channel.kind == "counter" else "W",
        error_fraction=_error_fraction(_text(chip / f"{channel.stem}_accuracy")),
        window_s=float(window_ms) * MILLI if window_ms.isdigit() else 0.0,
        device=channel.label or channel.driver,
        source=_micro(channel.file),
        clock=clock,
    )


def _error_fraction(accuracy: str) -> float:
    """Error of a meter from what its driver says of its accuracy, as "98.5%"."""
    try:
        fraction = 1 - float(accuracy.rstrip("%")) / 100
    except ValueError:
        fraction = -1.0
    return fraction if 0 <= fraction < 1 else float(measuring_constant("hwmon_error_fraction").value)
