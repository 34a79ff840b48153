"""Accuracy, F1 and entities, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.errors import DataError
from tonne.train.metrics import score
from tonne.train.metrics.labels import entities

WANTED, MADE = list("aabbc"), list("abbbc")  # right: a 1, b 2, c 1; predicted: a 1, b 3, c 1; wanted: a 2, b 2, c 1


def test_accuracy_and_f1_by_hand():
    found = score("classification", MADE, WANTED)
    assert found["accuracy"].value == pytest.approx(80.0)
    assert found["f1_micro"].value == pytest.approx(80.0)
    assert found["f1_macro"].value == pytest.approx(100 * (2 / 3 + 4 / 5 + 1) / 3)
    assert found["f1_macro"].signature.startswith("f1|average:macro|of:examples|labels:3|examples:5|bs:1000|seed:0")


def test_a_label_that_is_only_predicted_counts_as_missed():
    found = score("pair-classification", ["a", "c"], ["a", "b"], metric="f1_macro")
    assert found["f1_macro"].value == pytest.approx(100 / 3)  # a: 1; b and c: 0


@pytest.mark.slow
def test_f1_equals_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    draws = np.random.default_rng(3)
    wanted = [str(label) for label in draws.integers(0, 7, 200)]
    made = [label if draws.random() < 0.6 else str(draws.integers(0, 9)) for label in wanted]
    found = score("classification", made, wanted)
    for average in ("macro", "micro"):
        own = metrics.f1_score(wanted, made, average=average, zero_division=0)
        assert found[f"f1_{average}"].value == pytest.approx(100 * own)


def test_tokens_count_alike_whatever_their_sentence():
    found = score("token-classification", [["x", "y", "y"], ["y"]], [["x", "y", "x"], ["x"]])
    assert set(found) == {"accuracy", "f1_macro", "f1_micro"}
    assert found["accuracy"].value == pytest.approx(50.0)
    assert found["f1_macro"].value == pytest.approx(100 * (2 / 4 + 2 / 4) / 2)  # each: 1 right, 4 predicted or wanted
    assert "of:tokens" in found["accuracy"].signature


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 1), ("PER", 1, 3)}),
        ("I-PER I-PER O I-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER I-LOC I-LOC", {("PER", 0, 1), ("LOC", 1, 3)}),
        ("B-PER E-PER E-PER S-LOC S-LOC", {("PER", 0, 2), ("PER", 2, 3), ("LOC", 3, 4), ("LOC", 4, 5)}),
        ("O O", set()),
        ("B-X-Y I-X-Y", {("X-Y", 0, 2)}),
    ],
)
def test_entities_that_labels_spell(labels, wanted):
    assert entities(labels.split()) == wanted


def test_f1_of_entities_by_hand():
    wanted = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]  # three entities
    made = [["B-PER", "I-PER", "O", "B-PER"], ["O", "O"]]  # two, of which one is right
    found = score("token-classification", made, wanted)
    assert found["entity_precision"].value == pytest.approx(50.0)
    assert found["entity_recall"].value == pytest.approx(100 / 3)
    assert found["entity_f1"].value == pytest.approx(100 * 2 / 5)
    nothing = score("token-classification", [["O"] * 4, ["O"] * 2], wanted, metric="entity_f1")
    assert nothing["entity_f1"].value == 0.0


def test_entities_need_labels_that_spell_some():
    with pytest.raises(DataError, match=r"spell no entities .*which entity_f1 counts"):
        score("token-classification", [["x"]], [["x"]], metric="entity_f1")


def test_a_token_without_a_prediction_is_told():
    with pytest.raises(DataError, match=r"example 2 has 1 predictions for 2 labels"):
        score("token-classification", [["x"], ["x"]], [["x"], ["x", "y"]])
