"""Training tokenizers, so that one text gives one tokenizer: ids, files and all.

The trainers of `tokenizers` walk through hash tables whose order changes from run to run. That of BPE sorts what it
finds; those of WordPiece and Unigram do not, and hand out ids in another order every time. WordPiece is therefore
trained as the BPE that it is, with an alphabet in a fixed order. The pieces of Unigram are sorted afterwards; which of
two pieces of equal worth it dropped before that is still chance, so a Unigram tokenizer is trained once and kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tonne.errors import DataError
from tonne.train.special_tokens import spellings_for
from tonne.train.tokenizer import TextTokenizer, tokenizers_library

DEFAULT_VOCABULARY = 8192
LONGEST_TEXT = 2**14  # characters that a trainer is given at once: spreads the work over its threads
BYTES = 256
INSIDE = "##"  # before what goes on with a word, in WordPiece
SCORE_DIGITS = 8  # of a piece's logarithm; beyond them stands the order of summation
_UNKNOWN = ("[UNK]", "<unk>")


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
    if kind != "bpe" and not set(_UNKNOWN) & set(special):
        special = (*special, _UNKNOWN[1])
    _check_size(vocabulary, kind, special)
    parts = _Counted(texts)
    lowering = [library.normalizers.Lowercase()] if lowercase else []
    task = _Task(library=library, texts=parts, vocabulary=vocabulary, special=list(special), lowering=lowering)
    inner = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}[kind](task)
    if not parts.characters:
        raise DataError("The tokenizer has no text to be trained on. Check [data] source and columns.")
    _frame(library, inner)
    return TextTokenizer(inner)


class _Counted:
    """Texts in parts of a bounded length, counted while they pass."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts, self.characters = texts, 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.characters += len(text)
            yield from (text[start : start + LONGEST_TEXT] for start in range(0, len(text), LONGEST_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What a trainer is given."""

    library: Any
    texts: _Counted
    vocabulary: int
    special: list[str]
    lowering: list[Any]  # a normalizer, or none

    @property
    def unknown(self) -> str:
        """The token for what the vocabulary cannot write."""
        return next(token for token in self.special if token in _UNKNOWN)


def _bpe(task: _Task) -> Any:  # noqa: ANN401 - a tokenizer of the library
    """Byte-level BPE: every text can be written, and be told back."""
    library, pre = task.library, task.library.pre_tokenizers
    inner = library.Tokenizer(library.models.BPE())
    if task.lowering:
        inner.normalizer = library.normalizers.Sequence(task.lowering)
    inner.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    inner.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=task.vocabulary,
        special_tokens=task.special,
        initial_alphabet=sorted(pre.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(task.texts, trainer)
    return inner


def _wordpiece(task: _Task) -> Any:  # noqa: ANN401 - a tokenizer of the library
    """WordPiece, whose trainer is BPE over letters that know whether they begin a word."""
    library, normal = task.library, task.library.normalizers
    normalizer = normal.Sequence([normal.BertNormalizer(lowercase=False, strip_accents=False), *task.lowering])
    held = list(task.texts)
    letters = _letters((normalizer.normalize_str(text) for text in held), (task.vocabulary - len(task.special)) // 4)
    inside = [INSIDE + letter for letter in letters if letter.isalnum()]
    learner = library.Tokenizer(library.models.BPE(continuing_subword_prefix=INSIDE))
    learner.normalizer, learner.pre_tokenizer = normalizer, library.pre_tokenizers.BertPreTokenizer()
    trainer = library.trainers.BpeTrainer(
        vocab_size=task.vocabulary,
        special_tokens=[*task.special, *inside],  # fixes their ids: the trainer would meet them in any order
        continuing_subword_prefix=INSIDE,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    learner.train_from_iterator(held, trainer)
    inner = library.Tokenizer(library.models.WordPiece(learner.get_vocab(), unk_token=task.unknown))
    inner.normalizer, inner.pre_tokenizer = normalizer, learner.pre_tokenizer
    inner.decoder = library.decoders.WordPiece()
    inner.add_special_tokens(task.special)
    return inner


def _letters(texts: Iterable[str], most: int) -> list[str]:
    """The letters and marks of texts, in order; of very many, as in Chinese, the most frequent."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    known = sorted((letter for letter in counts if not letter.isspace()), key=lambda letter: (-counts[letter], letter))
    return sorted(known[:most])


def _unigram(task: _Task) -> Any:  # noqa: ANN401 - a tokenizer of the library
    """Unigram pieces with their probabilities, sorted."""
    library, pre = task.library, task.library.pre_tokenizers
    inner = library.Tokenizer(library.models.Unigram())
    inner.normalizer = library.normalizers.Sequence([library.normalizers.NFKC(), *task.lowering])
    # A line's end is a token of its own: else every word before one would be another word.
    lines = pre.Split(library.Regex(r"\s*\n\s*"), "isolated")
    inner.pre_tokenizer = pre.Sequence([lines, pre.Metaspace(prepend_scheme="first")])
    inner.decoder = library.decoders.Metaspace()
    trainer = library.trainers.UnigramTrainer(
        vocab_size=task.vocabulary, special_tokens=task.special, unk_token=task.unknown, show_progress=False
    )
    inner.train_from_iterator(task.texts, trainer)
    if not task.texts.characters:
        return inner
    pieces = [(piece, round(score, SCORE_DIGITS)) for piece, score in json.loads(inner.to_str())["model"]["vocab"]]
    learned = sorted((pair for pair in pieces if pair[0] not in task.special), key=lambda pair: (-pair[1], pair[0]))
    first = [(token, 0.0) for token in task.special]
    inner.model = library.models.Unigram(
        [*first, *learned], unk_id=task.special.index(task.unknown), byte_fallback=False
    )
    return inner


def _check_size(vocabulary: int, kind: str, special: Sequence[str]) -> None:
    smallest = len(special) + (BYTES if kind == "bpe" else 1)
    if vocabulary < smallest:
        raise DataError(
            f"vocabulary = {vocabulary} is too small: {len(special)} special tokens"
            f"{f' and {BYTES} bytes' if kind == 'bpe' else ''} take {smallest}. Ask for more, e.g. "
            f"{DEFAULT_VOCABULARY}."
        )


def _frame(library: Any, inner: Any) -> None:  # noqa: ANN401 - the library and a tokenizer of it
    """Have the tokenizer frame what users encode themselves: [CLS] ... [SEP] for encoders, ... </s> for T5's kind."""
    template = library.processors.TemplateProcessing
    ids = {name: inner.token_to_id(name) for name in ("[CLS]", "[SEP]", "</s>")}
    if ids["[CLS]"] is not None and ids["[SEP]"] is not None:
        tokens = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
        pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
        inner.post_processor = template(single="[CLS] $A [SEP]", pair=pair, special_tokens=tokens)
    elif ids["</s>"] is not None:
        end = [("</s>", ids["</s>"])]
        inner.post_processor = template(single="$A </s>", pair="$A </s> $B </s>", special_tokens=end)
