"""What must always hold of a step's time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonne.count.sequence import sequence_of
from tonne.count.step import Layout
from tonne.describe.architecture import Architecture
from tonne.describe.hardware import Cluster
from tonne.describe.plan import Software
from tonne.reference.time_model import shipped_time_model
from tonne.timing.machine import machine_of
from tonne.timing.situation import situation
from tonne.timing.step_time import step_parts, step_time_s

pytestmark = pytest.mark.slow  # many examples each

MODELS = [Architecture.preset(name) for name in ("llama-3-70b", "mixtral-8x7b", "deepseek-v3-671b", "t5-11b")]
CHIPS = {"nvidia-a100-sxm4-80gb": "bf16", "nvidia-h100-sxm5-80gb": "fp8", "nvidia-gb200": "fp4"}
FRAMEWORKS = ("megatron-bridge", "llm-foundry", "unknown")

models, chips, frameworks = st.sampled_from(MODELS), st.sampled_from(sorted(CHIPS)), st.sampled_from(FRAMEWORKS)
layouts = st.builds(
    Layout,
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 4, 8]),
    data=st.sampled_from([1, 2, 8, 64]),
    context=st.sampled_from([1, 2, 4]),
    expert=st.just(1),
    virtual_pipeline_stages=st.sampled_from([1, 2]),
    micro_batch_sequences=st.integers(1, 8),
    micro_batches=st.integers(1, 64),
    zero_3=st.sampled_from([0.0, 1.0]),
    recompute_all=st.sampled_from([0.0, 0.5, 1.0]),
)


def of(model, chip, layout, framework="megatron-bridge", *, length=2048, flash=True, **faster):
    """Situation and coefficients; `faster` multiplies rates of the machine."""
    machine = machine_of(Cluster(accelerator=chip), CHIPS[chip])
    machine = dataclasses.replace(machine, **{name: getattr(machine, name) * factor for name, factor in faster.items()})
    sequence = sequence_of(model, sequence_length=length)
    found = situation(model, sequence, layout, machine, precision=CHIPS[chip], software=Software(flash_attention=flash))
    return found, shipped_time_model().for_machine(chip, CHIPS[chip], framework)


@settings(max_examples=60)
@given(model=models, chip=chips, layout=layouts, framework=frameworks)
def test_parts_are_not_negative_and_sum_to_the_step(model, chip, layout, framework):
    x, c = of(model, chip, layout, framework)
    parts = step_parts(x, c)
    assert all(part >= 0 for part in parts.values())
    assert parts["matrices"] > 0
    assert step_time_s(x, c) == pytest.approx(sum(parts.values()), rel=1e-12)


@settings(max_examples=40)
@given(model=models, chip=chips, layout=layouts, factor=st.floats(1.01, 4.0))
@pytest.mark.parametrize(
    "rate", ["peak_flop_per_s", "peak_16_bit_flop_per_s", "memory_bytes_per_s", "link_bytes_per_s",
             "network_bytes_per_s"],
)  # fmt: skip
def test_a_faster_machine_is_never_slower(rate, model, chip, layout, factor):
    # less computing hides fewer messages, but never more than the time that it saved
    plain, faster = step_time_s(*of(model, chip, layout)), step_time_s(*of(model, chip, layout, **{rate: factor}))
    assert faster <= plain * (1 + 1e-12)


@settings(max_examples=40)
@given(model=models, chip=chips, layout=layouts, length=st.integers(128, 8192), more=st.integers(64, 4096))
def test_longer_sequences_and_more_of_them_take_longer(model, chip, layout, length, more):
    short = step_time_s(*of(model, chip, layout, length=length))
    assert step_time_s(*of(model, chip, layout, length=length + more)) > short
    larger = dataclasses.replace(layout, micro_batch_sequences=layout.micro_batch_sequences + 1)
    assert step_time_s(*of(model, chip, larger, length=length)) > short
    rounds = dataclasses.replace(layout, micro_batches=layout.micro_batches + 1)
    assert step_time_s(*of(model, chip, rounds, length=length)) > short


@settings(max_examples=40)
@given(model=models.filter(lambda m: m.kind == "decoder"), chip=chips, layout=layouts, more=st.integers(1, 40))
def test_more_layers_take_longer(model, chip, layout, more):
    deeper = model.model_copy(update={"layers": model.layers + more})
    assert step_time_s(*of(deeper, chip, layout)) > step_time_s(*of(model, chip, layout))


@settings(max_examples=40)
@given(model=models, chip=chips, layout=layouts)
def test_recomputing_takes_longer_and_frozen_weights_less(model, chip, layout):
    times = [step_time_s(*of(model, chip, dataclasses.replace(layout, recompute_all=r))) for r in (0, 0.5, 1)]
    assert times == sorted(times)
    frozen = dataclasses.replace(layout, weight_gradients=0)
    assert step_time_s(*of(model, chip, frozen)) <= step_time_s(*of(model, chip, layout))


@settings(max_examples=30)
@given(model=models, chip=chips, found=st.lists(layouts, min_size=2, max_size=4))
def test_arrays_of_layouts_give_what_each_gives(model, chip, found):
    together = Layout(**{f.name: np.array([getattr(one, f.name) for one in found]) for f in dataclasses.fields(Layout)})
    many = np.broadcast_to(step_time_s(*of(model, chip, together)), len(found))
    for i, one in enumerate(found):
        assert many[i] == pytest.approx(step_time_s(*of(model, chip, one)), rel=1e-12)
