"""Tokenizers: trained or loaded through `tokenizers`, saved so that transformers loads them too."""

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
from tonne.train.special_tokens import SpecialTokens, spellings_for

TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
DEFAULT_VOCABULARY = 8192
LONGEST_TEXT = 2**14  # characters that a trainer is given at once: spreads the work over its threads
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
        folder.mkdir(parents=True, exist_ok=True)
        roles = {
            name: self.inner.id_to_token(getattr(self.special, role))
            for role, name in _ROLES_OF_TRANSFORMERS.items()
            if getattr(self.special, role) is not None
        }
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self.inner.save(str(folder / TOKENIZER_FILE))
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


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: str,
    vocabulary: int = DEFAULT_VOCABULARY,
    objective: str = "causal-lm",
    lowercase: bool = False,
) -> TextTokenizer:
    """A tokenizer that was trained on texts.

    Args:
        texts: What it is trained on; read once.
        kind: ``bpe`` (of bytes), ``wordpiece`` or ``unigram``.
        vocabulary: Ids at most, special tokens included; fewer where the text has no more to give.
        objective: What the model learns; it says which special tokens there are.
        lowercase: Whether upper case is read as lower case; the text cannot be told back then.

    Raises:
        DataError: There is no text, or the vocabulary is too small for the special tokens and the alphabet.
    """
    library = tokenizers_library()
    special = spellings_for(objective)
    if kind != "bpe" and not {"[UNK]", "<unk>"} & set(special):
        special = (*special, "<unk>")
    smallest = len(special) + (256 if kind == "bpe" else 1)
    if vocabulary < smallest:
        raise DataError(
            f"vocabulary = {vocabulary} is too small: {len(special)} special tokens"
            f"{' and 256 bytes' if kind == 'bpe' else ''} take {smallest}. Ask for more, e.g. {DEFAULT_VOCABULARY}."
        )
    inner, trainer = _untrained(library, kind, vocabulary, special)
    if lowercase:
        normal = library.normalizers
        inner.normalizer = normal.Sequence([n for n in (inner.normalizer, normal.Lowercase()) if n is not None])
    parts = _Counted(texts)
    inner.train_from_iterator(parts, trainer)
    if not parts.characters:
        raise DataError("The tokenizer has no text to be trained on. Check [data] source and columns.")
    _frame(library, inner)
    return TextTokenizer(inner)


class _Counted:
    """Texts in parts of a bounded length, counted while they pass."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts, self.characters = texts, 0

    def __iter__(self) -> Any:  # noqa: ANN401 - a generator of str
        for text in self.texts:
            self.characters += len(text)
            yield from (text[start : start + LONGEST_TEXT] for start in range(0, len(text), LONGEST_TEXT))


def _untrained(library: Any, kind: str, vocabulary: int, special: Sequence[str]) -> tuple[Any, Any]:  # noqa: ANN401
    """An empty tokenizer of a kind, and what trains it."""
    models, pre, decoders, trainers = library.models, library.pre_tokenizers, library.decoders, library.trainers
    settings = {"vocab_size": vocabulary, "special_tokens": list(special), "show_progress": False}
    unknown = next((token for token in special if token in ("[UNK]", "<unk>")), None)
    if kind == "bpe":
        inner = library.Tokenizer(models.BPE())
        inner.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        return inner, trainers.BpeTrainer(initial_alphabet=sorted(pre.ByteLevel.alphabet()), **settings)
    if kind == "wordpiece":
        inner = library.Tokenizer(models.WordPiece(unk_token=unknown))
        inner.normalizer = library.normalizers.BertNormalizer(lowercase=False, strip_accents=False)
        inner.pre_tokenizer = pre.BertPreTokenizer()
        inner.decoder = decoders.WordPiece()
        return inner, trainers.WordPieceTrainer(**settings)
    inner = library.Tokenizer(models.Unigram())
    inner.normalizer = library.normalizers.NFKC()
    # A line's end is a token of its own: else every word before one would be another word.
    lines = pre.Split(library.Regex(r"\s*\n\s*"), "isolated")
    inner.pre_tokenizer = pre.Sequence([lines, pre.Metaspace(prepend_scheme="first")])
    inner.decoder = decoders.Metaspace()
    return inner, trainers.UnigramTrainer(unk_token=unknown, **settings)


def _frame(library: Any, inner: Any) -> None:  # noqa: ANN401 - the library and a tokenizer of it
    """Have the tokenizer frame what users encode themselves: [CLS] ... [SEP] for encoders, ... </s> for T5's kind."""
    template = library.processors.TemplateProcessing
    ids = {name: inner.token_to_id(name) for name in ("[CLS]", "[SEP]", "</s>")}
    if ids["[CLS]"] is not None and ids["[SEP]"] is not None:
        tokens = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
        pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
        inner.post_processor = template(single="[CLS] $A [SEP]", pair=pair, special_tokens=tokens)
    elif ids["</s>"] is not None:
        inner.post_processor = template(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", ids["</s>"])]
        )


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
