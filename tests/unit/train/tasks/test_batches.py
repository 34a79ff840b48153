"""Labelled examples in batches: little padding, each once an epoch, the same step whoever makes it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tonne.errors import DataError  # noqa: E402 - after the check that torch is there
from tonne.train.labelled import Labelled  # noqa: E402
from tonne.train.tasks.batches import LabelledBatches, winding  # noqa: E402
from tonne.train.tasks.build import form_of  # noqa: E402
from tonne.train.tasks.losses import label_weights  # noqa: E402


def texts(lengths):
    return [Labelled(id=str(i), text=" ".join(["cat"] * n), label="ab"[i % 2]) for i, n in enumerate(lengths)]


@pytest.fixture
def batches(reading):
    def made(lengths, **more):
        form = form_of(reading("encoder", name="classification", labels=("a", "b")))
        return LabelledBatches(form, texts(lengths), **{"batch_sequences": 4, "seed": 3} | more)

    return made


def test_an_epoch_sees_each_example_once(batches):
    made = batches([1, 5, 3, 2, 9, 4, 7, 7])
    seen = [int(number) for step in range(2) for number in made.sequences(step)[1]]
    assert sorted(seen) == list(range(8))


def test_examples_of_like_length_come_together(batches):
    lengths = [1, 9] * 40
    assert batches(lengths).fill() == 1.0


def test_fill_by_hand(batches):
    # one batch: lengths 1, 2, 3, 4 with two marks each: 18 of 4 x 6 tokens
    assert batches([1, 2, 3, 4]).fill() == 18 / 24


def test_a_batch_knows_its_padding_and_its_labels(batches):
    (batch,) = batches([1, 2, 3, 4], shuffle=False).micro_batches(0)
    assert (batch.real_tokens, batch.places, batch.predicted) == (18, 24, 4)
    assert batch.weight is None
    assert sorted(batch.labels.tolist()) == [0, 0, 1, 1]


def test_shares_of_ranks_and_micro_batches_are_the_same_sequences(batches):
    made = batches([3, 1, 4, 1, 5, 9, 2, 6])
    (whole,) = made.micro_batches(1)
    parts = [part for rank in range(2) for part in made.micro_batches(1, rank=rank, ranks=2, micro_batch_sequences=1)]
    assert torch.cat([part.labels for part in parts]).tolist() == whole.labels.tolist()
    rows = [row[row.ne(0)].tolist() for row in whole.tokens]
    assert [part.tokens[0].tolist() for part in parts] == rows


def test_held_out_examples_are_seen_once_in_all(batches):
    made = batches([3, 1, 4, 1, 5], shuffle=False)
    seen = [int(number) for step in range(made.steps_per_epoch) for number in made.sequences(step)[1]]
    assert sorted(seen) == list(range(5))


def test_no_example_is_no_data(batches):
    with pytest.raises(DataError, match="no example of classification"):
        batches([])


def test_a_changed_label_is_another_set_of_examples(reading):
    form = form_of(reading("encoder", name="classification", labels=("a", "b")))
    found = [
        LabelledBatches(form, [Labelled(id="1", text="cat", label=label)], batch_sequences=1).facts()["identity"]
        for label in "aba"
    ]
    assert found[0] == found[2] != found[1]


def test_sources_and_targets_are_put_together_so_that_least_is_padded(reading):
    # lengths of 1 to 8 that have nothing to do with one another: 64 kinds of pairs, 8 of each
    form = form_of(reading("encoder-decoder", name="translation"))
    draws = np.random.default_rng(0)
    examples = [
        Labelled(id=str(i), source=" ".join(["cat"] * int(s)), target=" ".join(["dog"] * int(t)))
        for i, (s, t) in enumerate(draws.integers(1, 9, (512, 2)))
    ]
    made = LabelledBatches(form, examples, batch_sequences=4)
    assert made.fill() > 0.9


def test_neighbours_are_alike_in_both_lengths():
    # the longer side is 1, then 2, then 3; the difference falls from 1 to -1 in odd steps, and rises in even ones
    pairs = np.array([(1, 1), (2, 1), (2, 2), (1, 2), (1, 3), (3, 3), (3, 1)])
    order = np.argsort(winding(pairs[:, 0], pairs[:, 1], 1), kind="stable")
    assert [tuple(map(int, pairs[place])) for place in order] == [
        (1, 1), (1, 2), (2, 2), (2, 1), (3, 1), (3, 3), (1, 3)
    ]  # fmt: skip


def test_balanced_weights_by_hand():
    # 6 examples, 3 labels: 6 / (3 x 4) = 0.5, 6 / (3 x 2) = 1, one never seen counts 1
    assert label_weights(["a"] * 4 + ["b"] * 2, ("a", "b", "c"), "balanced") == (0.5, 1.0, 1.0)
    assert label_weights([], ("a", "b"), {"b": 3.0}) == (1.0, 3.0)
