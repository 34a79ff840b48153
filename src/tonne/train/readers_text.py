"""Text files, a piece at a time: a file may be larger than memory, and must be UTF-8 throughout."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from tonne.errors import DataError

CHUNK_BYTES = 2**20
LONGEST_DOCUMENT = 2**16  # characters: a long file becomes many documents, so that some of it can be held out
_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")
_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF8: "UTF-8"}


def text_documents(path: Path, *, unit: str = "file") -> Iterator[tuple[str, str]]:
    """Text and place of each document.

    Args:
        path: The file.
        unit: What a document is: ``file`` (a long one is cut at blank lines, or at line ends where there are none),
            ``paragraph`` (between blank lines) or ``line``.

    Raises:
        DataError: The file cannot be read, or is not UTF-8; the text says at which byte.
    """
    pieces = {"file": _pieces, "paragraph": _paragraphs, "line": _lines}[unit]
    for number, text in enumerate(pieces(decoded(path)), start=1):
        yield text, f"{path}: {'piece' if unit == 'file' else unit} {number}"


def decoded(path: Path) -> Iterator[str]:
    """The text of a file in chunks; a byte-order mark of UTF-8 is dropped.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    read_bytes = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                waiting = len(decoder.getstate()[0])
                text = _decoded_chunk(decoder, chunk, path, read_bytes - waiting)
                yield text.removeprefix("\ufeff") if read_bytes == 0 else text
                read_bytes += len(chunk)
            waiting = len(decoder.getstate()[0])
            _decoded_chunk(decoder, b"", path, read_bytes - waiting, final=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        ) from None


def _decoded_chunk(
    decoder: codecs.IncrementalDecoder, chunk: bytes, path: Path, start_bytes: int, *, final: bool = False
) -> str:
    """A chunk as text; `start_bytes` is where in the file the decoder's undecoded bytes begin."""
    try:
        return decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        raise DataError(_not_utf8(path, start_bytes + error.start, error.object[error.start])) from None


def _not_utf8(path: Path, offset_bytes: int, byte: int) -> str:
    with path.open("rb") as file:
        start = file.read(3)
    mark = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    hint = f"The file begins with the mark of {mark}. " if mark == "UTF-16" else ""
    origin = mark if mark == "UTF-16" else "WINDOWS-1252"
    return (
        f"{path}: byte {offset_bytes} (0x{byte:02X}) is not UTF-8. {hint}Convert it if it is in another encoding, e.g. "
        f"iconv -f {origin} -t UTF-8, or remove what does not belong there: one file has one encoding."
    )


def _pieces(chunks: Iterator[str]) -> Iterator[str]:
    """The whole text, cut where it is longer than a document may be."""
    held = ""
    for chunk in chunks:
        held += chunk
        while len(held) > LONGEST_DOCUMENT:
            end = _cut(held)
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _cut(text: str) -> int:
    """Where to end a document: at the last blank line, line end or space of its second half, else at its limit."""
    half = LONGEST_DOCUMENT // 2
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, half, LONGEST_DOCUMENT)
        if found >= 0:
            return found + len(mark)
    return LONGEST_DOCUMENT


def _paragraphs(chunks: Iterator[str]) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        *whole, held = _BLANK_LINES.split(held + chunk)
        yield from (text.strip("\r\n") for text in whole)
    yield held.strip("\r\n")


def _lines(chunks: Iterator[str]) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        *whole, held = (held + chunk).split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    yield held.removesuffix("\r")
