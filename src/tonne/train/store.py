"""The token store: tokens in one mapped file, where documents begin in another, and a JSON sidecar.

    STORE/store.json      what the rest is; written last, so a store without it is none
    STORE/tokens.bin      every token, 16 or 32 bits, documents one after the other
    STORE/offsets.npy     where each document begins, and the end of the last
    STORE/text_bytes.npy  bytes of UTF-8 text that each document stands for; absent where nobody knows
    STORE/tokenizer.json  the tokenizer, where there is one

A record is one document, or for pairs two: a source and its target. Opening reads no tokens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import StoreError
from tonne.train.special_tokens import SpecialTokens
from tonne.train.split import held_out
from tonne.train.tokenizer import TOKENIZER_FILE, TextTokenizer, load_tokenizer

SIDECAR, TOKENS, OFFSETS, TEXT_BYTES = "store.json", "tokens.bin", "offsets.npy", "text_bytes.npy"
FORMAT, VERSION = "tonne-token-store", 1
DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}


@dataclass(frozen=True)
class TokenStore:
    """A store that was opened; its arrays are mapped, not read."""

    folder: Path
    sidecar: dict[str, Any]
    tokens: NDArray[np.uint16] | NDArray[np.uint32]
    offsets: NDArray[np.int64]
    text_bytes: NDArray[np.int64] | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What the documents of a record are: ("text",), or ("source", "target")."""
        return tuple(self.sidecar["fields"])

    @property
    def records(self) -> int:
        """Documents, or pairs."""
        return (len(self.offsets) - 1) // len(self.fields)

    @property
    def special(self) -> SpecialTokens:
        """The special tokens of the vocabulary."""
        return SpecialTokens.from_dict(self.sidecar["special"])

    @property
    def vocabulary(self) -> int | None:
        """Ids of the tokenizer; None where it is not known."""
        found: int | None = self.sidecar["vocabulary"]
        return found

    @property
    def identity(self) -> str:
        """A fingerprint of what is in the store: a run that goes on must find the same."""
        kept = {key: self.sidecar[key] for key in ("tokens", "documents", "fields", "vocabulary_hash", "sha256")}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @cached_property
    def tokenizer(self) -> TextTokenizer | None:
        """The tokenizer that lies in the store; None where there is none."""
        file = self.folder / TOKENIZER_FILE
        return load_tokenizer(file) if file.exists() else None

    def check_tokenizer(self, tokenizer: TextTokenizer) -> None:
        """Refuse a tokenizer for which the store's numbers mean other tokens.

        Raises:
            StoreError: The vocabularies differ.
        """
        own = self.sidecar["vocabulary_hash"]
        if own != tokenizer.vocabulary_hash:
            raise StoreError(
                f"{self.folder} was written with another tokenizer: its vocabulary is {str(own)[:12]}, the one given "
                f"is {tokenizer.vocabulary_hash[:12]}. Use {self.folder / TOKENIZER_FILE}, or prepare the data anew."
            )

    def check_vocabulary(self, vocabulary: int) -> None:
        """Refuse a model whose vocabulary does not hold every token of the store.

        Raises:
            StoreError: A token is beyond it.
        """
        largest = self.sidecar["largest_token"]
        if largest >= vocabulary:
            raise StoreError(
                f"{self.folder} holds token {largest}, but the model knows 0 to {vocabulary - 1}. Give the model a "
                f"vocabulary of at least {max(largest + 1, self.vocabulary or 0)}, or prepare the data with its "
                "tokenizer."
            )

    def training(self, validation_fraction: float = 0.0) -> View:
        """The records that are trained on."""
        return View(self, np.flatnonzero(~held_out(self.records, validation_fraction)))

    def validation(self, validation_fraction: float) -> View:
        """The records that are held out.

        Raises:
            StoreError: There are none.
        """
        chosen = np.flatnonzero(held_out(self.records, validation_fraction))
        if validation_fraction > 0 and not len(chosen):
            raise StoreError(
                f"{self.folder} holds {self.records} document(s): nothing can be held out. Give more text, or "
                f"documents = 'paragraph', or set validation_fraction = 0."
            )
        return View(self, chosen)


@dataclass(frozen=True)
class View:
    """Some records of a store, in its order, read as one stream of tokens or record by record."""

    store: TokenStore
    records: NDArray[np.int64]

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """The documents of the records, of shape (records x fields,)."""
        fields = len(self.store.fields)
        return (self.records[:, None] * fields + np.arange(fields)).reshape(-1)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where in the store each document begins, of shape (documents,)."""
        return np.asarray(self.store.offsets[:-1])[self.documents]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, of shape (documents,)."""
        return np.diff(self.store.offsets)[self.documents]

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where in the view's own stream each document ends, of shape (documents,)."""
        return np.cumsum(self.lengths)

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @cached_property
    def text_bytes(self) -> int | None:
        """Bytes of the text that the tokens stand for; None where it is not known."""
        known = self.store.text_bytes
        return None if known is None else int(known[self.documents].sum())

    def slice(self, document: int, start: int, end: int) -> NDArray[np.int64]:
        """Tokens start to end of a document of the view, of shape (end - start,)."""
        first = int(self.starts[document])
        return self.store.tokens[first + start : first + end].astype(np.int64)

    def stream(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens start to end of the view's documents one after the other, and the document of each."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.ends, end, side="left"))
        parts, owners = [], []
        for document in range(first, min(last, len(self.ends) - 1) + 1):
            begin = int(self.ends[document] - self.lengths[document])
            parts.append(self.slice(document, max(start - begin, 0), min(end - begin, int(self.lengths[document]))))
            owners.append(np.full(len(parts[-1]), document, dtype=np.int64))
        nothing = np.empty(0, dtype=np.int64)
        return np.concatenate([nothing, *parts]), np.concatenate([nothing, *owners])


def open_store(folder: str | Path, *, vocabulary: int | None = None) -> TokenStore:
    """The store in a folder, its files found whole.

    Args:
        folder: Where it lies.
        vocabulary: Of the model that will read it; left out, tokens are not held against it.

    Raises:
        StoreError: It is no store, an unfinished one, a truncated one, or has tokens beyond the vocabulary.
    """
    place = Path(folder)
    sidecar = _sidecar(place)
    dtype = DTYPES[sidecar["dtype"]]
    _check_size(place / TOKENS, sidecar["tokens"] * dtype.itemsize)
    offsets = _array(place / OFFSETS, sidecar["documents"] + 1)
    if int(offsets[-1]) != sidecar["tokens"]:
        raise StoreError(
            f"{place}: documents end at token {offsets[-1]}, tokens at {sidecar['tokens']}. Prepare it anew."
        )
    known = _array(place / TEXT_BYTES, sidecar["documents"]) if sidecar["text_bytes"] is not None else None
    tokens = np.memmap(place / TOKENS, dtype=dtype, mode="r", shape=(sidecar["tokens"],))
    store = TokenStore(place, sidecar, tokens, offsets, known)
    if vocabulary is not None:
        store.check_vocabulary(vocabulary)
    return store


def is_store(folder: Path) -> bool:
    """Whether a folder holds a whole store."""
    return (folder / SIDECAR).is_file()


def _sidecar(folder: Path) -> dict[str, Any]:
    file = folder / SIDECAR
    if not file.is_file():
        unfinished = any(folder.glob("*.partial"))
        raise StoreError(
            f"{folder} holds an unfinished token store. Run the same tonne data prepare again: it goes on where it "
            "stopped."
            if unfinished
            else f"{folder} holds no token store ({SIDECAR} is missing). Make one with tonne data prepare."
        )
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}. Prepare the data anew.") from None
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise StoreError(
            f"{file} says format {found.get('format')!r}, version {found.get('version')!r}; this tonne reads "
            f"{FORMAT!r}, version {VERSION}. Prepare the data anew."
        )
    return found


def _check_size(file: Path, expected_bytes: int) -> None:
    held_bytes = file.stat().st_size if file.is_file() else 0
    if held_bytes != expected_bytes:
        raise StoreError(
            f"{file} has {held_bytes:,} bytes and should have {expected_bytes:,}. It was cut short, or mixed with "
            f"another store: copy the folder anew, or prepare the data again."
        )


def _array(file: Path, length: int) -> NDArray[np.int64]:
    try:
        found: NDArray[np.int64] = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}. Copy the store anew, or prepare the data again.") from None
    if found.shape != (length,):
        raise StoreError(f"{file} has {found.shape[0]:,} numbers and should have {length:,}. Prepare the data again.")
    return found
