"""Files of tokens that others prepared: nanoGPT's (bare 16-bit numbers) and modded-nanogpt's (with a heading)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError

# The heading of modded-nanogpt: 256 numbers of 32 bits, of which the first three say something.
MODDED_MAGIC, MODDED_VERSION, MODDED_HEADING_BYTES = 20240520, 1, 1024
TOKEN_BYTES = 2
PIECE_TOKENS = 2**14  # a document where the file does not say where documents begin


def is_modded(path: Path) -> bool:
    """Whether a file begins as modded-nanogpt's do."""
    with path.open("rb") as file:
        start = file.read(4)
    return len(start) == 4 and int.from_bytes(start, "little") == MODDED_MAGIC


def token_file(path: Path, *, modded: bool) -> NDArray[np.uint16]:
    """The tokens of a file, mapped and not read.

    Raises:
        DataError: The heading is not what it should be, or the file is shorter or longer than it says.
    """
    size_bytes = path.stat().st_size
    if not modded:
        if size_bytes == 0 or size_bytes % TOKEN_BYTES:
            raise DataError(
                f"{path} has {size_bytes} bytes, which is no whole number of 16-bit tokens above zero. Write it anew, "
                f"or name another format."
            )
        return np.memmap(path, dtype="<u2", mode="r")
    return _modded_tokens(path, size_bytes)


def documents_in(tokens: NDArray[np.uint16], delimiter: int | None) -> NDArray[np.int64]:
    """Where documents begin, and the end of the last, of shape (documents + 1,).

    Args:
        tokens: All tokens of a file.
        delimiter: The token between documents; None where it is not known: then every 16,384 tokens are one.
    """
    if delimiter is None:
        starts = np.arange(0, len(tokens), PIECE_TOKENS)
    else:
        starts = np.flatnonzero(np.asarray(tokens) == delimiter)
        starts = starts if len(starts) and starts[0] == 0 else np.concatenate([[0], starts])
    return np.concatenate([starts, [len(tokens)]]).astype(np.int64)


def _modded_tokens(path: Path, size_bytes: int) -> NDArray[np.uint16]:
    if size_bytes < MODDED_HEADING_BYTES:
        raise DataError(
            f"{path} has {size_bytes} bytes, less than the heading of {MODDED_HEADING_BYTES}. Copy it anew."
        )
    magic, version, number = (int(word) for word in np.fromfile(path, dtype="<i4", count=3))
    if magic != MODDED_MAGIC or version != MODDED_VERSION:
        raise DataError(
            f"{path} begins with {magic}, version {version}; modded-nanogpt's files begin with {MODDED_MAGIC}, version "
            f"{MODDED_VERSION}. Use format = 'nanogpt-bin' for bare 16-bit tokens."
        )
    held = (size_bytes - MODDED_HEADING_BYTES) // TOKEN_BYTES
    if number != held or (size_bytes - MODDED_HEADING_BYTES) % TOKEN_BYTES:
        raise DataError(f"{path} says {number:,} tokens and holds {held:,}. It was cut short: copy it anew.")
    return np.memmap(path, dtype="<u2", mode="r", offset=MODDED_HEADING_BYTES, shape=(number,))
