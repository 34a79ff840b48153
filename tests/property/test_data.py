"""What must always hold of the data: orders are permutations, nothing is lost or seen twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonne.train.buckets import bucketed
from tonne.train.order import Permutation, samples_at
from tonne.train.packing import best_fit
from tonne.train.split import held_out, is_held_out

pytest.importorskip("torch")


@given(size=st.integers(1, 5000), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 2**40))
def test_order_is_a_bijection(size, seed, epoch):
    order = Permutation(size, seed=seed, epoch=epoch).at(np.arange(size))
    assert np.array_equal(np.sort(order), np.arange(size))


@given(size=st.integers(1, 2**60), position=st.integers(0, 2**60))
def test_far_positions_stay_within(size, position):
    assert 0 <= int(Permutation(size, seed=1).at(np.array([position % size]))[0]) < size


@pytest.mark.slow
@given(size=st.integers(1, 300), start=st.integers(0, 2000), number=st.integers(1, 50))
def test_a_stretch_of_the_order_does_not_depend_on_how_it_is_asked_for(size, start, number):
    positions = np.arange(start, start + number)
    together = samples_at(positions, size, seed=9)
    one_by_one = [samples_at(positions[i : i + 1], size, seed=9) for i in range(number)]
    assert together[0].tolist() == [int(epoch[0]) for epoch, _ in one_by_one]
    assert together[1].tolist() == [int(sample[0]) for _, sample in one_by_one]


@given(capacity=st.integers(1, 64), data=st.data())
def test_packing_holds_every_piece_once_and_overfills_nothing(capacity, data):
    lengths = np.array(data.draw(st.lists(st.integers(1, capacity), max_size=200)), dtype=np.int64)
    plan = best_fit(lengths, capacity)
    packs = [plan.pack(number) for number in range(plan.packs)]
    assert sorted(int(piece) for pack in packs for piece in pack) == list(range(len(lengths)))
    assert all(lengths[pack].sum() <= capacity for pack in packs)
    # Of two packs that are at most half full one would be empty: best fit never opens both.
    assert sum(int(lengths[pack].sum()) * 2 <= capacity for pack in packs) <= 1


@given(lengths=st.lists(st.integers(1, 100), max_size=100), batch=st.integers(1, 12), stretch=st.integers(0, 9))
def test_buckets_are_a_permutation(lengths, batch, stretch):
    order = bucketed(np.array(lengths, dtype=np.int64), batch, seed=1, stretch=stretch)
    assert sorted(order.tolist()) == list(range(len(lengths)))


@pytest.mark.slow
@given(documents=st.integers(2, 3000), fraction=st.floats(0.001, 0.5))
def test_held_out_share_is_what_was_asked(documents, fraction):
    found = held_out(documents, fraction)
    assert abs(found.sum() - documents * fraction) <= 1
    if documents * fraction >= 1:
        assert all(is_held_out(int(i), fraction) for i in np.flatnonzero(found))


@given(
    batch=st.integers(1, 12),
    ranks=st.integers(1, 12),
    size=st.integers(1, 5),
    step=st.integers(0, 500),
)
def test_shares_of_a_step_are_the_step(tmp_path_factory, batch, ranks, size, step):
    from tonne.train.batches import Batches
    from tonne.train.objectives.causal import CausalLm

    ranks = min(ranks, batch)
    batches = Batches(view_of(tmp_path_factory), CausalLm(), batch_sequences=batch, length=8, seed=2)
    (whole,) = batches.micro_batches(step)
    shares = [
        part
        for rank in range(ranks)
        for part in batches.micro_batches(step, rank=rank, ranks=ranks, micro_batch_sequences=size)
    ]
    assert [row for part in shares for row in part.tokens.tolist()] == whole.tokens.tolist()
    assert sum(part.predicted for part in shares) == whole.predicted
    assert sum(part.real_tokens for part in shares) == whole.real_tokens


VIEWS = {}


def view_of(tmp_path_factory):
    """A store of 40 documents, written once."""
    from tonne.train.special_tokens import SpecialTokens
    from tonne.train.store import open_store
    from tonne.train.store_writer import StoreWriter

    if "view" not in VIEWS:
        folder = tmp_path_factory.mktemp("store")
        with StoreWriter(folder, {}, largest_possible=99) as writer:
            for number in range(1, 41):
                writer.add(np.arange(number), number)
            sidecar = {"fields": ["text"], "vocabulary": 99, "vocabulary_hash": None, "sources": []}
            writer.finish({**sidecar, "special": SpecialTokens(delimiter=0).as_dict()})
        VIEWS["view"] = open_store(folder).training()
    return VIEWS["view"]
