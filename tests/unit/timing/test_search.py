"""The search finds what trying one layout after the other finds, keeps to what fits, and says what it assumed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tonne.count.fit import fit_probability
from tonne.count.memory import memory_per_accelerator
from tonne.count.sequence import sequence_of
from tonne.count.step import Layout
from tonne.describe.architecture import Architecture
from tonne.describe.hardware import Cluster
from tonne.describe.plan import Software
from tonne.reference.batches import BatchLine
from tonne.reference.time_model import shipped_time_model
from tonne.timing.machine import machine_of
from tonne.timing.search import Wanted, assumed_batch_sequences, assumed_batch_tokens, even, fastest_layout, most_bytes
from tonne.timing.situation import situation
from tonne.timing.step_time import step_time_s

CHIP = "nvidia-a100-sxm4-80gb"


def wanted(preset="llama-13b", accelerators=16, batch=64, framework="megatron-lm", **changes):
    architecture = Architecture.preset(preset)
    machine = machine_of(Cluster(accelerator=CHIP, accelerators=accelerators), "bf16")
    fields = {
        "architecture": architecture,
        "sequence": sequence_of(architecture, sequence_length=2048),
        "machine": machine,
        "capacity_bytes": 80e9,
        "accelerators": accelerators,
        "batch_sequences": batch,
        "precision": "bf16",
        "software": Software(framework=framework),
        "recomputation": "none",
    }
    return Wanted(**(fields | changes))


def coefficients(w):
    return shipped_time_model().for_machine(CHIP, "bf16", w.framework)


def one_by_one(w):
    """Times of every layout of tensor, pipeline, data, micro-batch and virtual stages, each as plain floats."""
    times = {}
    for t, p, m, v in product((1, 2, 4, 8), range(1, 17), (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8)):
        if w.accelerators % (t * p) or not even(40, p) or (v > 1 and (p == 1 or not even(40, p * v) or p * v > 40)):
            continue
        data = w.accelerators // (t * p)
        rounds = -(-w.batch_sequences // (data * m))
        if m > w.batch_sequences // data or (v > 1 and rounds % p):
            continue
        split = {"tensor": t, "pipeline": p, "data": data, "virtual_pipeline_stages": v}
        memory = memory_per_accelerator(
            w.architecture, sequence_length=2048, micro_batch_sequences=m, recomputation="none", sharding="zero-1",
            micro_batches=rounds, framework=w.framework, **split,
        )  # fmt: skip
        layout = Layout(micro_batch_sequences=m, micro_batches=rounds, **split)
        figures = situation(w.architecture, w.sequence, layout, w.machine, precision="bf16", software=w.software)
        if fit_probability(memory, w.capacity_bytes, framework=w.framework) >= 0.5:
            times[t, p, m, v] = step_time_s(figures, coefficients(w))
    return times


@pytest.mark.parametrize("accelerators", [8, 16])
def test_fastest_is_that_of_trying_each_alone(accelerators):
    w = wanted(accelerators=accelerators)
    times = one_by_one(w)
    best = fastest_layout(w, coefficients(w)).chosen
    key = (best.tensor, best.pipeline, best.micro_batch_sequences, best.virtual_pipeline_stages)
    assert key == min(times, key=times.get)
    assert best.step_time_s == pytest.approx(times[key], rel=1e-12)


def test_runners_up_are_slower_and_split_otherwise():
    found = fastest_layout(wanted(), coefficients(wanted()))
    all_found = (found.chosen, *found.runners_up)
    times = [layout.step_time_s for layout in all_found]
    assert times == sorted(times)
    assert len({(x.tensor, x.pipeline, x.context, x.expert, x.sharding) for x in all_found}) == len(all_found) == 4
    assert found.tried >= found.fitting >= len(all_found)


def test_what_does_not_fit_is_not_found():
    w = wanted("gpt-3-175b", accelerators=8)  # 175 billion x 16 bytes of states over 8 x 80 GB
    assert fastest_layout(w, coefficients(w)) is None
    fitting = fastest_layout(wanted("gpt-3-175b", 512), coefficients(w))
    assert fitting.chosen.memory_bytes <= most_bytes(w)


def test_layers_are_recomputed_only_as_far_as_the_memory_asks():
    free = wanted(recomputation=None, micro_batch_sequences=1)
    roomy = fastest_layout(free, coefficients(free)).chosen
    assert (roomy.recomputation, roomy.recomputed_share) == ("none", 0.0)
    tight = replace(free, capacity_bytes=roomy.memory_bytes * 0.8, accelerators=2, batch_sequences=8)
    found = fastest_layout(tight, coefficients(tight))
    assert found is None or found.chosen.memory_bytes <= most_bytes(tight)


@pytest.mark.parametrize("framework", ["fsdp", "llm-foundry", "torchtitan"])
def test_frameworks_that_shard_all_do_not_split_tensors_or_layers(framework):
    w = wanted(framework=framework)
    found = fastest_layout(w, coefficients(w))
    assert {(x.tensor, x.pipeline, x.sharding) for x in (found.chosen, *found.runners_up)} == {(1, 1, "zero-3")}


def test_more_memory_is_never_slower():
    times = []
    for capacity in (30e9, 40e9, 80e9, 160e9):
        w = wanted("llama-65b", 64, recomputation=None, capacity_bytes=capacity)
        times.append(fastest_layout(w, coefficients(w)).chosen.step_time_s)
    assert times == sorted(times, reverse=True)


def test_accelerators_that_no_layout_takes_stand_idle():
    w = wanted(accelerators=17)
    assert fastest_layout(w, coefficients(w)).chosen.accelerators in {16, 17}


def test_sequences_are_split_only_where_long():
    short = wanted("llama-3.1-8b", 64, batch=64)
    long = replace(short, sequence=sequence_of(short.architecture, sequence_length=131_072), batch_sequences=4)
    assert fastest_layout(short, coefficients(short)).chosen.context == 1
    assert fastest_layout(long, coefficients(long)).chosen.context > 1


def test_uneven_stages_by_hand():
    assert even(126, 16)  # the fullest has 8 layers: 8 x 16 / 126 = 1.016
    assert not even(40, 12)  # 4 x 12 / 40 = 1.2
    assert even(61, 16)  # 4 x 16 / 61 = 1.049


def test_assumed_batch_by_hand(monkeypatch):
    line = BatchLine(tokens=5.4e6, accelerators=1000, exponent=0.344, spread_factor=2.5)
    monkeypatch.setattr("tonne.timing.search.batch_line", lambda: line)
    # 1000 accelerators: 5.4 million tokens = 2,637 sequences of 2048; 8: 5.4e6 x 0.008^0.344 = 1.026 million, 501
    assert assumed_batch_tokens(1000) == pytest.approx(5.4e6)
    assert assumed_batch_tokens(8) == pytest.approx(5.4e6 * 0.18995, rel=1e-3)
    assert assumed_batch_sequences(2048, 1000) == 2000  # doubled once; twice is farther off than half of it
    assert assumed_batch_sequences(2048, 8) == 512
    assert assumed_batch_sequences(2048, 16_384) == 8192  # 14.16 million tokens, 6,912 sequences: halved once
    assert assumed_batch_sequences(2048, np.array([8, 1000, 16_384])).tolist() == [512, 2000, 8192]
