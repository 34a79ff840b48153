"""Metrics of texts equal those of the reference libraries, and values worked out by hand."""

from __future__ import annotations

import pytest

from tonne.errors import DataError, MissingPackageError
from tonne.train.metrics import score
from tonne.train.metrics.texts import script_of

sacrebleu = pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

pytestmark = pytest.mark.slow  # the packages that count words take seconds to import

PREDICTIONS = [
    "the cat sat on the mat today",
    "a dog barked at the moon all night",
    "it rains in the north of the country",
]
REFERENCES = ["the cat sat on a mat today", "the dog barked at the moon all night long", "it rains in the south"]


def test_bleu_and_chrf_are_those_of_sacrebleu_with_its_signature():
    found = score("translation", PREDICTIONS, REFERENCES)
    assert found["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES]).score, abs=1e-9)
    assert found["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(PREDICTIONS, [REFERENCES]).score, abs=1e-9)
    begin = f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert found["bleu"].signature.startswith(f"BLEU|{begin}|examples:3|bs:1000|seed:0|tonne:")
    assert found["chrf"].signature.startswith("CHRF|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


def test_bleu_by_hand():
    # "a b c d e" for "a b c d f": 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 fours; as long as the reference
    found = score("translation", ["a b c d e"], ["a b c d f"], metric="bleu")
    assert found["bleu"].value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_several_references_as_sacrebleu_takes_them_in_streams():
    references = [["the cat sat on a mat today", "the cat was on the mat today"], ["the dog barked"], [REFERENCES[2]]]
    streams = [[several[0] for several in references], [references[0][1], None, None]]
    found = score("translation", PREDICTIONS, references)
    assert found["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(PREDICTIONS, streams).score, abs=1e-9)
    assert found["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(PREDICTIONS, streams).score, abs=1e-9)
    assert "nrefs:var" in found["bleu"].signature


def test_intervals_agree_with_those_that_sacrebleu_draws_itself():
    predictions, references = PREDICTIONS * 20, [*REFERENCES * 19, *PREDICTIONS]
    own = sacrebleu.BLEU().corpus_score(predictions, [references], n_bootstrap=1000)
    ci = own._ci  # half the width of an interval of 95 %, about 1.96 of 1.645 times ours
    found = score("translation", predictions, references)["bleu"]
    assert (found.high - found.low) / 2 == pytest.approx(ci * 1.645 / 1.96, rel=0.1)
    assert found.low < found.value < found.high


def test_rouge_by_hand():
    # 4 of 4 words and 4 of 6: 2 (1 x 2/3) / (1 + 2/3); pairs: 1 of 3 and 1 of 5; the longest common sequence has 4
    found = score("summarisation", ["the cat on mat"], ["the cat sat on the mat"])
    assert found["rouge1"].value == pytest.approx(80.0)
    assert found["rouge2"].value == pytest.approx(25.0)
    assert found["rougeL"].value == pytest.approx(80.0)
    assert found["rougeL"].signature.startswith(
        "rougeL-f1|stem:no|tok:default|refs:best|version:0.1.2|examples:1|tonne:"
    )


def test_rouge_of_the_best_reference_counts():
    found = score("summarisation", ["the cat on mat"], [["a dog", "the cat on mat"]], metric="rougeL")
    assert found["rougeL"].value == pytest.approx(100.0)


def test_rouge_of_other_scripts_counts_their_words_and_says_so():
    # characters: 5 of 5 and 5 of 6
    found = score("summarisation", ["猫在垫子上"], ["猫坐在垫子上。"], metric="rouge1")["rouge1"]
    assert found.value == pytest.approx(100 * 10 / 11)
    assert "tok:any-script" in found.signature
    # words: 1 of 2 and 1 of 2
    found = score("summarisation", ["кот спит"], ["Кот сидит"], metric="rouge1")["rouge1"]
    assert found.value == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("text", "script", "tokenizer"),
    [
        ("瑞士的首都", "han", "tok:zh"),
        ("スイスの首都", "kana", "tok:char"),
        ("Schweiz", "latin", "tok:13a"),
        ("Швейцария", "other", "tok:13a"),
    ],
)
def test_the_tokenizer_of_bleu_follows_the_script(text, script, tokenizer):
    assert script_of([text, "12.5 %"]) == script
    assert tokenizer in score("translation", [text], [text], metric="bleu")["bleu"].signature


def test_exact_match_is_exact_but_for_space_at_the_ends():
    predictions, references = ["Haus ", "haus", "Hund", "Katze"], ["Haus", "Haus", ["Kater", "Hund"], "Hund"]
    found = score("translation", predictions, references, metric="exact_match")["exact_match"]
    assert found.value == 50.0


def test_an_empty_reference_is_told():
    for references in (["a", " "], ["a", []], ["a", ["b", ""]]):
        with pytest.raises(DataError, match=r"reference of example 2 is empty"):
            score("translation", ["a", "b"], references)


def test_an_empty_prediction_is_wrong_and_no_fault():
    found = score("translation", ["", ""], ["a b", "c"])
    assert {name: one.value for name, one in found.items()} == {"bleu": 0.0, "chrf": 0.0, "exact_match": 0.0}
    assert score("summarisation", [""], ["a b"])["rougeLsum"].value == 0.0


def test_a_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(MissingPackageError, match=r"sacrebleu, which is not installed.*tonne\[metrics\]"):
        score("translation", ["a"], ["a"], metric="chrf")
