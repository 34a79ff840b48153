"""The tokens that stand for no text: padding, masks, ends, sentinels; spelt as the published models spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tonne.errors import DataError

SENTINELS = 100  # as many as T5 has; a sequence may lose that many spans
_SENTINEL = "<extra_id_{}>"
_SPELLINGS = {  # by role, the usual ones first
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "<|end_of_text|>"),
    "unknown": ("[UNK]", "<unk>"),
    "begin": ("[CLS]", "<s>", "<|begin_of_text|>"),
    "separator": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
    "delimiter": ("<|endoftext|>", "</s>", "[SEP]", "<|end_of_text|>", "<eos>"),
}
_MASKED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SEQ2SEQ = ("<pad>", "</s>", "<unk>")
_CAUSAL = ("<|endoftext|>",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """The ids of the special tokens, by what they do; None where the vocabulary has none for it.

    ``delimiter`` stands before each document of a store, and so also ends the one before; ``begin`` and ``separator``
    frame the sequences of an encoder; ``sentinels`` stand for lost spans; ``others`` are special and do none of this.
    """

    pad: int | None = None
    unknown: int | None = None
    begin: int | None = None
    separator: int | None = None
    mask: int | None = None
    delimiter: int | None = None
    sentinels: tuple[int, ...] = ()
    others: tuple[int, ...] = ()

    @property
    def all(self) -> frozenset[int]:
        """Every special id."""
        single = (self.pad, self.unknown, self.begin, self.separator, self.mask, self.delimiter)
        return frozenset({token for token in single if token is not None} | {*self.sentinels, *self.others})

    def required(self, *roles: str, objective: str) -> tuple[int, ...]:
        """The ids for these roles.

        Raises:
            DataError: The vocabulary has no token for one of them.
        """
        missing = [role for role in roles if getattr(self, role) in (None, ())]
        if missing:
            raise DataError(
                f"objective = {objective!r} needs tokens that the tokenizer has not: {', '.join(missing)}. Use a "
                f"tokenizer of that objective; tonne tokenizer train --objective {objective} makes one."
            )
        return tuple(getattr(self, role) for role in roles)

    def as_dict(self) -> dict[str, Any]:
        """The ids by role, for a sidecar."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> SpecialTokens:
        """The ids that a sidecar holds."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in found.items() if key in known
        }
        return cls(**values)

    @classmethod
    def from_vocabulary(cls, special: Mapping[str, int]) -> SpecialTokens:
        """The ids of a tokenizer's special tokens, their roles told by their spelling."""
        found: dict[str, Any] = {
            role: next((special[name] for name in spellings if name in special), None)
            for role, spellings in _SPELLINGS.items()
        }
        numbered = (_SENTINEL.format(number) for number in range(len(special)))
        found["sentinels"] = tuple(special[name] for name in numbered if name in special)
        known = {token for value in found.values() for token in (value if isinstance(value, tuple) else (value,))}
        found["others"] = tuple(sorted(set(special.values()) - known))
        return cls(**found)


def spellings_for(objective: str) -> tuple[str, ...]:
    """The special tokens that a tokenizer for an objective needs, in the order of their ids."""
    if objective.startswith("masked-lm"):
        return _MASKED
    if objective in ("span-corruption", "seq2seq"):
        return (*_SEQ2SEQ, *(_SENTINEL.format(number) for number in range(SENTINELS)))
    return _CAUSAL


def default_kind(objective: str) -> str:
    """The kind of tokenizer where none is asked for: WordPiece for masked LM, else byte-level BPE.

    Not Unigram for T5's objective: it takes ten times as long to train, and cannot tell every text back.
    """
    return "wordpiece" if objective.startswith("masked-lm") else "bpe"
