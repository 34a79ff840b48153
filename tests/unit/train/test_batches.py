"""Batches: the same sequences for every way of sharing them, tensors as models take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tonne.errors import DataError
from tonne.train.batch import Padding, collated
from tonne.train.batches import Batches, BatchOptions, checked_length
from tonne.train.buckets import bucketed
from tonne.train.objectives.build import ObjectiveOptions, objective_for
from tonne.train.objectives.causal import CausalLm
from tonne.train.objectives.example import Example
from tonne.train.samples import Packs, Pairs, Pieces, Windows

CAUSAL = CausalLm()
BERT = {"pad": 0, "begin": 2, "separator": 3, "mask": 4, "delimiter": 3}
T5 = {"pad": 0, "delimiter": 1, "unknown": 2, "sentinels": tuple(range(900, 1000))}


def documents(number, *, delimiter, seed=0, longest=60):
    rng = np.random.default_rng(seed)
    return [[delimiter, *rng.integers(10, 800, rng.integers(1, longest)).tolist()] for _ in range(number)]


def test_windows_and_what_follows_them(write_store):
    view = write_store([[9, 1, 2], [9, 3], [9, 4]], delimiter=9).training()
    windows = Windows(view, 4)
    assert len(windows) == 2
    first, second = windows.sample(0), windows.sample(1)
    assert (first.tokens.tolist(), first.following.tolist()) == ([9, 1, 2, 9], [1, 2, 9, 3])
    assert first.documents.tolist() == [0, 0, 0, 1]
    # After the last document comes the delimiter: it tells that the document has ended.
    assert (second.tokens.tolist(), second.following.tolist()) == ([3, 9, 4], [9, 4, 9])
    assert windows.lengths(np.array([0, 1])).tolist() == [4, 3]


def test_packs_keep_documents_whole_and_predict_their_ends(write_store):
    view = write_store([[9, 1, 2], [9, 3], [9, 4, 5, 6, 7]], delimiter=9).training()
    packs = Packs(view, 4)
    held = [packs.sample(number) for number in range(len(packs))]
    rows = sorted(
        (tokens, following)
        for sample in held
        for document in set(sample.documents.tolist())
        for tokens, following in [
            (
                sample.tokens[sample.documents == document].tolist(),
                sample.following[sample.documents == document].tolist(),
            )
        ]
    )
    assert rows == sorted([([9, 1, 2], [1, 2, 9]), ([9, 3], [3, 9]), ([9, 4, 5, 6], [4, 5, 6, 7]), ([7], [9])])


def test_pieces_are_bare_for_pairs_of_segments(write_store):
    view = write_store([[9, 1, 2, 3, 4, 5], [9, 6], [9, 7, 8]], delimiter=9).training()
    pieces = Pieces(view, 3, bare=True)
    # Without delimiters; the 6 alone cannot be halved.
    assert [pieces.sample(i).tokens.tolist() for i in range(len(pieces))] == [[1, 2, 3], [4, 5], [7, 8]]


class Lot:
    def __init__(self, number):
        self.number = number

    def below(self, limit):
        assert self.number < limit
        return self.number


def test_elsewhere_is_another_document(write_store):
    view = write_store([[9, 1, 2, 3, 4, 5], [9, 6, 7], [9, 7, 8]], delimiter=9).training()
    pieces = Pieces(view, 3, bare=True)  # two pieces of the first document, one of each other
    assert [pieces.elsewhere(0, Lot(i)).tolist() for i in (0, 1)] == [[6, 7], [7, 8]]
    # A piece of the first goes on to its document's end, up to twice a piece's length.
    assert [pieces.elsewhere(1, Lot(i)).tolist() for i in (0, 1, 2)] == [[1, 2, 3, 4, 5], [4, 5], [7, 8]]
    alone = write_store([[9, 1, 2, 3]], delimiter=9, name="alone").training()
    with pytest.raises(DataError, match="hold one document"):
        Pieces(alone, 2, bare=True).elsewhere(0, Lot(0))


def test_pairs_are_cut_and_counted(write_store):
    view = write_store([[1, 2, 3], [4], [5], [6, 7, 8]], fields=("source", "target")).training()
    pairs = Pairs(view, 2, 2)
    found = [(pairs.sample(i).tokens.tolist(), pairs.sample(i).target.tolist()) for i in range(2)]
    assert found == [([1, 2], [4]), ([5], [6, 7])]
    assert pairs.cut == 2
    with pytest.raises(DataError, match="holds single texts, but the objective wants pairs"):
        Pairs(write_store([[1]], name="single").training(), 2, 2)


def rows(batches):
    """Every sequence of some batches, as tuples."""
    return [tuple(row) for batch in batches for row in batch.tokens.tolist()]


@pytest.fixture
def stores(write_store):
    def store(name):
        if name == "seq2seq":
            texts = [tokens[1:] for tokens in documents(100, delimiter=1)]
            return write_store(texts, fields=("source", "target"), **T5)
        special = BERT if name.startswith("masked") else T5 if name == "span-corruption" else {"delimiter": 0}
        return write_store(documents(50, delimiter=special["delimiter"]), **special)

    return store


NAMES = ["causal-lm", "prefix-lm", "masked-lm", "masked-lm+next-sentence", "masked-lm+sentence-order"]
NAMES += ["span-corruption", "seq2seq"]


def batches_for(name, store, **more):
    objective = objective_for(name, store, ObjectiveOptions(target_length=40))
    return Batches(store.training(), objective, **{"batch_sequences": 6, "length": 32, "seed": 4, **more})


def unpadded(batch, name):
    """The sequences of a batch without their padding, each with its targets and its source."""
    found = []
    for i in range(batch.sequences):
        real = int(batch.mask[i].sum()) if batch.mask is not None else batch.tokens.shape[1]
        row = [batch.tokens[i, :real].tolist(), batch.targets[i, :real].tolist()]
        if batch.source is not None:
            length = int(batch.source_mask[i].sum()) if batch.source_mask is not None else batch.source.shape[1]
            row.append(batch.source[i, :length].tolist())
        if not name.startswith("masked"):  # a decoder: nothing asked behind the last target, nothing read
            last = max(j for j, target in enumerate(row[1]) if target != -100)
            row[:2] = [row[0][: last + 1], row[1][: last + 1]]
        found.append(row)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_ranks_and_micro_batches_see_the_same_sequences(stores, name):
    batches = batches_for(name, stores(name))
    for step in (0, 3, 1000):
        whole = unpadded(batches.micro_batches(step)[0], name)
        assert len(whole) == 6
        for ranks, size in ((1, 2), (2, None), (2, 1), (3, 2), (4, 1), (6, 1)):
            parts = [
                row
                for rank in range(ranks)
                for batch in batches.micro_batches(step, rank=rank, ranks=ranks, micro_batch_sequences=size)
                for row in unpadded(batch, name)
            ]
            assert parts == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_the_same_whatever_was_asked_before(stores, name):
    store = stores(name)
    forwards, fresh = batches_for(name, store), batches_for(name, store)
    seen = [unpadded(forwards.micro_batches(step)[0], name) for step in range(20)]
    for step in (13, 2, 19):
        assert unpadded(fresh.micro_batches(step)[0], name) == seen[step]
    assert unpadded(batches_for(name, store, seed=5).micro_batches(0)[0], name) != seen[0]


@pytest.mark.parametrize("packing", ["sequential", "best-fit"])
def test_an_epoch_of_targets_is_every_token_once(stores, packing):
    store = stores("causal-lm")
    options = BatchOptions(packing=packing, shuffle=False)
    batches = Batches(store.training(), CAUSAL, batch_sequences=4, length=32, options=options)
    targets = [
        t for step in range(batches.steps_per_epoch) for b in batches.micro_batches(step) for t in b.targets.reshape(-1)
    ]
    asked = sorted(int(target) for target in targets if target != -100)
    # Every token but the first delimiter is predicted, and the last document's end.
    assert asked == sorted([*store.tokens.tolist()[1:], 0])


def test_each_epoch_sees_every_sequence_once_in_another_order(stores):
    batches = batches_for("causal-lm", stores("causal-lm"), batch_sequences=1)
    size = batches.steps_per_epoch
    epochs = [rows(batches.micro_batches(step)[0] for step in range(n * size, (n + 1) * size)) for n in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


def test_masks_differ_between_epochs(stores):
    batches = batches_for("masked-lm", stores("masked-lm"))
    sample = batches.objective.example
    from tonne.train.draws import Draws

    window = batches.samples.sample(0)
    assert sample(window, Draws(4, 0, 0)).tokens.tolist() != sample(window, Draws(4, 1, 0)).tokens.tolist()


@pytest.mark.parametrize("name", ["masked-lm+next-sentence", "seq2seq"])
def test_buckets_see_every_sequence_once(stores, name):
    batches = batches_for(name, stores(name), options=BatchOptions(shuffle=False))
    samples = [n for step in range(batches.steps_per_epoch) for n in batches.sequences(step)[1].tolist()]
    assert sorted(samples) == list(range(len(batches.samples)))
    shuffled = batches_for(name, stores(name))
    stretch = [n for step in range(64) for n in shuffled.sequences(step)[1].tolist()]
    counts = np.bincount(stretch, minlength=len(shuffled.samples))
    assert counts.max() - counts.min() <= 1 or len(stretch) % len(shuffled.samples)


def test_buckets_pad_less_than_a_tenth():
    lengths = np.clip(np.random.default_rng(0).lognormal(4, 0.8, 64 * 16), 4, 512).astype(np.int64)
    plain = lengths.reshape(64, 16)
    sorted_ones = lengths[bucketed(lengths, 16, seed=0, stretch=0)].reshape(64, 16)

    def padding(found):
        return 1 - found.sum() / (found.max(axis=1) * 16).sum()

    assert padding(plain) > 0.5  # what one pays without
    assert padding(sorted_ones) < 0.1


def test_batches_of_buckets_come_in_no_order_of_length():
    lengths = np.arange(64 * 16)
    means = lengths[bucketed(lengths, 16, seed=0, stretch=0)].reshape(64, 16).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(64))[0, 1]) < 0.5


def test_what_is_left_over_comes_last():
    order = bucketed(np.array([5, 1, 4, 2, 3]), 2, seed=0, stretch=0)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert {tuple(sorted(order[:2].tolist())), tuple(sorted(order[2:4].tolist()))} == {(2, 0), (3, 4)} or order[4] == 1


def test_tensors_of_a_padded_batch():
    def example(tokens, **more):
        tokens = np.array(tokens)
        return Example(tokens=tokens, targets=np.where(tokens > 5, tokens, -100), **more)

    types = np.array([0, 0, 1])
    batch = collated(
        [
            example([2, 6, 3], token_types=types, next_sentence=1),
            example([2, 3], token_types=types[:2], next_sentence=0),
        ],
        Padding(token=0),
    )
    assert batch.tokens.tolist() == [[2, 6, 3], [2, 3, 0]]
    assert batch.targets.tolist() == [[-100, 6, -100], [-100, -100, -100]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.token_types.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch.next_sentence.tolist() == [1, 0]
    assert (batch.real_tokens, batch.predicted, batch.sequences) == (5, 1, 2)
    assert batch.documents is batch.positions is batch.prefix is batch.source is None
    assert {t.dtype for t in (batch.tokens, batch.targets, batch.mask)} == {torch.int64}


def test_isolated_documents_count_their_positions_anew(write_store):
    view = write_store([[9, 1, 2], [9, 3], [9, 4]], delimiter=9).training()
    options = BatchOptions(isolate=True, shuffle=False)
    (batch,) = Batches(view, CAUSAL, batch_sequences=2, length=4, options=options).micro_batches(0)
    assert batch.documents.tolist() == [[0, 0, 0, 1], [0, 1, 1, -1]]
    assert batch.positions.tolist() == [[0, 1, 2, 0], [0, 0, 1, 0]]
    assert batch.mask is None  # a decoder's real tokens never see the padding behind them
    assert (batch.real_tokens, batch.predicted) == (7, 7)
    (open_one,) = Batches(view, CAUSAL, batch_sequences=2, length=4, options=BatchOptions(shuffle=False)).micro_batches(
        0
    )
    assert open_one.documents is None
    assert open_one.targets.tolist() == [[1, 2, 9, 3], [9, 4, 9, -100]]


def test_encoders_pad_with_a_mask_and_windows_to_one_length(write_store):
    store = write_store([[3, 11, 12, 13]], **BERT)
    objective = objective_for("masked-lm", store)
    batches = Batches(store.training(), objective, batch_sequences=2, length=5, options=BatchOptions(shuffle=False))
    (batch,) = batches.micro_batches(0)
    # Windows of 5 - 2: the delimiter, 11, 12; then 13.
    assert batch.mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch.tokens[1, 0] == 2


def test_span_corruption_has_two_fixed_lengths(write_store):
    store = write_store(documents(40, delimiter=1), **T5)
    batches = Batches(store.training(), objective_for("span-corruption", store), batch_sequences=3, length=64)
    for step in range(3):
        (batch,) = batches.micro_batches(step)
        assert batch.source.shape == (3, 64)
        assert batch.tokens.shape == (3, batches.objective.target_length(64))
        assert (batch.tokens[:, 0] == 0).all()


def test_bad_input_is_told(write_store):
    store = write_store([[0, 5, 6]], delimiter=0)
    view = store.training()
    with pytest.raises(DataError, match=r"batch of 2 sequence\(s\) cannot be shared by 4 processes"):
        Batches(view, CAUSAL, batch_sequences=2, length=4).micro_batches(0, ranks=4)
    with pytest.raises(DataError, match=r"Sequences of 1 token\(s\) leave 1 for text"):
        Batches(view, CAUSAL, batch_sequences=2, length=1)
    bert = write_store([[3, 11]], name="bert", **BERT)
    with pytest.raises(DataError, match="no sequence can be made of 2 tokens in 1 record"):
        Batches(bert.training(), objective_for("masked-lm+next-sentence", bert), batch_sequences=1, length=16)
    with pytest.raises(DataError, match="sequence_length = 2048, but the model has positions for 1024 tokens"):
        checked_length(2048, 1024)
    assert checked_length(1024, 1024) == checked_length(1024, None) == 1024


def test_a_far_step_reads_only_its_own_tokens(write_store, monkeypatch):
    from tonne.train.store import View

    store = write_store(documents(50, delimiter=0), delimiter=0)
    batches = Batches(store.training(), CAUSAL, batch_sequences=4, length=32)
    read, slice_of = [], View.slice

    def counted(self, document, start, end):
        read.append(end - start)
        return slice_of(self, document, start, end)

    monkeypatch.setattr(View, "slice", counted)
    batches.micro_batches(10**12)
    assert sum(read) <= 4 * (32 + 1)
