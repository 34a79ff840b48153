"""Messages between accelerators: inside a domain, across domains, hidden or not; all by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.timing.collectives import (
    exposed_s,
    group_bytes_per_s,
    maximum,
    rounded_maximum,
    rounded_minimum,
    routed_s,
)

LINK, NETWORK = 300e9, 25e9


@pytest.mark.parametrize(
    ("members", "inner", "domain", "rate"),
    [
        (8, 1, 8, LINK),  # one server
        (16, 1, 8, 8 * NETWORK),  # two servers: the eight ports of each carry it, 200 GB/s
        (4, 2, 8, LINK),  # four members two apart fill one server
        (8, 2, 8, 4 * NETWORK),  # four members a server
        (8, 8, 8, NETWORK),  # each member in a server of its own
        (2, 16, 8, NETWORK),  # neighbours two servers apart
        (64, 1, 72, LINK),  # a rack is one domain
        (16, 1, 16, LINK),
    ],
)
def test_rate_of_a_group_by_hand(members, inner, domain, rate):
    assert group_bytes_per_s(members, inner, domain, LINK, NETWORK) == rate


def test_ports_together_are_never_faster_than_the_links():
    assert group_bytes_per_s(16, 1, 8, LINK, 50e9) == LINK  # 8 x 50 = 400 GB/s, but a member receives at 300


def test_rates_of_arrays():
    members = np.array([8.0, 16.0, 8.0])
    inner = np.array([1.0, 1.0, 8.0])
    assert group_bytes_per_s(members, inner, 8.0, LINK, NETWORK).tolist() == [LINK, 8 * NETWORK, NETWORK]


def test_routing_inside_one_domain_by_hand():
    # 1 GB of states, two experts each, four accelerators: 2 GB, of which three quarters leave, at 100 GB/s
    assert routed_s(1e9, 2, 4, 8, (100e9, 10e9)) == pytest.approx(2 * 0.75 / 100)


def test_a_state_goes_to_a_domain_once():
    # eight experts of 32 accelerators in four domains: to at most four domains, three quarters of it over the network;
    # inside, each of eight visits leaves the accelerator seven times of eight
    near, far = 8 * (7 / 8) / 100, 4 * (3 / 4) / 10
    assert routed_s(1e9, 8, 32, 8, (100e9, 10e9)) == pytest.approx(near + far)
    # two experts a token, four domains: two crossings
    assert routed_s(1e9, 2, 32, 8, (100e9, 10e9)) == pytest.approx(2 * (7 / 8) / 100 + 2 * (3 / 4) / 10)


def test_a_plain_exchange_sends_a_copy_for_every_expert():
    # eight experts, 32 accelerators in four domains: two of eight copies stay in the domain, six go over the network
    near, far = 8 / 4 * (7 / 8) / 100, 8 * (3 / 4) / 10
    assert routed_s(1e9, 8, 32, 8, (100e9, 10e9), 1.0) == pytest.approx(near + far)
    # inside one domain of two: eight copies, half of them leave
    assert routed_s(1e9, 8, 2, 8, (100e9, 10e9), 1.0) == pytest.approx(8 * 0.5 / 100)
    both = routed_s(1e9, 8, 32, 8, (100e9, 10e9), 0.0), routed_s(1e9, 8, 32, 8, (100e9, 10e9), 1.0)
    assert routed_s(1e9, 8, 32, 8, (100e9, 10e9), 0.5) == pytest.approx(sum(both) / 2)


def test_one_accelerator_routes_nothing():
    assert routed_s(1e9, 2, 1, 8, (100e9, 10e9)) == 0


def test_a_token_sends_to_no_more_accelerators_than_there_are():
    assert routed_s(1e9, 8, 2, 8, (100e9, 10e9)) == pytest.approx(2 * 0.5 / 100)


@pytest.mark.parametrize(
    ("message", "compute", "shown"),
    [(1.0, 0.0, 1.0), (1.0, 0.5, 0.6), (1.0, 10.0, 0.2), (0.0, 1.0, 0.0)],  # 1 - 0.8 x 0.5; a fifth at least
)
def test_what_is_not_hidden_by_hand(message, compute, shown):
    assert exposed_s(message, compute, 0.2, 0.8) == pytest.approx(shown)


def test_larger_of_two():
    assert maximum(2.0, 3.0) == maximum(3.0, 2.0) == 3.0
    assert maximum(np.array([1.0, 5.0]), 2.0).tolist() == [2.0, 5.0]


def test_rounded_corner_by_hand():
    # 1 apart with a corner of sqrt(3): (2 + 3 + sqrt(1 + 3)) / 2; at the corner itself half a width above
    assert rounded_maximum(2.0, 3.0, 3**0.5) == pytest.approx(3.5)
    assert rounded_maximum(2.0, 2.0, 0.4) == pytest.approx(2.2)
    # of two the same, 0.1 of their mean wide: 0.05 x 2 below
    assert rounded_minimum(2.0, 2.0, 0.1) == pytest.approx(1.9)
    assert rounded_minimum(2.0, 3.0, 0.0) == 2.0


def test_messages_just_hidden_show_by_half_a_corner():
    # a fifth of 1 s is left either way at 1 s of computing, and half of a tenth of a second by the corner
    assert exposed_s(1.0, 1.0, 0.2, 0.8, 0.1) == pytest.approx(0.25)
    assert exposed_s(0.0, 1.0, 0.2, 0.8, 0.1) == 0.0
    # eight ports of 37.5 GB/s are as fast as the link: a tenth of 300 GB/s wide
    assert group_bytes_per_s(16, 1, 8, LINK, LINK / 8, 0.1) == pytest.approx(0.95 * LINK)
