"""Who used the accelerators while a run went on, as the driver counts it, and which processes are the run's."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tonne.measure.sensors.users import BoardUsers

EVERY_S = 5.0  # asking a driver for its processes costs more than a reading
DRIVER = "/dev/nvidiactl"
NVML = "nvml:"


class BoardUse:
    """Time of each board by process, and the processes below this one."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._pids: set[int] = set()
        self._new: set[int] = set()  # of them, those that are not in the journal
        self._users: dict[str, BoardUsers] = {}
        self._seconds: dict[str, dict[int, float]] = {}
        self._asked_s = 0.0
        self._matters = os.path.exists(DRIVER)

    def open(self, sensors: list[str]) -> None:
        """Ask about the boards of these sensors from now on."""
        boards = [name for name in sensors if name.startswith(NVML) and name.removeprefix(NVML).isdigit()]
        if boards:
            from tonne.measure.sensors.users import BoardUsers  # noqa: PLC0415 - only where there are boards

            self._users = {name: BoardUsers(int(name.removeprefix(NVML))) for name in boards}
            self._matters = True
            self._asked_s = time.monotonic()

    def slices(self) -> dict[str, list[list[Any]]]:
        """By sensor of a board that is cut into slices (MIG): the id of each and its share of the board."""
        if not self._users:
            return {}
        from tonne.measure.sensors.nvidia import slices_of  # noqa: PLC0415 - as above

        try:
            found = {name: slices_of(users.index) for name, users in self._users.items()}
        except Exception:  # whatever a driver does: then nobody knows of slices
            return {}
        return {name: [[one.uuid, one.fraction] for one in slices] for name, slices in found.items() if slices}

    def saw(self, pids: set[int]) -> None:
        """Take in the processes of the run that live now."""
        if self._matters:
            self._new |= pids - self._pids
            self._pids |= pids

    def lines(self) -> list[dict[str, Any]]:
        """What is new since the last time."""
        found: list[dict[str, Any]] = []
        if self._new:
            found.append({"kind": "pids", "pids": sorted(self._new)})
            self._new = set()
        now_s = time.monotonic()
        if self._users and now_s - self._asked_s >= EVERY_S:
            self._ask(now_s - self._asked_s)
            self._asked_s = now_s
            found.append({"kind": "boards", "seconds": self._seconds})
        return found

    def close(self) -> None:
        """Let go of the driver."""
        for users in self._users.values():
            users.close()
        self._users = {}

    def _ask(self, time_s: float) -> None:
        from tonne.measure.sensors.users import shares_of  # noqa: PLC0415 - as above

        for name, users in self._users.items():
            seconds = self._seconds.setdefault(name, {})
            for pid, share in shares_of(users.read()).items():
                seconds[pid] = seconds.get(pid, 0.0) + share * time_s
