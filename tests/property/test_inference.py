"""What must always hold of the use of a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tonne
from tonne.count.inference import cache_bytes, decode_flop, generation_flop, prefill_flop

PRESETS = ["llama-2-7b", "mistral-7b-v0.1", "gemma-2-9b", "mixtral-8x7b", "gpt2-small", "gpt-oss-20b"]
tokens = st.integers(1, 6000)


@given(st.sampled_from(PRESETS), tokens, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_prefill_and_decode_steps_sum_to_the_generation(preset, prompt, output):
    a = tonne.Architecture.preset(preset)
    steps = sum(decode_flop(a, prompt + step) for step in range(1, output))
    assert generation_flop(a, prompt, output) == prefill_flop(a, prompt) + steps


@given(st.sampled_from(PRESETS), tokens)
@settings(max_examples=60, deadline=None)
def test_a_cached_step_is_the_last_row_of_the_pass_that_repeats_everything(preset, context):
    # without a cache a step of T + 1 tokens redoes the T before it, whose logits nobody needs, and then does this one
    a = tonne.Architecture.preset(preset)
    head = 2 * a.vocabulary * a.width
    assert prefill_flop(a, context + 1) - prefill_flop(a, context) + head == decode_flop(a, context + 1)


@given(st.sampled_from(PRESETS), tokens, st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_a_cache_never_costs_flop(preset, prompt, output):
    a = tonne.Architecture.preset(preset)
    assert generation_flop(a, prompt, output) <= generation_flop(a, prompt, output, cache=False)


@given(st.sampled_from(PRESETS), tokens, tokens)
@settings(max_examples=60, deadline=None)
def test_cache_grows_with_the_context(preset, first, second):
    a = tonne.Architecture.preset(preset)
    assert (cache_bytes(a, first) <= cache_bytes(a, second)) == (first <= second) or cache_bytes(
        a, first
    ) == cache_bytes(a, second)


@pytest.mark.slow
@given(st.sampled_from(PRESETS), st.integers(1, 3000), st.integers(1, 2000), st.integers(1, 64))
@settings(max_examples=30, deadline=None)
def test_intervals_are_in_order_and_more_output_takes_more(preset, prompt, output, batch):
    def of(answer):
        fields = {
            "architecture": {"preset": preset},
            "cluster": {"accelerator": "H100-SXM"},
            "site": {"grid": "FR"},
            "inference": {
                "prompt_tokens": prompt,
                "output_tokens": answer,
                "batch_sequences": batch,
                "accelerators": 8,
            },
        }
        return tonne.forecast_inference(tonne.TrainingPlan.from_fields(fields))

    found, more = of(output), of(output + 1)
    for name in ("facility_kwh", "operational_location_kgco2e", "embodied_kgco2e", "accelerator_s", "cost_usd"):
        estimate = getattr(found.per_request, name)
        assert 0 < estimate.low <= estimate.value <= estimate.high
        assert getattr(more.per_request, name).value > estimate.value
