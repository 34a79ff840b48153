"""The order of samples: a permutation whose every position is told by arithmetic."""

from __future__ import annotations

import numpy as np

from tonne.train.draws import Draws
from tonne.train.order import Permutation, mixed, samples_at


def test_finaliser_is_that_of_splitmix64():
    # SplitMix64 seeded with 0 begins 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4 (the reference implementation's output):
    # its state after n steps is n times the golden constant.
    assert mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert mixed(2 * 0x9E3779B97F4A7C15 % 2**64) == 0x6E789E6AA1B965F4


def test_every_sample_comes_once_an_epoch():
    for size in (1, 2, 3, 7, 64, 65, 1000):
        order = Permutation(size, seed=3).at(np.arange(size))
        assert sorted(order.tolist()) == list(range(size))


def test_epochs_and_seeds_have_orders_of_their_own():
    positions = np.arange(1000)
    first = Permutation(1000, seed=1, epoch=0).at(positions)
    for other in (Permutation(1000, seed=1, epoch=1), Permutation(1000, seed=2, epoch=0)):
        # Two random orders of 1,000 agree in one place on average (a Poisson number): more than 8 has probability 1e-6.
        assert (first == other.at(positions)).sum() <= 8


def test_a_far_position_costs_no_list_of_those_before_it():
    size = 10**15  # a list of so many would be 8 petabytes
    far = Permutation(size, seed=1).at(np.array([0, size // 2, size - 1]))
    assert len(set(far.tolist())) == 3
    assert ((far >= 0) & (far < size)).all()


def test_order_is_even():
    # Where the first tenth of the positions leads: a tenth of them into each tenth of the samples, 1,000 +- 30 each
    # (binomial, standard deviation sqrt(10,000 x 0.1 x 0.9) = 30).
    found = np.bincount(Permutation(100_000, seed=5).at(np.arange(10_000)) // 10_000, minlength=10)
    assert (abs(found - 1000) < 5 * 30).all()


def test_neighbours_do_not_stay_neighbours():
    order = Permutation(100_000, seed=5).at(np.arange(100_000))
    # In a random order neighbours correlate by less than 1 / sqrt(n) = 0.003, times 5.
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.016


def test_positions_go_on_over_the_end_of_an_epoch():
    epochs, samples = samples_at(np.arange(8, 13), 5, seed=0)
    assert epochs.tolist() == [1, 1, 2, 2, 2]
    assert samples.tolist() == [
        *Permutation(5, seed=0, epoch=1).at(np.array([3, 4])).tolist(),
        *Permutation(5, seed=0, epoch=2).at(np.array([0, 1, 2])).tolist(),
    ]


def test_draws_are_those_of_their_sample():
    def drawn(*key):
        return Draws(*key).uniform(5).tolist()

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({tuple(drawn(*key)) for key in ((1, 2, 3), (1, 3, 2), (2, 2, 3), (1, 2, 4), (-1, 2, 3))}) == 5


def test_draws_are_even():
    numbers = np.array([Draws(7, 0, sample).below(10) for sample in range(10_000)])
    assert (abs(np.bincount(numbers, minlength=10) - 1000) < 5 * 30).all()  # as above
    assert sorted(Draws(7, 0, 0).shuffled(100).tolist()) == list(range(100))
