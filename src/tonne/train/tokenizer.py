"""Tokenizers, through the package `tokenizers`: text to ids and back, saved so that transformers loads them too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError, MissingPackageError
from tonne.train.special_tokens import SpecialTokens
from tonne.train.writing import full_disk_told, written_whole

TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
_AFTER_SPACE = ("Ġ", "Ċ", "ĉ", "č", "▁")  # how byte-level vocabularies write white space, and how Unigram does
_ROLES_OF_TRANSFORMERS = {
    "pad": "pad_token",
    "unknown": "unk_token",
    "begin": "cls_token",
    "separator": "sep_token",
    "mask": "mask_token",
    "delimiter": "eos_token",
}


class TextTokenizer:
    """Text to ids and back. What looks like a special token in a text is text."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - tokenizers.Tokenizer, which need not be installed
        """Wrap a `tokenizers.Tokenizer`; padding and truncation are not its business."""
        inner.no_padding()
        inner.no_truncation()
        inner.encode_special_tokens = True
        self.inner = inner
        added = inner.get_added_tokens_decoder()
        self.special = SpecialTokens.from_vocabulary({token.content: i for i, token in added.items() if token.special})
        self.vocabulary = 1 + max(inner.get_vocab(with_added_tokens=True).values(), default=-1)

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The ids of each text, no special token among them."""
        encoded = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, dtype=np.uint32) for one in encoded]

    def encode_with_offsets(self, texts: Sequence[str]) -> list[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        """The ids of each text, and the first and last + 1 character of each token, of shape (length, 2)."""
        encoded = self.inner.encode_batch(list(texts), add_special_tokens=False)
        return [
            (np.array(one.ids, dtype=np.uint32), np.array(one.offsets, dtype=np.int64).reshape(-1, 2))
            for one in encoded
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for, special tokens left out."""
        return str(self.inner.decode([int(token) for token in ids], skip_special_tokens=True))

    def decode_all(self, documents: Sequence[NDArray[Any]]) -> list[str]:
        """The texts that documents stand for, special tokens left out."""
        return list(self.inner.decode_batch([one.tolist() for one in documents], skip_special_tokens=True))

    @property
    def vocabulary_hash(self) -> str:
        """A fingerprint of what each id means."""
        tokens = sorted(self.inner.get_vocab(with_added_tokens=True).items(), key=lambda pair: (pair[1], pair[0]))
        return hashlib.sha256(json.dumps(tokens, ensure_ascii=True).encode()).hexdigest()

    def save(self, folder: Path) -> Path:
        """Write tokenizer.json, and beside it what transformers wants to know; the path of the former."""
        roles = {
            name: self.inner.id_to_token(getattr(self.special, role))
            for role, name in _ROLES_OF_TRANSFORMERS.items()
            if getattr(self.special, role) is not None
        }
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
        if self.special.begin is not None:
            config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        with full_disk_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            written_whole(folder / CONFIG_FILE, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
            written_whole(folder / TOKENIZER_FILE, self.inner.to_str(pretty=True).encode())
        return folder / TOKENIZER_FILE

    def begins_word(self) -> NDArray[np.bool_]:
        """Whether a token begins a word, of shape (vocabulary,): the others go on with the word before them."""
        spelt = self._spellings()
        marks_inside = any(token.startswith("##") and len(token) > 2 for token in spelt)
        return np.array([_begins_word(token, marks_inside=marks_inside) for token in spelt], dtype=bool)

    def ends_sentence(self) -> NDArray[np.bool_]:
        """Whether a token ends a sentence, of shape (vocabulary,): by its last mark, or by the end of a line."""
        return np.array([_ends_sentence(token) for token in self._spellings()], dtype=bool)

    def _spellings(self) -> list[str]:
        """How the vocabulary writes each id; empty where no token has it."""
        spelt = [""] * self.vocabulary
        for token, number in self.inner.get_vocab(with_added_tokens=True).items():
            spelt[number] = token
        return spelt


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """The tokenizer in a tokenizer.json, or in the folder of one.

    Raises:
        DataError: The file is not there, or is no tokenizer.
    """
    file = Path(path)
    file = file / TOKENIZER_FILE if file.is_dir() else file
    if not file.is_file():
        raise DataError(f"{file} is not there. Name a {TOKENIZER_FILE}, or train one: tonne tokenizer train.")
    library = tokenizers_library()
    try:
        return TextTokenizer(library.Tokenizer.from_file(str(file)))
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{file} is no tokenizer: {error}. Name a {TOKENIZER_FILE} as tokenizers writes it.") from None


def _begins_word(token: str, *, marks_inside: bool) -> bool:
    """Whether a token's spelling begins a word: WordPiece marks those that do not, the others those after a space."""
    if marks_inside:
        return not token.startswith("##")
    return token.startswith(_AFTER_SPACE) or not token[:1].isalnum()


def _ends_sentence(token: str) -> bool:
    return token.rstrip("\"')]»”’").endswith(
        (".", "!", "?", "…", "。", "！", "？", "Ċ", "\n")
    )  # Ċ: a newline, byte-level


def tokenizers_library() -> Any:  # noqa: ANN401 - a module that need not be installed
    """The package `tokenizers`.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return import_module("tokenizers")
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Tokenizers need the package tokenizers, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
