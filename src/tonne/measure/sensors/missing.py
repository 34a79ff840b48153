"""What is said while a run begins of sensors that the user named and that cannot be opened. Light."""

from __future__ import annotations

from collections.abc import Iterable

from tonne.measure.sensors.protocol import OWN_METERS, Missing


def warn_of_own_meters(missing: Iterable[Missing]) -> None:
    """Warn where meters that the user named cannot be read: somebody relies on them.

    Args:
        missing: Parts without a sensor.
    """
    for one in missing:
        if one.part == OWN_METERS:
            from logging import getLogger  # noqa: PLC0415 - only where there is something to say

            getLogger(__name__).warning("tonne: own meters are not read: %s", one.reason)
