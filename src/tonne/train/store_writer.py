"""Writing a token store: nothing half-written is ever taken for whole, and what was written is not lost.

Tokens and the length of each document grow in `*.partial` files; every few megabytes they are flushed to the disk and a
small state file, replaced in one stroke, says how much of them counts. `finish` renames them, and the sidecar comes
last.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import StoreError
from tonne.train.store import DTYPES, FORMAT, OFFSETS, SIDECAR, TEXT_BYTES, TOKENS, VERSION
from tonne.train.writing import full_disk_told, written_whole

STATE, PARTIAL_TOKENS, PARTIAL_DOCUMENTS = "state.json.partial", "tokens.bin.partial", "documents.bin.partial"
LARGEST_16_BIT = 2**16 - 1
UNKNOWN_BYTES = -1
_PAIR_BYTES = 16  # length and bytes of text of a document, 64 bits each


class StoreWriter:
    """A store that grows; use it in a `with` statement.

    ``state`` holds what the last commit said: the caller's own words on how far it had come.
    """

    def __init__(self, folder: Path, recipe: dict[str, Any], *, largest_possible: int) -> None:
        """Go on with an unfinished store of the same recipe, else begin anew.

        Raises:
            StoreError: The disk is full, or another process is writing the store.
        """
        self.folder, self.recipe = folder, recipe
        self.tokens = self.documents = 0
        self.largest_token = -1
        self.state: dict[str, Any] = {}
        self._tokens: IO[bytes]
        self._documents: IO[bytes]
        self.dtype_name = "uint16" if largest_possible <= LARGEST_16_BIT else "uint32"
        with full_disk_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
            self._begin(self._committed())

    def add(self, tokens: NDArray[Any], text_bytes: int = UNKNOWN_BYTES) -> None:
        """Append a document."""
        with full_disk_told(self.folder):
            self._tokens.write(tokens.astype(DTYPES[self.dtype_name]).tobytes())
            self._documents.write(np.array([len(tokens), text_bytes], dtype="<i8").tobytes())
        self.tokens += len(tokens)
        self.documents += 1
        self.largest_token = max(self.largest_token, int(tokens.max()) if len(tokens) else -1)

    def commit(self, state: dict[str, Any]) -> None:
        """Make what was added last: after a crash, writing goes on here."""
        with full_disk_told(self.folder):
            for file in (self._tokens, self._documents):
                file.flush()
                os.fsync(file.fileno())
            counts = {"tokens": self.tokens, "documents": self.documents, "largest_token": self.largest_token}
            written_whole(self.folder / STATE, json.dumps({"recipe": self.recipe, **counts, "state": state}).encode())
        self.state = state

    def finish(self, sidecar: dict[str, Any]) -> None:
        """Make the store whole: arrays, tokens, and last the sidecar with these entries in it."""
        self._tokens.close()
        self._documents.close()
        with full_disk_told(self.folder):
            text_bytes = self._write_arrays()
            digest = _sha256(self.folder / PARTIAL_TOKENS)
            (self.folder / PARTIAL_TOKENS).replace(self.folder / TOKENS)
            whole = {
                "format": FORMAT,
                "version": VERSION,
                "dtype": self.dtype_name,
                "tokens": self.tokens,
                "documents": self.documents,
                "largest_token": self.largest_token,
                "text_bytes": text_bytes,
                "sha256": digest,
                **sidecar,
                "recipe": self.recipe,
            }
            written_whole(self.folder / SIDECAR, (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode())
        for name in (PARTIAL_DOCUMENTS, STATE):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._tokens, self._documents):
            with suppress(OSError):  # what the buffer still held does not fit: it was not committed, and is not needed
                file.close()
        self._lock.close()

    def _committed(self) -> dict[str, Any]:
        """What an unfinished store of this recipe says of itself; of none, the beginning."""
        empty: dict[str, Any] = {"tokens": 0, "documents": 0, "largest_token": -1, "state": {}}
        try:
            found: dict[str, Any] = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return empty
        token_bytes, pair_bytes = found["tokens"] * DTYPES[self.dtype_name].itemsize, found["documents"] * _PAIR_BYTES
        whole = (
            _size(self.folder / PARTIAL_TOKENS) >= token_bytes and _size(self.folder / PARTIAL_DOCUMENTS) >= pair_bytes
        )
        return found if whole and found["recipe"] == self.recipe else empty

    def _begin(self, committed: dict[str, Any]) -> None:
        """Open the growing files, cut back to what was committed; an older store in the folder ceases to be one."""
        self.tokens, self.documents = int(committed["tokens"]), int(committed["documents"])
        self.largest_token, self.state = int(committed["largest_token"]), dict(committed["state"])
        (self.folder / SIDECAR).unlink(missing_ok=True)
        self._tokens = _appending(self.folder / PARTIAL_TOKENS, self.tokens * DTYPES[self.dtype_name].itemsize)
        self._documents = _appending(self.folder / PARTIAL_DOCUMENTS, self.documents * _PAIR_BYTES)

    def _write_arrays(self) -> int | None:
        """Write where documents begin and what text they stand for; bytes of text in all, None where not known."""
        pairs = np.fromfile(self.folder / PARTIAL_DOCUMENTS, dtype="<i8").reshape(-1, 2)
        _save_array(self.folder / OFFSETS, np.concatenate([[0], np.cumsum(pairs[:, 0])]).astype(np.int64))
        if (pairs[:, 1] == UNKNOWN_BYTES).any():
            (self.folder / TEXT_BYTES).unlink(missing_ok=True)
            return None
        _save_array(self.folder / TEXT_BYTES, pairs[:, 1].astype(np.int64))
        return int(pairs[:, 1].sum())


def _save_array(file: Path, array: NDArray[np.int64]) -> None:
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as out:
        np.save(out, array)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def _appending(file: Path, keep_bytes: int) -> IO[bytes]:
    """A file to append to, cut to what it may keep."""
    opened = file.open("ab")
    opened.truncate(keep_bytes)
    return opened


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _locked(folder: Path) -> IO[bytes]:
    """A lock that ends with the process, on the systems that have one; closed, it is given back."""
    lock = (folder / ".lock").open("ab")
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ModuleNotFoundError:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"Another process is writing {folder}. Wait for it, or give another folder.") from None
    return lock
