"""Checkpoints: a folder a step, whole or not there at all.

``checkpoints/step-00000100/`` holds the tensors and ``state.json``, which lists every file with its size and digest. It
is written under another name, forced to the disk, and renamed: a process killed at any moment leaves either the old
state of affairs or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tonne.errors import CheckpointError

FORMAT = 1
PREFIX, PARTIAL = "step-", ".partial-"
STATE, TENSORS = "state.json", "state.safetensors"
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One that is complete, as far as its list of files says."""

    folder: Path
    step: int
    state: Mapping[str, Any]

    @property
    def sharded(self) -> bool:
        """Whether each process wrote a part."""
        return TENSORS not in self.state["files"]


def steps_in(folder: Path) -> list[Path]:
    """Folders of the checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def newest(folder: Path) -> Checkpoint | None:
    """The last checkpoint that was completed, or None.

    Raises:
        CheckpointError: It is damaged; the text says what to do.
    """
    found = steps_in(folder)
    return _read(found[-1], found[:-1]) if found else None


def _read(path: Path, older: list[Path]) -> Checkpoint:
    """The checkpoint in a folder, its files checked."""
    advice = (
        f"Remove {path} to go on from {older[-1].name}."
        if older
        else f"There is no older one: remove {path} to start from the beginning."
    )
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        step, files = int(state["step"]), dict(state["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / STATE} cannot be read ({error}): the checkpoint is damaged. {advice}") from None
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {state.get('format')}, and this version reads {FORMAT}. {advice}")
    for name, expected in files.items():
        _check_file(path / name, expected, advice)
    return Checkpoint(folder=path, step=step, state=state)


def _check_file(path: Path, expected: Mapping[str, Any], advice: str) -> None:
    """Whether a file has the size and digest that it was written with."""
    size = path.stat().st_size if path.exists() else 0
    if size != expected["bytes"]:
        raise CheckpointError(f"{path} is truncated: {size:,} bytes, and {expected['bytes']:,} were written. {advice}")
    if digest_of(path) != expected["digest"]:
        raise CheckpointError(f"{path} was changed after it was written: its digest differs. {advice}")


def read_tensors(checkpoint: Checkpoint, device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a checkpoint that one process wrote."""
    return load_file(checkpoint.folder / TENSORS, device=device)


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: int) -> Path:
    """Write a checkpoint, and remove those that are older than the last ``keep``.

    Args:
        folder: ``checkpoints`` of the run.
        step: Steps that were made.
        tensors: What ``state.tensors_of`` returns, whole.
        state: What else is needed to go on, as built-in types.
        keep: How many to keep.

    Raises:
        CheckpointError: The disk is full, or cannot be written; older checkpoints stay.
    """
    with writing(folder, step) as partial:
        if partial is not None:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial / TENSORS)
            complete(partial, step, state)
    rotate(folder, keep)
    return folder / name_of(step)


@contextmanager
def writing(folder: Path, step: int) -> Iterator[Path | None]:
    """A folder to write a checkpoint into, which takes its name when the block ends; None where it is there already.

    Raises:
        CheckpointError: It could not be written; what was written is removed.
    """
    partial, final = folder / f"{PARTIAL}{name_of(step)}", folder / name_of(step)
    if final.exists():
        yield None  # a resumed run that comes by again makes the very same one
        return
    try:
        partial.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(final)
        flush(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = steps_in(folder)
        last = f"The last good one is {kept[-1]}." if kept else "There is no earlier one."
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written to {folder}: {error}. {last} Make room, then go on "
            f"with --resume."
        ) from error


def complete(partial: Path, step: int, state: Mapping[str, Any]) -> None:
    """Force what was written to the disk, and write the list that makes it a checkpoint."""
    written = sorted(path for path in partial.iterdir() if path.name != STATE)
    for path in written:
        flush(path)
    files = {path.name: {"bytes": path.stat().st_size, "digest": digest_of(path)} for path in written}
    document = {"format": FORMAT, "step": step, **state, "files": files}
    (partial / STATE).write_text(json.dumps(document, indent=1), encoding="utf-8")
    flush(partial / STATE)
    flush(partial)


def rotate(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the last so many, and what was left half-written."""
    for path in steps_in(folder)[:-keep] if keep else []:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def name_of(step: int) -> str:
    """Folder of a step's checkpoint; the zeros keep the order of names that of steps."""
    return f"{PREFIX}{step:010d}"


def flush(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(path: Path) -> str:
    """BLAKE2 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()
