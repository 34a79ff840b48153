"""Answers, likelihoods, intervals, and what a task may ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tonne.errors import DataError, DescriptionError
from tonne.train.metrics import Likelihood, default_metric, higher_is_better, metrics_of, score
from tonne.train.metrics.answers import normalised, word_f1


@pytest.mark.parametrize(
    ("made", "wanted", "exact", "f1"),
    [
        ("The Limmat.", ["Limmat"], 1, 1),
        ("the cat sat", ["a cat sat down"], 0, 2 * 2 / 5),
        ("cat cat", ["cat"], 0, 2 * 1 / 3),
        ("Zürich", ["Bern", "zürich!"], 1, 1),
        ("", [], 1, 1),
        ("Bern", [], 0, 0),
        ("the", ["a"], 1, 1),
        ("", ["Bern"], 0, 0),
    ],
)
def test_answers_as_squad_scores_them(made, wanted, exact, f1):
    found = score("question-answering", [made], [wanted])
    assert found["exact_match"].value == pytest.approx(100 * exact)
    assert found["f1"].value == pytest.approx(100 * f1)


def test_what_is_dropped_of_an_answer():
    assert normalised("  The  well-known (an old) theorem; a Theatre ") == "wellknown old theorem theatre"
    assert word_f1("x y", "y z") == pytest.approx(0.5)


def test_likelihoods_by_hand():
    texts = [Likelihood(2.0, 4, 8), Likelihood(6.0, 4, 8)]
    found = score("continued", texts, [])
    assert found["perplexity"].value == pytest.approx(math.e)
    assert found["bits_per_byte"].value == pytest.approx(8 / (math.log(2) * 16))
    with pytest.raises(DataError, match="no token to predict"):
        score("continued", [Likelihood(0.0, 0, 1)], [])


def test_the_interval_of_a_share_is_that_of_the_binomial():
    made = ["a"] * 70 + ["b"] * 30
    found = score("classification", made, ["a"] * 100, metric="accuracy", resamples=4000)["accuracy"]
    # Binomial(100, 0.7): P(X <= 61) = 0.034, P(X <= 62) = 0.053; P(X <= 76) = 0.938, P(X <= 77) = 0.962
    assert (found.low, found.value, found.high) == (pytest.approx(62, abs=1), 70.0, pytest.approx(77, abs=1))


@pytest.mark.slow
def test_intervals_hold_the_truth_nine_times_in_ten():
    draws = np.random.default_rng(5)
    held = 0
    for seed in range(300):
        right = draws.random(60) < 0.6
        made = ["a" if one else "b" for one in right]
        found = score("classification", made, ["a"] * 60, metric="accuracy", resamples=200, seed=seed)["accuracy"]
        held += found.low <= 60.0 <= found.high
    assert 0.86 <= held / 300 <= 0.95


def test_where_all_are_right_the_interval_is_that_of_so_many_in_a_row():
    found = score("classification", ["a", "b"] * 10, ["a", "b"] * 10)
    assert found["accuracy"].low == pytest.approx(100 * 0.05 ** (1 / 20))  # 86.1
    assert found["accuracy"].high == 100.0
    found = score("question-answering", [""] * 20, [["x"]] * 20)["f1"]
    assert (found.low, found.high) == (0.0, pytest.approx(100 - 100 * 0.05 ** (1 / 20)))


def test_the_same_seed_gives_the_same_interval_and_another_one_not():
    made, wanted = ["a", "b", "a", "b", "a"] * 5, ["a", "a", "b", "b", "a"] * 5
    first = score("classification", made, wanted, seed=1)
    assert score("classification", made, wanted, seed=1) == first
    assert score("classification", made, wanted, seed=2)["f1_macro"].low != first["f1_macro"].low
    bare = score("classification", made, wanted, resamples=0)["f1_macro"]
    assert (bare.value, bare.low, bare.high) == (first["f1_macro"].value, None, None)
    assert "bs:" not in bare.signature


def test_one_example_has_no_interval():
    found = score("classification", ["a"], ["a"])["accuracy"]
    assert (found.value, found.low, found.high) == (100.0, None, None)


def test_sentences_are_resampled_and_not_tokens():
    # Two kinds of sentences, all right or all wrong: as tokens 40 draws, as sentences 8, so sqrt(5) times as wide.
    made = [["x"] * 5, ["y"] * 5] * 4
    found = score("token-classification", made, [["x"] * 5] * 8, metric="accuracy", resamples=4000)["accuracy"]
    # Binomial(8, 0.5): P(X <= 1) = 0.035, P(X <= 2) = 0.145: the 5th percentile is 2 of 8
    assert (found.low, found.high) == (25.0, 75.0)


def test_every_task_has_metrics_and_they_have_a_direction():
    assert default_metric("classification") == "accuracy"
    assert default_metric("translation") == "chrf"
    assert default_metric("question-answering") == "f1"
    assert not higher_is_better(default_metric("continued"))
    assert higher_is_better("rougeL")
    assert metrics_of("summarisation") == ("rougeL", "rouge1", "rouge2", "rougeLsum")


def test_what_cannot_be_scored_is_told():
    with pytest.raises(DescriptionError, match=r"no task 'parsing'\. Known: translation,"):
        score("parsing", ["a"], ["a"])
    with pytest.raises(DescriptionError, match=r"classification has no metric 'bleu'\. Known: accuracy, f1_macro"):
        score("classification", ["a"], ["a"], metric="bleu")
    with pytest.raises(DataError, match=r"1 predictions for 2 references"):
        score("classification", ["a"], ["a", "b"])
    with pytest.raises(DataError, match=r"0 predictions for 0 references"):
        score("classification", [], [])
