"""Threads that a fork waits for while they import: the child would hold the lock of a half-loaded module for ever.

Python makes its other locks new in a forked child, but not those of modules: whoever imports such a one there, hangs.
"""

from __future__ import annotations

import os
import sys
import time
from threading import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IMPORTING = "<frozen importlib._bootstrap>"  # where the frames of an import are
PATIENCE_S, PAUSE_S = 1.0, 0.001

_THREADS: set[int] = set()


def waited_for(function: Callable[..., None]) -> Callable[..., None]:
    """What a thread runs; a fork while it imports a module waits until that is loaded, a second at most."""

    def run(*arguments: Any) -> None:  # noqa: ANN401 - whatever the function takes
        mine = get_ident()
        _THREADS.add(mine)
        try:
            function(*arguments)
        finally:
            _THREADS.discard(mine)

    return run


def _imports() -> bool:
    """Whether one of our threads is in the midst of an import."""
    frames = sys._current_frames()
    for thread in tuple(_THREADS):
        frame = frames.get(thread)
        while frame is not None:
            if frame.f_code.co_filename == IMPORTING:
                return True
            frame = frame.f_back
    return False


def _before_fork() -> None:
    until_s = time.monotonic() + PATIENCE_S
    while _THREADS and _imports() and time.monotonic() < until_s:
        time.sleep(PAUSE_S)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_THREADS.clear)
