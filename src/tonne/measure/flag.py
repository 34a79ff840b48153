"""A flag that a thread sleeps on; waiting costs half of what `threading.Event` takes, which makes a lock each time."""

from __future__ import annotations

from threading import Lock


class Flag:
    """Not set at first; once set it stays so."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        """A flag that is not set: a lock that is held."""
        self._lock = Lock()
        self._lock.acquire()

    def set(self) -> None:
        """End the sleep of whoever waits, and of whoever will."""
        self._let_go()

    def wait(self, time_s: float) -> None:
        """Sleep so long at most [s]."""
        if self._lock.acquire(timeout=max(time_s, 0.0)):
            self._let_go()

    def _let_go(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            return  # it was set, and is
