"""Tokenizers: what they cut, and what transformers makes of their files."""

from __future__ import annotations

import pytest

from tonne.errors import DataError
from tonne.train.special_tokens import SpecialTokens, spellings_for
from tonne.train.tokenizer import load_tokenizer
from tonne.train.tokenizer_training import train_tokenizer

pytest.importorskip("tokenizers")
TEXT = [
    "The quick brown fox, the lazy dog; it isn't here.\nNothing more is said of the fox.",
    "Quick, quick! " * 20,
] * 5


@pytest.fixture(scope="module")
def trained():
    def train(kind, objective, vocabulary=400, **more):
        return train_tokenizer(TEXT, kind=kind, vocabulary=vocabulary, objective=objective, **more)

    return train


def test_bytes_give_any_text_back(trained):
    tokenizer = trained("bpe", "causal-lm")
    for text in ("  The fox\n\n\ttabs ", "\u00e9\u4e2d\U0001f600 \x00", "<|endoftext|> is text here"):
        (ids,) = tokenizer.encode([text])
        assert tokenizer.decode(ids) == text
        assert 0 not in ids  # the delimiter is no text


def test_special_tokens_lie_first_by_objective(trained):
    bert = trained("wordpiece", "masked-lm+next-sentence")
    assert bert.special == SpecialTokens(pad=0, unknown=1, begin=2, separator=3, mask=4, delimiter=3)
    t5 = trained("unigram", "span-corruption")
    assert (t5.special.pad, t5.special.delimiter, t5.special.unknown) == (0, 1, 2)
    assert t5.special.sentinels == tuple(range(3, 103))
    assert trained("bpe", "causal-lm").special == SpecialTokens(pad=0, delimiter=0)


def test_wordpiece_marks_what_goes_on_with_a_word(trained):
    tokenizer = trained("wordpiece", "masked-lm")
    begins = tokenizer.begins_word()
    (ids,) = tokenizer.encode(["quickquick fox."])
    spelt = [tokenizer.inner.id_to_token(int(i)) for i in ids]
    assert [bool(begins[i]) for i in ids] == [not token.startswith("##") for token in spelt]
    assert spelt[-2:] == ["fox", "."]


def test_bytes_begin_a_word_after_white_space_and_at_marks(trained):
    tokenizer = trained("bpe", "causal-lm")
    begins, inner = tokenizer.begins_word(), tokenizer.inner
    assert begins[inner.token_to_id("Ġthe")]
    assert begins[inner.token_to_id(",")]
    assert not begins[inner.token_to_id("x")]


def test_sentences_end_at_marks(trained):
    for kind in ("wordpiece", "bpe"):
        tokenizer = trained(kind, "masked-lm")
        ends = tokenizer.ends_sentence()
        assert ends[tokenizer.inner.token_to_id(".")]
        assert ends[tokenizer.inner.token_to_id("!")]
        assert not ends[tokenizer.inner.token_to_id(",")]


def test_lower_case_when_asked(trained):
    tokenizer = trained("wordpiece", "masked-lm", lowercase=True)
    assert tokenizer.encode(["THE FOX"])[0].tolist() == tokenizer.encode(["the fox"])[0].tolist()


@pytest.mark.parametrize(
    ("kind", "objective"),
    [("bpe", "causal-lm"), ("wordpiece", "masked-lm"), ("unigram", "seq2seq"), ("bpe", "seq2seq")],
)
def test_training_twice_gives_one_tokenizer_and_it_is_loaded_again(trained, tmp_path, kind, objective):
    first = trained(kind, objective)
    if kind != "unigram":  # which of two pieces of equal worth it keeps is chance
        assert trained(kind, objective).vocabulary_hash == first.vocabulary_hash
    first.save(tmp_path / "t")
    loaded = load_tokenizer(tmp_path / "t")
    assert loaded.vocabulary_hash == first.vocabulary_hash
    assert loaded.special == first.special
    assert [ids.tolist() for ids in loaded.encode(TEXT)] == [ids.tolist() for ids in first.encode(TEXT)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "objective", "frame"),
    [("bpe", "causal-lm", (0, 0)), ("wordpiece", "masked-lm", (1, 1)), ("unigram", "span-corruption", (0, 1))],
)
def test_transformers_loads_what_is_saved(trained, tmp_path, kind, objective, frame):
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(kind, objective)
    tokenizer.save(tmp_path / "t")
    for theirs in (
        transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "t" / "tokenizer.json")),
        transformers.AutoTokenizer.from_pretrained(tmp_path / "t"),
    ):
        ids = theirs("The quick fox.")["input_ids"]
        text = ids[frame[0] : len(ids) - frame[1]]
        assert text == tokenizer.encode(["The quick fox."])[0].tolist()
    assert theirs.pad_token_id == tokenizer.special.pad
    assert theirs.mask_token_id == tokenizer.special.mask
    if objective == "masked-lm":
        assert ids == [2, *text, 3]
        assert theirs("A", "B")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_spellings_of_published_models_are_known():
    roberta = SpecialTokens.from_vocabulary({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 50264})
    assert roberta == SpecialTokens(pad=1, unknown=3, begin=0, separator=2, mask=50264, delimiter=2)
    llama = SpecialTokens.from_vocabulary(
        {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|eot_id|>": 128009}
    )
    assert llama == SpecialTokens(pad=128001, begin=128000, delimiter=128001, others=(128009,))
    assert SpecialTokens.from_dict(roberta.as_dict()) == roberta
    assert len(spellings_for("seq2seq")) == 103


def test_bad_input_is_told(tmp_path):
    with pytest.raises(DataError, match="vocabulary = 200 is too small: 1 special tokens and 256 bytes take 257"):
        train_tokenizer(TEXT, kind="bpe", vocabulary=200)
    with pytest.raises(DataError, match="no text to be trained on"):
        train_tokenizer([], kind="bpe", vocabulary=300)
    with pytest.raises(DataError, match=r"tokenizer\.json is not there"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="is no tokenizer"):
        load_tokenizer(tmp_path)
