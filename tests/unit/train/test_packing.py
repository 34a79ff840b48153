"""Best-fit packing by counting."""

from __future__ import annotations

import numpy as np

from tonne.train.packing import best_fit


def packed(lengths, capacity):
    plan = best_fit(np.array(lengths, dtype=np.int64), capacity)
    return [plan.pack(number).tolist() for number in range(plan.packs)]


def test_packs_of_an_example_by_hand():
    # Capacity 10; pieces 0 to 5 of 6, 5, 4, 4, 3, 2 tokens. The 6 opens a pack (4 left), the 5 another (5 left); the
    # first 4 goes where least is left: beside the 6 (full); the second 4 beside the 5 (1 left); 3 and 2 open a third.
    found = packed([6, 5, 4, 4, 3, 2], 10)
    assert sorted(sorted(pack) for pack in found) == [[0, 2], [1, 3], [4, 5]]


def test_pieces_of_one_length_share_packs():
    found = packed([3] * 7, 10)  # three to a pack: 3 + 3 + 1
    assert sorted(len(pack) for pack in found) == [1, 3, 3]
    assert sorted(piece for pack in found for piece in pack) == list(range(7))


def test_full_pieces_stand_alone():
    assert sorted(packed([8, 8, 8], 8)) == [[0], [1], [2]]


def test_nothing_makes_no_packs():
    assert packed([], 16) == []


def test_packing_of_uneven_documents_is_nearly_full():
    lengths = np.clip(np.random.default_rng(0).lognormal(5, 1, 20_000), 1, 1024).astype(np.int64)
    plan = best_fit(lengths, 1024)
    assert plan.packs * 1024 < 1.01 * lengths.sum()


def best_fit_decreasing(lengths, capacity):
    """The textbook's algorithm, piece by piece: tokens in each pack, sorted."""
    packs: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, held in enumerate(packs) if held + length <= capacity]
        if fitting:
            packs[max(fitting, key=lambda i: packs[i])] += length
        else:
            packs.append(length)
    return sorted(packs)


def test_packs_are_those_of_the_textbook():
    rng = np.random.default_rng(1)
    for capacity in (7, 16, 50):
        lengths = rng.integers(1, capacity + 1, 300)
        plan = best_fit(lengths, capacity)
        held = sorted(int(lengths[plan.pack(number)].sum()) for number in range(plan.packs))
        assert held == best_fit_decreasing(lengths.tolist(), capacity)
