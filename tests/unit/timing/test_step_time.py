"""Parts of a step by hand, from a situation and coefficients made of round numbers."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tonne.count.step import Layout, StepWork
from tonne.reference.time_model import fitted_coefficients
from tonne.timing.step_time import step_parts, step_time_s

WORK = dict.fromkeys((f.name for f in fields(StepWork)), 0.0)
LAYOUT = {f.name: getattr(Layout(), f.name) for f in fields(Layout)}
MACHINE = {
    "peak_flop_per_s": 2e15, "peak_16_bit_flop_per_s": 1e15, "memory_bytes_per_s": 1e12, "link_bytes_per_s": 200e9,
    "network_bytes_per_s": 20e9, "domain": 8.0, "matrix_width_bytes": 1.0, "host_beside": 1.0, "ultra": 0.0,
    "vector_flop_per_s": 1e14,
}  # fmt: skip
REST = {
    "length": 1000.0, "per_token": 2.0, "copies": 1, "sharded_over": 1, "expert_copies": 1, "experts_sharded_over": 1,
    "mixture": 0.0, "years_older": 0.0, "eager": 0.0, "wide": 0.0, "graphed_step": 0.0, "copied": 0.0,
    "overlapped": 0.0, "capacity": 0.0, "low_attention": 0.0,
}  # fmt: skip
ROLES = {"matrix_share": 0.5, "plain_share": 0.5, "score_share": 0.25, "tensor_exposed": 1.0}
FIXED = ("layer_s", "expert_layer_s", "micro_batch_s", "step_s")


def situation(**own):
    return {**WORK, **LAYOUT, **MACHINE, **REST, **own}


def coefficients(**own):
    """Ones, but nothing fixed and half of the links and the network."""
    ones = {c.name: 0.0 if c.name in FIXED else 1.0 for c in fitted_coefficients() if "." not in c.name}
    return {**ones, **ROLES, "link_share": 0.5, "network_share": 0.5, **own}


def parts(own_coefficients=None, **own):
    return step_parts(situation(**own), coefficients(**(own_coefficients or {})))


def test_products_by_hand():
    # 2e15 at half of 2e15 FLOP/s 2 s, 1e12 numbers of one byte 1 s, 1e14 in 16 bits at 5e14 FLOP/s 0.2 s
    assert parts(matrix_flop=2e15, matrix_numbers=1e12, plain_flop=1e14)["matrices"] == pytest.approx(3.2)
    # experts reach 0.8 of that share
    assert parts({"expert_share": 0.8}, expert_flop=2e15)["experts"] == pytest.approx(2.5)


def test_attention_by_hand():
    # 1e14 at a quarter of 1e15 FLOP/s: 0.4 s; as much again of half of the length; 1e10 stored scores of two bytes
    found = parts({"score_length": 500.0}, score_flop=1e14, score_numbers=1e10)
    assert found["attention"] == pytest.approx(0.4 * 1.5 + 0.02)
    # 1e12 scores, 20 operations of each at 1e14 a second: 0.2 s, however wide a head is
    beside = parts({"score_length": 0.0, "score_operations": 20.0}, score_flop=1e14, score_pairs=1e12)
    assert beside["attention"] == pytest.approx(0.4 + 0.2)
    # in 8 bits the products have twice the peak, the rest has not
    low = {"score_flop": 1e14, "score_pairs": 1e12, "low_attention": 1.0}
    assert parts({"score_length": 0.0, "score_operations": 20.0}, **low)["attention"] == pytest.approx(0.2 + 0.2)


def test_blackwell_ultra_multiplies_faster_at_the_same_nominal_peak():
    work = {"matrix_flop": 2e15, "plain_flop": 1e14, "expert_flop": 2e15, "score_flop": 1e14}
    plain, ultra = parts({"ultra": 1.25}, **work), parts({"ultra": 1.25}, **work, **{"ultra": 1.0})
    assert ultra["matrices"] == pytest.approx(plain["matrices"] / 1.25)
    assert ultra["experts"] == pytest.approx(plain["experts"] / 1.25)
    assert ultra["attention"] == plain["attention"]


def test_moving_by_hand():
    moved = {"element_numbers": 1e11, "cast_numbers": 1e11, "permuted_numbers": 2e11, "logit_numbers": 3e11}
    assert parts(**moved)["moving"] == pytest.approx(0.2 + 0.1 + 0.4 + 0.6)
    assert parts({"element_traffic": 9.0}, biased_numbers=1e11)["moving"] == pytest.approx(0.2)  # nothing fuses a bias


def test_what_nothing_fuses_moves_and_launches_more():
    moved = {"element_numbers": 1e11, "cast_numbers": 1e11, "logit_numbers": 3e11, "layers": 10.0}
    times = {"layer_s": 0.001, "eager": 1.44}
    eager = parts(times, **moved, eager=1.0)
    assert eager["moving"] == pytest.approx(1.44 * 0.2 + 0.1 + 1.44 * 0.6)
    assert eager["launches"] == pytest.approx(1.44 * 0.01)
    unknown = parts(times, **moved, eager=0.5)  # half way, in logarithms
    assert unknown["moving"] == pytest.approx(1.2 * 0.2 + 0.1 + 1.2 * 0.6)
    assert parts(times, **moved)["moving"] == pytest.approx(0.9)


def test_in_32_bits_every_number_has_four_bytes():
    moved = {"element_numbers": 1e11, "cast_numbers": 1e11, "logit_numbers": 3e11, "tensor": 2, "tensor_numbers": 1e10}
    assert parts(**moved, wide=1.0)["moving"] == pytest.approx(0.4 + 0.1 + 1.2)
    # 1e10 numbers of four bytes at half of 200 GB/s
    assert parts(**moved, wide=1.0)["tensor"] == pytest.approx(0.4)
    # of 1e10 weights over two copies half goes round: a gradient of four bytes and, where weights are gathered, four
    # more instead of two; nothing hides them
    sharded = {"weights": 1e10, "copies": 2, "sharded_over": 2, "data": 2}
    alone = {"data_exposed": 1.0, "shard_exposed": 1.0, "shard_overlap": 0.0}
    assert parts(alone, **sharded, wide=1.0)["sharding"] == pytest.approx(8 * 5e9 / 100e9)
    assert parts(alone, **sharded)["sharding"] == pytest.approx(6 * 5e9 / 100e9)
    assert parts(alone, **sharded, wide=1.0, zero_3=1)["sharding"] == pytest.approx(12 * 5e9 / 100e9)


def test_launches_of_a_processor_behind_pcie_and_beside():
    times = {"layer_s": 0.001, "expert_layer_s": 0.01, "micro_batch_s": 0.1, "host_beside": 3.0}
    behind = parts(times, layers=10.0, expert_layers=4.0)
    assert behind["launches"] == pytest.approx(6 * 0.001 + 4 * 0.01 * 3 + 0.1)
    beside = parts(times, layers=10.0, expert_layers=4.0, **{"host_beside": 0.0})
    assert beside["launches"] == pytest.approx(6 * 0.001 + 4 * 0.01 + 0.1)


def test_launches_of_experts_by_software():
    times = {"expert_layer_s": 0.01, "graphed_launches": 0.1, "capacity_launches": 0.5, "copied_launches": 2.0}
    work = {"layers": 4.0, "expert_layers": 4.0}
    for name, left in (("graphed_step", 0.1), ("capacity", 0.5), ("copied", 2.0)):
        assert parts(times, **work, **{name: 1.0})["launches"] == pytest.approx(0.04 * left)
    assert parts(times, **work, copied=0.5)["launches"] == pytest.approx(0.04 * 1.5)  # a plan that does not say


def test_exchanges_that_run_beside_computing_are_seen_less():
    work = {"expert": 4, "routed_numbers": 1e10}
    alone = parts({"routing_exposed": 0.5}, **work)["routing"]
    beside = parts({"routing_exposed": 0.5, "overlapped_exposed": 0.3}, **work, overlapped=1.0)["routing"]
    assert beside == pytest.approx(0.3 * alone)
    # two visits each, three quarters elsewhere; a plain exchange sends as many here, where four share two experts each
    assert parts({"routing_exposed": 0.5}, **work, copied=1.0)["routing"] == pytest.approx(alone)


def test_software_a_year_older_slows_mixtures_only():
    older = {"mixture_older": 1.5, "expert_layer_s": 0.01}
    work = {"matrix_flop": 1e15, "expert_layers": 1.0, "layers": 1.0, "years_older": 2.0, "routed_numbers": 1e9}
    dense = parts(older, **work, expert=4)
    mixture = parts(older, **work, expert=4, mixture=1.0)
    assert mixture["matrices"] == pytest.approx(dense["matrices"] * 1.5**2)
    assert mixture["routing"] == pytest.approx(dense["routing"] * 1.5**2)
    assert mixture["launches"] == pytest.approx(dense["launches"] * 1.5**2)


def test_messages_by_hand():
    # 5e10 numbers of two bytes at half of 200 GB/s: 1 s; over two servers by eight ports of 10 GB/s each: 80 GB/s
    assert parts(tensor=8, tensor_numbers=5e10)["tensor"] == pytest.approx(1.0)
    assert parts(tensor=16, tensor_numbers=5e10)["tensor"] == pytest.approx(1.25)
    assert parts({"tensor_exposed": 0.3}, tensor=8, tensor_numbers=5e10)["tensor"] == pytest.approx(0.3)
    # context: 1 s of messages beside 0.4 s of attention; a tenth is seen at least
    hidden = parts({"context_exposed": 0.1, "score_length": 0.0}, context=4, context_numbers=5e10, score_flop=1e14)
    assert hidden["context"] == pytest.approx(0.6)
    # a stage of eight sends to the next server: 10 GB/s
    assert parts(tensor=8, pipeline=2, pipeline_numbers=5e9)["pipeline"] == pytest.approx(1.0)
    # two experts of four accelerators: 2 visits, three quarters elsewhere, 2 bytes, 100 GB/s
    assert parts(expert=4, routed_numbers=1e10)["routing"] == pytest.approx(2 * 0.75 * 2 * 1e10 / 100e9)


def test_bubble_is_p_less_one_over_m_v():
    work = {"matrix_flop": 1e15, "micro_batches": 8, "pipeline": 4}
    assert parts(**work)["bubble"] == pytest.approx(8 * 1.0 * 3 / 8)
    assert parts(**work, virtual_pipeline_stages=3)["bubble"] == pytest.approx(8 * 1.0 * 3 / 24)
    assert parts({"bubble": 0.9}, **work)["bubble"] == pytest.approx(0.9 * 3)


def test_gradients_once_a_step():
    # 1e10 weights, four copies at 100 GB/s: 6 bytes x 3/4 = 0.45 s; one micro-batch of 0.3 s hides half of itself
    work = {"weights": 1e10, "copies": 4, "matrix_flop": 0.3e15, "micro_batches": 2}
    found = parts({"data_exposed": 0.1, "shard_overlap": 0.5}, **work)
    assert found["sharding"] == pytest.approx(0.45 - 0.15)
    assert parts({"data_exposed": 0.9, "shard_overlap": 0.5}, **work)["sharding"] == pytest.approx(0.9 * 0.45)


def test_the_last_micro_batch_hides_gradients_on_its_way_through_the_stages():
    # 1 s a micro-batch, four stages: 4 s, no more than the 4 s that a single micro-batch takes with its bubble
    work = {"weights": 1e12, "copies": 4, "matrix_flop": 1e15, "pipeline": 4}
    for rounds in (1, 5):
        found = parts({"data_exposed": 0.0, "shard_overlap": 0.5}, **work, micro_batches=rounds)
        assert found["sharding"] == pytest.approx(45 - 2)
    # interleaved, a single micro-batch takes 1 + 3/3 s
    found = parts({"data_exposed": 0.0, "shard_overlap": 0.5}, **work, virtual_pipeline_stages=3)
    assert found["sharding"] == pytest.approx(45 - 1)


def test_sharded_gradients_and_weights_move_with_every_micro_batch():
    work = {"weights": 1e10, "copies": 4, "micro_batches": 5}
    assert parts(**work, zero_2=1)["sharding"] == pytest.approx((2 + 2 * 5) * 0.075)
    assert parts(**work, zero_3=1)["sharding"] == pytest.approx(6 * 5 * 0.075)
    # adapters: weights are gathered twice a micro-batch still, their gradients are nobody's
    assert parts(**work, zero_3=1, weight_gradients=0)["sharding"] == pytest.approx(4 * 5 * 0.075)
    assert parts(**work, weight_gradients=0)["sharding"] == 0


def test_experts_have_copies_of_their_own():
    # 8 copies of 1e9 shared numbers inside a server at 100 GB/s; of 9e9 of experts two copies four apart, 100 GB/s
    work = {"weights": 1e10, "expert_weights": 9e9, "expert": 4, "copies": 8, "expert_copies": 2}
    assert parts(**work)["sharding"] == pytest.approx(6 * (1e9 * 7 / 8 + 9e9 / 2) / 100e9)
    # eight apart: each copy in a server of its own, 10 GB/s
    far = parts(**{**work, "expert": 8})
    assert far["sharding"] == pytest.approx(6 * (1e9 * 7 / 8 / 100e9 + 9e9 / 2 / 10e9))
    # one copy: nothing to reduce
    alone = parts(**{**work, "expert_copies": 1})
    assert alone["sharding"] == pytest.approx(6 * 1e9 * 7 / 8 / 100e9)


def test_optimizer_moves_thirty_bytes_a_number_of_its_share():
    assert parts(weights=1e10, sharded_over=4)["optimizer"] == pytest.approx(30 * 1e10 / 4 / 1e12)
    shares = {"weights": 1e10, "expert_weights": 8e9, "sharded_over": 8, "experts_sharded_over": 2}
    assert parts({"step_s": 0.5}, **shares)["optimizer"] == pytest.approx(30 * (2e9 / 8 + 8e9 / 2) / 1e12 + 0.5)
    assert parts(weights=1e10, weight_gradients=0)["optimizer"] == 0


def test_parts_sum_to_the_step():
    own = dict.fromkeys(WORK, 1000000000.0) | {
        "tensor": 2, "pipeline": 2, "context": 2, "expert": 2, "micro_batches": 4, "copies": 4, "expert_copies": 4,
        "layers": 4.0, "expert_layers": 2.0,
    }  # fmt: skip
    found = parts({"step_s": 0.01, "layer_s": 0.001}, **own)
    assert all(part > 0 for part in found.values())
    whole = step_time_s(situation(**own), coefficients(step_s=0.01, layer_s=0.001))
    assert whole == pytest.approx(sum(found.values()), rel=1e-12)
