"""Whether a loop that says nothing when it fails still runs: the frame of its call is still on its thread's stack."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType


class Presence:
    """Calls back once when a library's outermost call, the one on the stack now, is gone.

    No reference to the frame is kept: it would hold the model and the data of a loop that failed. Its address and code
    tell it well enough, for a loop that begins again says so.
    """

    def __init__(self, package: str, every_s: float, on_gone: Callable[[], None]) -> None:
        """Watch the outermost call of a package on this thread's stack; without one, nothing is watched.

        Args:
            package: First part of the names of its modules.
            every_s: Time between two looks [s].
            on_gone: Called in a thread of its own.
        """
        self._over = threading.Event()
        self._telling = threading.Lock()
        self._pid = os.getpid()
        found = _outermost(sys._getframe(1), package)
        if found is None:
            return
        self._mark = _mark_of(found)
        self._thread_id = threading.get_ident()
        self._every_s, self._on_gone = every_s, on_gone
        threading.Thread(target=self._look, name="tonne-presence", daemon=True).start()

    def end(self) -> None:
        """Look no more: once this returns, nothing is called back. A second call does nothing."""
        if self._pid != os.getpid():
            return  # a forked child: who looks is in the parent, and may have held the lock at that moment
        with self._telling:
            self._over.set()

    def _look(self) -> None:
        while not self._over.wait(self._every_s):
            if not self._is_there():
                with self._telling:
                    if not self._over.is_set():
                        self._on_gone()
                return

    def _is_there(self) -> bool:
        frame = sys._current_frames().get(self._thread_id)
        while frame is not None:
            if _mark_of(frame) == self._mark:
                return True
            frame = frame.f_back
        return False


def _mark_of(frame: FrameType) -> tuple[int, CodeType]:
    return id(frame), frame.f_code


def _outermost(frame: FrameType | None, package: str) -> FrameType | None:
    """The last frame of a package on the way out; None where there is none."""
    found = None
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name == package or name.startswith(f"{package}."):
            found = frame
        frame = frame.f_back
    return found
