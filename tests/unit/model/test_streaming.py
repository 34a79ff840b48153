"""Text as it comes: whole characters, and nothing from a text at which to stop on."""

from __future__ import annotations

import random

import pytest

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import decoders, models, pre_tokenizers  # noqa: E402

from tonne.model.streaming import TextStream  # noqa: E402

TEXT = "Grüße, 世界! \N{GRINNING FACE} done\nnew line"


def byte_level():
    """Each byte a token of its own, so that characters come in pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return made


def words():
    """Words with the space before them, as SentencePiece has them."""
    vocabulary = {"▁the": 0, "▁end": 1, "▁of": 2, "s": 3, "<unk>": 4}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.decoder = decoders.Metaspace()
    return made


def streamed(tokenizer, tokens, stops=()):
    stream, pieces = TextStream(tokenizer, stops), []
    for token in tokens:
        pieces.append(stream.add(token))
        if stream.stopped:
            break
    return [*pieces, stream.rest()], stream.stopped


def test_pieces_are_the_whole_text_and_no_character_is_split():
    tokenizer = byte_level()
    tokens = tokenizer.encode(TEXT).ids
    pieces, stopped = streamed(tokenizer, tokens)
    assert len(tokens) == len(TEXT.encode())
    assert "".join(pieces) == TEXT
    assert [piece for piece in pieces if piece] == list(TEXT)
    assert not stopped


def test_bytes_that_are_no_text_come_as_the_whole_would():
    tokenizer, tokens = byte_level(), random.Random(0).choices(range(256), k=400)
    pieces, _ = streamed(tokenizer, tokens)
    assert "".join(pieces) == tokenizer.decode(tokens)


def test_spaces_between_words_are_kept():
    pieces, _ = streamed(words(), [0, 1, 3, 2, 0, 1])
    assert pieces == ["the", " end", "s", " of", " the", " end", ""]


def test_spaces_are_kept_behind_tokens_that_say_nothing():
    tokenizer = words()
    tokenizer.add_special_tokens(["<s>"])
    pieces, _ = streamed(tokenizer, [5, 0, 5, 5, 1, 5, 3])
    assert "".join(pieces) == tokenizer.decode([5, 0, 5, 5, 1, 5, 3]) == "the ends"


def test_a_character_that_is_never_finished_comes_at_the_end():
    tokenizer = byte_level()
    pieces, _ = streamed(tokenizer, tokenizer.encode("a世").ids[:-1])
    assert pieces == ["a", "", "", "\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("stops", "expected", "stopped"),
    [
        (["done"], "Grüße, 世界! \N{GRINNING FACE} ", True),
        (["\n"], "Grüße, 世界! \N{GRINNING FACE} done", True),
        (["line", "done"], "Grüße, 世界! \N{GRINNING FACE} ", True),  # whichever comes first
        (["donut", "newt"], TEXT, False),  # begin alike: held back for a while, then shown
        (["lines"], TEXT, False),  # held back at the end, then shown
        (["G"], "", True),
        (["界"], "Grüße, 世", True),
    ],
)
def test_nothing_is_shown_from_a_stop_on(stops, expected, stopped):
    tokenizer = byte_level()
    pieces, has_stopped = streamed(tokenizer, tokenizer.encode(TEXT).ids, stops)
    assert ("".join(pieces), has_stopped) == (expected, stopped)


def test_what_may_be_a_stop_is_held_back_no_longer_than_needed():
    tokenizer = byte_level()
    pieces, _ = streamed(tokenizer, tokenizer.encode("abcabd").ids, ["abd"])
    assert pieces == ["", "", "abc", "", "", "", ""]
