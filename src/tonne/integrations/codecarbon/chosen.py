"""The sensors of a machine less the accelerators that a script does not want counted (`gpu_ids`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tonne.integrations.codecarbon.settings import LOGGER
from tonne.measure.environment import visible_variables
from tonne.measure.sensors import Missing, Sensor, open_sensors
from tonne.measure.sensors.protocol import ACCELERATOR, Description
from tonne.measure.visible import is_visible

Opener = Callable[[], tuple[Sequence[Sensor], Sequence[Missing]]]


def opener_of(gpu_ids: Any) -> Opener | None:  # noqa: ANN401 - a list, or a text with commas
    """What opens the sensors of a machine; None for all of them.

    Args:
        gpu_ids: Numbers of accelerators, or beginnings of their ids.
    """
    if gpu_ids is None:
        return None
    if not isinstance(gpu_ids, str | list | tuple):
        LOGGER.warning("gpu_ids=%r is no list and no text with commas: all accelerators are counted.", gpu_ids)
        return None
    listed = gpu_ids.split(",") if isinstance(gpu_ids, str) else gpu_ids
    wanted = [str(one).strip() for one in listed if str(one).strip()]

    def opened() -> tuple[Sequence[Sensor], Sequence[Missing]]:
        sensors, missing = open_sensors()
        kept = []
        for sensor in sensors:
            if _is_wanted(sensor, wanted):
                kept.append(sensor)
            else:
                sensor.close()
        return kept, [one for one in missing if not _is_unwanted_part(one.part, wanted)]

    return opened


def visible_among(described: Sequence[Description]) -> list[Description]:
    """Those that this process may see; all where no variable says which, or one names slices."""
    told = {name: text for name, text in visible_variables().items() if text.strip()}  # as CodeCarbon reads them
    return [one for one in described if any(is_visible(part, described, told) for part in one.covers)]


def _is_wanted(sensor: Sensor | Description, wanted: Sequence[str]) -> bool:
    if not sensor.part.startswith(ACCELERATOR):
        return True
    numbers = {part.removeprefix(ACCELERATOR) for part in sensor.covers}
    device_id = str(getattr(sensor, "device_id", "") or "")
    return any(one in numbers or (not one.isdigit() and device_id.startswith(one)) for one in wanted)


def _is_unwanted_part(part: str, wanted: Sequence[str]) -> bool:
    return part.startswith(ACCELERATOR) and part.removeprefix(ACCELERATOR) not in wanted
