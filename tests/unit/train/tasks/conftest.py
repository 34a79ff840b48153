"""Tokenizers of whole words, so that every id can be written down by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "</s>", "<s>", "<pad>", ":", "the", "cat", "sat", "dog", "ran", "say"]
WORDS += ["red", "one", "two", "six", "ten"]
ID = {word: number for number, word in enumerate(WORDS)}
SHAPE = {"width": 8, "heads": 2, "vocabulary": 32, "max_positions": 12}


def words_with(special):
    """A tokenizer of the words above, some of which are special."""
    from tonne.train.tokenizer import TextTokenizer

    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(ID, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.add_special_tokens(list(special))
    return TextTokenizer(inner)


@pytest.fixture
def reading():
    """(kind of model, fields of its task) -> how it reads; with the tokenizer of that kind."""
    from tonne.describe.architecture import Architecture
    from tonne.describe.task import Task
    from tonne.train.tasks.build import reading_of

    def made(kind, *, labels=(), weights=None, **task):
        layers = {"encoder_layers": 1, "decoder_layers": 1} if kind == "encoder-decoder" else {"layers": 1}
        more = {"token_types": 2} if kind == "encoder" else {}
        a = Architecture(kind=kind, positions="learned", **layers, **SHAPE, **more)
        tokenizer = {
            "encoder": words_with(["[PAD]", "[CLS]", "[SEP]", "[UNK]"]),
            "decoder": words_with(["</s>"]),
            "encoder-decoder": words_with(["<pad>", "</s>"]),
        }[kind]
        return reading_of(Task(**task), a, tokenizer, labels=labels, weights=weights)

    return made


@pytest.fixture
def ids():
    """Words -> their ids."""

    def made(text):
        return [ID[word] for word in text.split()]

    return made
