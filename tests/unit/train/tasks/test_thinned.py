"""Tokens left out of texts that have one label: which ones is a matter of seed, epoch and sample alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tonne.train.draws import Draws  # noqa: E402 - after the check that torch is there
from tonne.train.labelled import Labelled  # noqa: E402
from tonne.train.objectives.example import Example  # noqa: E402
from tonne.train.tasks.batches import LabelledBatches  # noqa: E402
from tonne.train.tasks.build import form_of  # noqa: E402
from tonne.train.tasks.thinned import thinned  # noqa: E402


class Given(Draws):
    """Draws that are written down."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def uniform(self, number):
        return self.numbers[:number]


def read(tokens, **more):
    ids = np.array(tokens)
    return Example(tokens=ids, targets=np.full_like(ids, -100), label=1, **more)


def test_tokens_below_the_share_go_and_the_frame_stays():
    # 101 and 102 frame the text; of 5, 6, 7 the draws 0.1, 0.3, 0.9 are below, at and above the share of 0.3
    types = np.array([0, 0, 0, 1, 1])
    found = thinned(read([101, 5, 6, 7, 102], token_types=types), 0.3, Given(0.0, 0.1, 0.3, 0.9, 0.0), {101, 102})
    assert found.tokens.tolist() == [101, 6, 7, 102]
    assert found.token_types.tolist() == [0, 0, 1, 1]
    assert (len(found.targets), found.label) == (4, 1)


def test_an_encoder_decoder_reads_what_is_left_twice():
    given = read([0, 5, 6, 7], source=np.array([5, 6, 7, 1]))
    found = thinned(given, 0.5, Given(0.9, 0.1, 0.9, 0.1), {1})
    assert found.source.tolist() == [5, 7, 1]
    assert found.tokens.tolist() == [0, 5, 7]


def test_a_text_is_never_left_without_a_token():
    given = read([5, 6])
    assert thinned(given, 0.5, Given(0.1, 0.2), frozenset()) is given


def batches(reading, **more):
    form = form_of(reading("encoder", name="classification", labels=("a", "b")))
    examples = [Labelled(id=str(i), text=" ".join(["cat"] * 100), label="ab"[i % 2]) for i in range(40)]
    examples[0] = Labelled(id="0", text="cat sat", label="a")
    return LabelledBatches(form, examples, batch_sequences=4, seed=3, **more)


def test_a_share_of_the_words_is_left_out_others_each_epoch(reading):
    # frames and cuts apart: the model takes 12 places, 10 of them words; 39 texts of 10 words and one of 2
    made = batches(reading, token_dropout=0.25)
    words = [len(made.example(epoch, sample).tokens) - 2 for epoch in range(20) for sample in range(1, 40)]
    # binomial, 7,800 words: the share that stays has a standard deviation of sqrt(0.25 x 0.75 / 7800) = 0.0049
    assert np.mean(words) / 10 == pytest.approx(0.75, abs=4 * 0.0049)
    assert made.example(0, 1).tokens.tolist() == batches(reading, token_dropout=0.25).example(0, 1).tokens.tolist()
    assert len({len(made.example(epoch, 1).tokens) for epoch in range(20)}) > 1


def test_what_is_read_in_the_mean_is_less(reading):
    whole, _ = batches(reading).mean_lengths
    assert whole == (39 * 12 + 4) / 40
    assert batches(reading, token_dropout=0.25).mean_lengths[0] == pytest.approx(0.75 * whole)
