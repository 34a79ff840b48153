"""Writing files whole or not at all, and saying so when the disk is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tonne.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Turns the system's word for a full disk into an error that says what is safe and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(
            f"The disk is full: {error.strerror or error} while writing {folder}. Nothing unfinished will be taken for "
            f"a whole one. Free space and run the same command again: it goes on where it stopped."
        ) from None


def written_whole(file: Path, content: bytes) -> None:
    """Write a file in one stroke: whoever opens it finds the old content or the new, never a part."""
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
