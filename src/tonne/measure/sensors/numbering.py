"""Numbers of accelerators: every driver counts its own from zero, and no two boards of a machine may share a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tonne.measure.sensors.protocol import ACCELERATOR, Missing, Readable, Sensor, accelerator

AMD_BOARDS = "hwmon:amdgpu-"
OWN = "own:"  # meters of the user's, who names the parts by the numbers that `tonne doctor` shows


def next_number(sensors: Iterable[Sensor], missing: Iterable[Missing]) -> int:
    """The first number above those of the accelerators that drivers found."""
    parts = [part for sensor in sensors if not sensor.name.startswith(OWN) for part in sensor.covers]
    parts += [part for one in missing for part in one.parts]
    return 1 + max((_number(part) for part in parts), default=-1)


def moved(sensors: Sequence[Sensor], missing: Sequence[Missing], first: int) -> tuple[list[Sensor], list[Missing]]:
    """What a driver found, its accelerators numbered from another number than zero.

    Args:
        sensors: That it opened.
        missing: Of what it has none.
        first: The new number of its accelerator 0.
    """

    def part(name: str) -> str:
        return name if _number(name) < 0 else accelerator(first + _number(name))

    lacking = [replace(one, part=", ".join(map(part, one.parts))) for one in missing]
    return [_moved(sensor, part) for sensor in sensors], lacking


def beside(boards: Sequence[Sensor], missing_of_amd: Iterable[Missing], free: int) -> list[Sensor]:
    """Boards that hwmon tells of, with numbers of their own: AMD's stand for those that AMD's own library lacks.

    Args:
        boards: In the order of hwmon, other meters among them.
        missing_of_amd: What AMD's library has no sensor of.
        free: The first number that no driver uses.
    """
    lacking = [number for one in missing_of_amd for part in one.parts if (number := _number(part)) >= 0]
    found: list[Sensor] = []
    for board in boards:
        if _number(board.part) < 0:
            found.append(board)
            continue
        if board.name.startswith(AMD_BOARDS) and lacking:
            number = lacking.pop(0)
        else:
            number, free = free, free + 1
        found.append(_moved(board, lambda _, new=number: accelerator(new)))  # type: ignore[misc]
    return found


def _moved(sensor: Sensor, part: Callable[[str], str]) -> Sensor:
    """A sensor of parts with other names; itself where they are the same."""
    covers = tuple(map(part, sensor.covers))
    if covers == sensor.covers or not isinstance(sensor, Readable):
        return sensor
    return replace(sensor, part=part(sensor.part), covers=covers)


def _number(part: str) -> int:
    """Of an accelerator; below zero for all else."""
    digits = part.removeprefix(ACCELERATOR)
    return int(digits) if part.startswith(ACCELERATOR) and digits.isdigit() else -1
