"""Who uses an accelerator: the processes that NVIDIA's driver counts on each board, and how busy each keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """A process on a board: the memory that it holds there, and its share of the board's time.

    `busy_fraction` is None where the driver does not tell: slices of a board, and boards before Maxwell.
    """

    pid: int
    memory_bytes: int
    busy_fraction: float | None


def shares_of(users: Sequence[User]) -> dict[int, float]:
    """Share of a board's energy by process; they add up to one. Empty where nobody uses it.

    Equation: s_i = b_i / sum_j b_j, with b = busy_fraction; where it is not known, or all are idle, equal parts.

    Args:
        users: All processes on the board.
    """
    busy = [user.busy_fraction for user in users]
    whole = sum(share for share in busy if share is not None)
    if not users or None in busy or whole <= 0:
        return {user.pid: 1 / len(users) for user in users}
    return {user.pid: (user.busy_fraction or 0.0) / whole for user in users}


@dataclass(slots=True)
class BoardUsers:
    """Reads who uses one board, again and again.

    Args:
        index: Number of the board, as NVML counts: of "accelerator:0", 0.
    """

    index: int
    _nvml: Any = field(default=None, init=False)
    _board: Any = field(default=None, init=False)
    _seen_us: int = field(default=0, init=False)

    def read(self) -> tuple[User, ...]:
        """The processes on the board now, with their share of its time since the reading before.

        Returns:
            Nothing where the driver does not tell, as inside containers: it shows a container no processes.
        """
        if not self._open():
            return ()
        try:
            held = {p.pid: p.usedGpuMemory or 0 for p in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._board)}
        except self._nvml.NVMLError:
            return ()
        busy = self._busy()
        return tuple(User(pid, held[pid], None if busy is None else busy.get(pid, 0.0)) for pid in sorted(held))

    def close(self) -> None:
        """Let go of the driver; a second call does nothing."""
        if self._board is not None:
            self._board = None
            self._nvml.nvmlShutdown()

    def _open(self) -> bool:
        if self._board is not None:
            return True
        try:
            import pynvml  # noqa: PLC0415 - only machines with the driver come here

            pynvml.nvmlInit()
        except Exception:
            return False
        self._nvml = pynvml
        try:
            self._board = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        except pynvml.NVMLError:
            pynvml.nvmlShutdown()
            return False
        return True

    def _busy(self) -> dict[int, float] | None:
        """Mean share of the time that each process kept the board busy since the last reading; None if not told."""
        try:
            samples = self._nvml.nvmlDeviceGetProcessUtilization(self._board, self._seen_us)
        except self._nvml.NVMLError as error:
            return {} if error.value == self._nvml.NVML_ERROR_NOT_FOUND else None  # nobody was busy
        moments = {sample.timeStamp for sample in samples if sample.timeStamp > self._seen_us}
        found: dict[int, float] = {}
        for sample in samples:
            if sample.timeStamp in moments:
                found[sample.pid] = found.get(sample.pid, 0.0) + sample.smUtil / 100
        self._seen_us = max([self._seen_us, *moments])
        return {pid: share / len(moments) for pid, share in found.items()}
