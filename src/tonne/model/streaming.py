"""Text of tokens as they come: whole characters only, and nothing beyond a text at which to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer gives for the first bytes of a character


class TextStream:
    """What may be shown so far. ``stopped`` once one of ``stop_texts`` has appeared; nothing from there on is shown."""

    def __init__(self, tokenizer: Tokenizer, stop_texts: Sequence[str] = ()) -> None:
        """Nothing has come yet."""
        self.stopped = False
        self._tokenizer, self._stop_texts = tokenizer, stop_texts
        self._tokens: list[int] = []
        self._from = self._shown = 0  # text of tokens[from:shown] is known, and the next ones are decoded behind it
        self._held = ""  # may be how a text at which to stop begins

    def add(self, token: int) -> str:
        """What a token adds to the text shown."""
        self._tokens.append(token)
        piece = self._new_text()
        if piece.endswith(UNFINISHED):
            return ""
        if piece:  # what is known must be text: behind tokens that say nothing a space would be lost
            self._from = self._shown
        self._shown = len(self._tokens)
        return self._released(piece)

    def rest(self) -> str:
        """What was still held back, when no more comes."""
        piece = "" if self.stopped else self._released(self._new_text())
        piece, self._held = piece + self._held, ""
        return piece

    def _new_text(self) -> str:
        """What the tokens that are not yet shown say; decoded behind known ones, for a space may depend on them."""
        known = self._tokenizer.decode(self._tokens[self._from : self._shown])
        return self._tokenizer.decode(self._tokens[self._from :])[len(known) :]

    def _released(self, piece: str) -> str:
        """The piece and what was held before it, up to where a text at which to stop begins or may begin."""
        text = self._held + piece
        found = [text.index(stop) for stop in self._stop_texts if stop in text]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        doubtful = max((_overlap(text, stop) for stop in self._stop_texts), default=0)
        self._held = text[len(text) - doubtful :]
        return text[: len(text) - doubtful]


def _overlap(text: str, stop: str) -> int:
    """How much of the end of a text is the beginning of another."""
    return next((size for size in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:size])), 0)
