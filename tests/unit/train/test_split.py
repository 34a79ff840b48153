"""Which documents are held out."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.train.split import held_out, is_held_out


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1, 0.3, 1 / 3, 0.5])
def test_one_document_of_each_stretch_is_held_out(fraction):
    found = held_out(10_000, fraction)
    assert abs(found.sum() - 10_000 * fraction) <= 1
    # No part of the data is spared: two held-out ones are never two stretches apart.
    assert np.diff(np.flatnonzero(found)).max() <= 2 / fraction


def test_rule_about_one_document_is_the_rule_about_all():
    for fraction in (0.07, 0.1, 0.5):
        assert [is_held_out(i, fraction) for i in range(300)] == held_out(300, fraction).tolist()


def test_a_longer_store_holds_out_what_the_shorter_did():
    assert held_out(5000, 0.05)[:777].tolist() == held_out(777, 0.05).tolist()


def test_choice_within_a_stretch_is_no_period():
    places = np.flatnonzero(held_out(1000, 0.1)) % 10
    assert len(set(places.tolist())) > 5


def test_of_few_documents_one_is_held_out_and_of_one_none():
    assert held_out(2, 0.01).tolist() == [False, True]
    assert not held_out(1, 0.5).any()
    assert not held_out(100, 0.0).any()
    assert not is_held_out(0, 0.0)
