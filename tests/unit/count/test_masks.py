from __future__ import annotations

import numpy as np
import pytest

from tonne.count.flops import attended_positions, full_layers
from tonne.count.masks import (
    causal_positions,
    causal_window_positions,
    minimum,
    two_sided_window_positions,
    whole,
)
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture

LENGTHS = [1, 2, 5, 16, 33]
WINDOWS = [1, 2, 3, 8, 16, 40]


def distance(length):
    """How far back the key (column) lies from the query (row)."""
    return np.arange(length)[:, None] - np.arange(length)[None, :]


@pytest.mark.parametrize("length", LENGTHS)
def test_causal_mask_has_as_many_ones(length):
    assert causal_positions(length) == (distance(length) >= 0).sum()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_prefix_mask_has_as_many_ones(length, prefix):
    prefix = min(prefix, length)
    inside = np.arange(length) < prefix
    mask = (distance(length) >= 0) | (inside[:, None] & inside[None, :])
    assert causal_positions(length, prefix) == mask.sum()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("window", WINDOWS)
def test_causal_window_mask_has_as_many_ones(length, window):
    back = distance(length)
    assert causal_window_positions(length, window) == ((back >= 0) & (back < window)).sum()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("window", WINDOWS)
def test_two_sided_window_mask_has_as_many_ones(length, window):
    assert two_sided_window_positions(length, window) == (abs(distance(length)) <= window // 2).sum()


def test_packed_documents_do_not_see_one_another():
    document = np.repeat([0, 1, 2], [3, 7, 6])
    mask = (distance(16) >= 0) & (document[:, None] == document[None, :])
    decoder = Architecture(kind="decoder", layers=1, width=8, heads=2)
    sequence = Sequence(decoder_length=16, documents=(3, 7, 6))
    assert attended_positions(decoder, sequence, 1, decoder=True, square=False) == mask.sum()


@pytest.mark.parametrize(("preset", "full"), [("gemma-3-1b", 4), ("modernbert-base", 8), ("gpt-neo-125m", 6)])
def test_layers_that_attend_fully(preset, full):
    architecture = Architecture.preset(preset)
    assert full_layers(architecture, architecture.layers) == full


def test_minimum_of_numbers_and_of_arrays():
    assert minimum(3, 5) == 3
    assert minimum(np.array([3.0, 7.0]), 5.0).tolist() == [3.0, 5.0]


def test_whole_rounds_halves_up_and_keeps_arrays():
    assert (whole(76.8), whole(2.5), type(whole(2.5))) == (77, 3, int)
    assert whole(np.array([76.8, 2.5])).tolist() == [77.0, 3.0]
