"""Power that Linux shows under /sys/class/hwmon: of a server's supply, of NVIDIA Grace, of boards of AMD and Intel.

Chips that measure single rails, and drivers whose power another sensor already covers, are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tonne.measure.environment import Roots
from tonne.measure.sensors.protocol import (
    CPU,
    MEMORY,
    NODE,
    Clock,
    Kind,
    Missing,
    Readable,
    accelerator,
)
from tonne.reference.measuring import measuring_constant

MICRO, MILLI = 1e-6, 1e-3
SERVER, GRACE = "power_meter", "Grace Power"  # the second is a label of the first: one socket, memory included
SOCKET = "power socket"  # in the labels of NVIDIA's meters, none of which is of the whole machine
BOARDS = ("amdgpu", "i915", "xe")
READER_OF = {"amdgpu": "amdsmi"}  # chip -> driver that tells the same of it
CARD = "card"  # of Intel's boards: all of it, its package ("pkg") included
SEVERAL = "meters of the whole machine are shown: whether they add up or tell the same is not known"


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

    @property
    def of_battery(self) -> bool:
        """Whether it tells what a battery gives: of a machine at its plug, nothing."""
        return _text(self.file.with_name(f"{self.stem}_is_battery")) == "1"


def open_hwmon(
    roots: Roots, clock: Clock, readers: frozenset[str] = frozenset()
) -> tuple[list[Readable], list[Missing]]:
    """The meters that cover a whole part.

    Args:
        roots: Where the kernel shows them.
        clock: Time of the readings.
        readers: Other drivers that read accelerators: boards of AMD are left out where amdsmi does, all of them where
            meters of the user's do.

    Source: linux2009powermeter, attributes of a meter.
    """
    chips = [_channels(chip) for chip in sorted(roots.hwmon.glob("hwmon*"), key=_number)]
    servers = [channel for channels in chips for channel in channels if channel.driver == SERVER]
    graces = [channel for channel in servers if channel.label.startswith(GRACE)]
    whole = [channel for channel in servers if SOCKET not in channel.label.lower() and not channel.of_battery]
    shown = [board for channels in chips if (board := _board(channels)) is not None]
    boards = [board for board in shown if not readers & {"own", READER_OF.get(board.driver)}]
    opened = [_sensor(c, f"hwmon:grace-{i}", (CPU, (CPU, MEMORY)), clock) for i, c in enumerate(graces)]
    meters = _that_tell(_sensor(c, f"hwmon:server-{i}", (NODE, (NODE,)), clock) for i, c in enumerate(whole))
    several = [Missing(NODE, f"{len(meters)} {SEVERAL}", "name the right ones in TONNE_METERS; see docs/sensors.md")]
    opened += [_sensor(c, f"hwmon:{c.driver}-{i}", (accelerator(i), ()), clock) for i, c in enumerate(boards)]
    found = _that_tell(opened)
    return ([*found, *meters], []) if len(meters) < 2 else (found, several)


def _that_tell(sensors: Iterable[Readable]) -> list[Readable]:
    return [sensor for sensor in sensors if sensor.read().fault is None]


def _board(channels: list[Channel]) -> Channel | None:
    """The channel that is of a whole board, where the chip is one: the card's before that of its package."""
    of_boards = [channel for channel in channels if _is_board(channel)]
    return min(of_boards, key=lambda channel: channel.label.lower() != CARD, default=None)


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
    """The channels of a chip, one for each place: energy before power, the average before the moment.

    Linux up to 6.13 shows ACPI meters in the folder "device" of their chip, and their labels always as information of
    the maker.
    """
    driver = _text(chip / "name") or _text(chip / "device/name")
    folders = (chip / "device", chip) if driver == SERVER else (chip,)
    found: dict[str, Channel] = {}
    for pattern, kind in (("power*_input", "power"), ("power*_average", "power"), ("energy*_input", "counter")):
        for file in (file for folder in folders for file in sorted(folder.glob(pattern))):
            stem = file.name.rpartition("_")[0]
            number = stem.lstrip("abcdefghijklmnopqrstuvwxyz")
            label = _text(file.with_name(f"{stem}_label")) or _text(file.with_name(f"{stem}_oem_info"))
            found[number] = Channel(driver, label, file, "counter" if kind == "counter" else "power")
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
    """Error of a meter from what its driver says of its accuracy, as "98.5%"; that of no meter is 100 %."""
    try:
        fraction = 1 - float(accuracy.rstrip("%")) / 100
    except ValueError:
        fraction = -1.0
    return fraction if 0 < fraction < 1 else float(measuring_constant("hwmon_error_fraction").value)
