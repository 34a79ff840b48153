"""The folder of a run: one run in it, one process that writes to it, and what was decided for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tonne.errors import CheckpointError, RunFolderError
from tonne.train.checkpoint import flush

RUN, CHECKPOINTS, MODEL, SAMPLES, LOCK = "run.json", "checkpoints", "model", "samples.txt", ".lock"
BEST, ADAPTER = "best", "adapter"  # of a fine-tuning: the weights of its best evaluation, and adapters alone


@contextmanager
def opened(folder: Path, *, resume: bool) -> Iterator[None]:
    """The folder, held by this process alone until the block ends.

    Raises:
        RunFolderError: It holds a run and ``resume`` was not asked for, is in use, or cannot be written.
    """
    if holds_a_run(folder) and not resume:
        raise RunFolderError(
            f"{folder} holds a run already. Go on with it by --resume, or give another --output; nothing was changed."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error}. Give another --output.") from None
    with lock:
        if not _held(lock, wait=False):
            raise RunFolderError(
                f"{folder} is being written by another process. Wait for it, or give another --output."
            )
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A folder that processes prepare one after the other: waits until no other one is inside the block."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + LOCK).open("w") as lock:
        _held(lock, wait=True)
        yield


def _held(lock: Any, *, wait: bool) -> bool:  # noqa: ANN401 - an open file
    """Whether this process holds the lock now; the system takes it back when the process ends, however it ends."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def holds_a_run(folder: Path) -> bool:
    """Whether a run was started there."""
    return (folder / RUN).exists() or (folder / CHECKPOINTS).exists() or (folder / MODEL).exists()


def write_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Keep what was decided, beside the results; whole or not at all."""
    partial = folder / f"{RUN}.partial"
    try:
        partial.write_text(json.dumps(document, indent=1), encoding="utf-8")
        flush(partial)
        partial.replace(folder / RUN)
    except OSError as error:
        raise RunFolderError(f"{folder / RUN} could not be written: {error}. Make room, and start again.") from None


def read_run(folder: Path) -> dict[str, Any] | None:
    """What was decided for the run in a folder; None where none was started.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = folder / RUN
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Give another --output to start anew.") from None
    return found
