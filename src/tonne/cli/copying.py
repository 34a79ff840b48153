"""A command's output passed on byte by byte, and read on the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from threading import Thread

BYTES = 65_536


def copies(process: subprocess.Popen[bytes], reader: Callable[[], Callable[[bytes], None]]) -> list[Thread]:
    """Threads that pass on standard output and standard error until they are closed, each read by a reader of its own.

    Args:
        process: With pipes in place of both.
        reader: Makes what reads one of them.
    """
    found = []
    for stream, descriptor in ((process.stdout, 1), (process.stderr, 2)):
        if stream is not None:
            thread = Thread(target=_copy, args=(stream.fileno(), descriptor, reader()), daemon=True)
            thread.start()
            found.append(thread)
    return found


def _copy(source: int, target: int, read: Callable[[bytes], None]) -> None:
    while data := os.read(source, BYTES):
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(target, left) :]
        except OSError:
            pass  # nobody listens any more; the command is not to notice
        read(data)
