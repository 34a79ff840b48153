"""What using a model takes, and when use overtakes training."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tonne
from tonne.count.inference import generation_flop
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.forecasting.serving import (
    Serving,
    cache_copies,
    fewest_accelerators,
    held_of,
    peak_precision,
    times_of,
    work_of,
)
from tonne.forecasting.use_inputs import merged
from tonne.reference.accelerators import accelerator


def exactly(value):
    return Estimate.exact(value, Basis.ASSUMED, "test")


# round numbers, so that a test's arithmetic can be followed
COEFFICIENTS = {
    name: exactly(value)
    for name, value in {
        "prefill_peak_fraction": 0.5, "experts_fraction": 0.5, "bandwidth_fraction": 0.5, "link_fraction": 0.5,
        "layer_s": 1e-5, "latency_s": 1e-5, "prefill_time_factor": 1.0, "decode_time_factor": 1.0,
        "memory_activity": 0.5, "resting_activity": 0.25,
    }.items()
}  # fmt: skip
SITE = {"grid_gco2e_per_kwh": 400, "pue": 1.25, "wue_l_per_kwh": 1.0, "grid_wue_l_per_kwh": 2.0, "usd_per_kwh": 0.1}


def plan(preset="llama-2-7b", data=None, site=SITE, cluster=None, **inference):
    fields = {
        "architecture": {"preset": preset},
        "cluster": {"accelerator": "A100-80GB"} | (cluster or {}),
        "site": site,
        "inference": {"busy_fraction": 1, **inference},
    }
    if data is not None:
        fields["data"] = data
    return tonne.TrainingPlan.from_fields(fields)


TRAINED = {"data": {"tokens": 2e12, "sequence_length": 4096}, "cluster": {"accelerators": 1024}}


def serving(**changes):
    fields = {
        "architecture": tonne.Architecture.preset("llama-2-7b"),
        "record": accelerator("A100-80GB").record,
        "accelerators": 1,
        "batch_sequences": 8,
        "prompt_tokens": 1000,
        "output_tokens": 101,
    }
    return Serving(**(fields | changes))


def test_step_of_llama_2_7b_by_hand():
    values = {name: e.value for name, e in COEFFICIENTS.items()}
    found = times_of({**work_of(serving()), **values})
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    weights_s = 2 * matrices / (2039e9 * 0.5)
    cache_s = 8 * 524_288 * 1050 / (2039e9 * 0.5)  # 100 steps see 1001 to 1100 tokens: 1050.5 in the mean, 1050 taken
    assert found["decode_step_s"] == pytest.approx(weights_s + cache_s + 32e-5, rel=1e-3)
    layers = 2 * 1000 * (matrices - 32000 * 4096) + 4 * 32 * 4096 * 1000 * 1001 / 2 + 2 * 32000 * 4096
    assert found["prefill_s"] == pytest.approx(layers / (312e12 * 0.5) + 32e-5, rel=1e-9)


def test_request_by_hand():
    found = tonne.forecast_inference(
        plan(prompt_tokens=1000, output_tokens=101, batch_sequences=8), coefficients=COEFFICIENTS
    )
    values = {name: e.value for name, e in COEFFICIENTS.items()}
    times = times_of({**work_of(serving()), **values})
    replica_s = times["prefill_share_s"] + 100 * times["decode_step_s"] / 8
    assert found.per_request.accelerator_s.value == pytest.approx(replica_s)
    assert found.tokens_per_s.value == pytest.approx(101 / replica_s)
    full_w, idle_w = 0.76 * 400, 60.0  # the A100's power family, and its idle watts
    reading_s = times["decode_step_s"] - times["decode_computing_s"] - times["decode_overhead_s"]
    active_s = times["decode_computing_s"] + 0.5 * reading_s + 0.25 * times["decode_overhead_s"]
    decode_j = 100 / 8 * (idle_w * times["decode_step_s"] + (full_w - idle_w) * active_s)
    accelerators_kwh = (full_w * times["prefill_share_s"] + decode_j) / 3.6e6
    assert found.per_request.accelerators_kwh.value == pytest.approx(accelerators_kwh)
    it_kwh = accelerators_kwh + 170 * replica_s / 3.6e6  # 170 W of host; one node has no network
    assert found.per_request.it_kwh.value == pytest.approx(it_kwh)
    assert found.per_request.facility_kwh.value == pytest.approx(1.25 * it_kwh)
    assert found.per_request.operational_location_kgco2e.value == pytest.approx(1.25 * it_kwh * 0.4)
    assert found.per_request.water_l.value == pytest.approx(it_kwh * (1.0 + 1.25 * 2.0))
    assert found.per_request.cost_usd.value == pytest.approx(1.25 * it_kwh * 0.1)


def test_a_million_tokens_are_so_many_requests():
    found = tonne.forecast_inference(plan(output_tokens=200))
    ratio = found.per_million_tokens.facility_kwh.value / found.per_request.facility_kwh.value
    assert ratio == pytest.approx(5000)


def test_whole_use_is_an_account():
    found = tonne.forecast_inference(plan(requests_per_day=1e6, days=100))
    assert isinstance(found.whole, tonne.Account)
    assert found.requests == 1e8
    assert found.whole.duration_s.value == 100 * 86400
    assert found.whole.energy.facility_kwh.value == pytest.approx(1e8 * found.per_request.facility_kwh.value)
    assert found.whole.energy.facility_kwh.high == pytest.approx(1e8 * found.per_request.facility_kwh.high)
    assert found.replicas.value == pytest.approx(1e6 * found.per_request.accelerator_s.value / 86400)


def test_flop_with_and_without_a_cache():
    found = tonne.forecast_inference(plan(prompt_tokens=50, output_tokens=20))
    llama = tonne.Architecture.preset("llama-2-7b")
    assert found.flop_per_request == generation_flop(llama, 50, 20)
    assert found.flop_per_request_uncached == generation_flop(llama, 50, 20, cache=False)
    assert found.flop_per_output_token_uncached > 50 * found.flop_per_output_token


def test_without_a_cache_a_request_takes_longer():
    cached = tonne.forecast_inference(plan(batch_sequences=1))
    uncached = tonne.forecast_inference(plan(batch_sequences=1, cache=False))
    assert uncached.time_per_output_token_s.value > cached.time_per_output_token_s.value
    assert any("repeats the whole sequence" in note for note in uncached.notes)


def test_waiting_replicas_are_paid_by_requests():
    busy = tonne.forecast_inference(plan())
    half = tonne.forecast_inference(plan(busy_fraction=0.5))
    assert half.per_request.accelerator_s.value == pytest.approx(2 * busy.per_request.accelerator_s.value)
    assert busy.per_request.accelerators_kwh.value < half.per_request.accelerators_kwh.value
    assert half.per_request.accelerators_kwh.value < 2 * busy.per_request.accelerators_kwh.value  # idling draws less


def test_use_overtakes_training_when_it_took_as_much():
    found = tonne.forecast_inference(plan(**TRAINED, requests_per_day=1e6, days=365))
    training = found.training.account.energy.facility_kwh.value
    assert found.overtakes_energy.requests.value == pytest.approx(training / found.per_request.facility_kwh.value)
    assert found.overtakes_energy.tokens.value == pytest.approx(300 * found.overtakes_energy.requests.value)
    assert found.overtakes_energy.days.value == pytest.approx(found.overtakes_energy.requests.value / 1e6)
    use = 365e6 * found.per_request.facility_kwh.value
    assert found.overtakes_energy.share_of_use.value == pytest.approx(use / (use + training))


def test_carbon_of_both_sides_holds_the_making_of_the_hardware():
    found = tonne.forecast_inference(plan(**TRAINED))
    carbon, request = found.training.account.carbon, found.per_request
    trained = carbon.operational_location_kgco2e.value + carbon.embodied_kgco2e.value
    used = request.operational_location_kgco2e.value + request.embodied_kgco2e.value
    assert found.overtakes_carbon.requests.value == pytest.approx(trained / used)


def test_what_both_sides_share_cancels():
    wide = SITE | {"pue": {"value": 1.25, "low": 1.01, "high": 2.0}, "grid_gco2e_per_kwh": {"value": 400, "low": 100}}
    exact = tonne.forecast_inference(plan(**TRAINED)).overtakes_energy.requests
    found = tonne.forecast_inference(plan(**TRAINED, site=wide))
    assert found.overtakes_energy.requests.low == pytest.approx(exact.low)
    assert found.overtakes_energy.requests.high == pytest.approx(exact.high)
    assert found.uncertainty["overtakes.energy_requests"].get("pue", 0.0) < 1e-12
    assert "pue" in found.uncertainty["energy.facility_kwh"]


def test_another_accelerator_brings_its_own_watts():
    both, keys = merged({"accelerator_power_w": exactly(300.0), "pue": exactly(1.2)},
                        {"accelerator_power_w": exactly(600.0), "pue": exactly(1.2)})  # fmt: skip
    assert keys == {"accelerator_power_w": "serving_accelerator_power_w", "pue": "pue"}
    assert both["accelerator_power_w"].value == 300
    assert both["serving_accelerator_power_w"].value == 600
    found = tonne.forecast_inference(plan(**TRAINED, accelerator="H100-SXM"))
    assert found.replica.accelerator == "nvidia-h100-sxm5-80gb"
    assert found.training.plan.cluster.record.id == "nvidia-a100-sxm4-80gb"


def test_the_price_of_one_accelerator_is_none_of_another():
    site = {"usd_per_accelerator_hour": 40.0}
    own = tonne.forecast_inference(plan(**TRAINED, site=site))
    assert own.per_request.cost_usd.value == pytest.approx(40 * own.per_request.accelerator_s.value / 3600)
    other = tonne.forecast_inference(plan(**TRAINED, site=site, accelerator="L40S"))
    assert other.per_request.cost_usd.value < 5 * other.per_request.accelerator_s.value / 3600  # 1.86 USD in the table
    assert other.training.account.cost_usd.value == own.training.account.cost_usd.value
    assert any("is that of nvidia-a100-sxm4-80gb. Give that of nvidia-l40s" in note for note in other.notes)
    given = tonne.forecast_inference(plan(**TRAINED, site=site, accelerator="L40S", usd_per_accelerator_hour=2.0))
    assert given.per_request.cost_usd.value == pytest.approx(2 * given.per_request.accelerator_s.value / 3600)
    alone = tonne.forecast_inference(plan(site=site, accelerator="L40S"))  # no training: there is one price
    assert alone.per_request.cost_usd.value == pytest.approx(40 * alone.per_request.accelerator_s.value / 3600)


def test_a_cap_of_the_training_is_none_of_the_replicas():
    found = tonne.forecast_inference(plan(**(TRAINED | {"cluster": {"accelerators": 1024, "power_cap_w": 300}})))
    assert any("replicas run without a cap" in note for note in found.notes)


def test_training_is_the_same_with_and_without_use():
    with_use = plan(**TRAINED)
    assert tonne.forecast_inference(with_use).training.account == tonne.forecast(with_use).account


def test_no_run_described_leaves_the_training_out():
    found = tonne.forecast_inference(plan())
    assert found.training is None
    assert found.overtakes_energy is None
    assert any("no training run is described" in note for note in found.notes)


def test_a_model_with_a_head_for_labels_answers_in_one_pass():
    shape = {"kind": "decoder", "layers": 2, "width": 64, "heads": 4, "vocabulary": 100, "task_head": {"labels": 3}}
    fields = {"architecture": shape, "cluster": {"accelerator": "A100-SXM4-80GB"}, "inference": {"prompt_tokens": 40}}
    found = tonne.forecast_inference(tonne.TrainingPlan.from_fields(fields))
    assert found.time_per_output_token_s is None
    assert found.tokens_per_request == 40
    assert not any("positions" in note for note in found.notes)  # their number is not given
    # matrices of two layers, pairs of 40 tokens under the mask in two products, three labels of the last one
    assert found.flop_per_request == 2 * (2 * 12 * 64**2 * 40 + 2 * 2 * 64 * 40 * 41 // 2 + 3 * 64)


def test_the_only_output_token_is_the_whole_request():
    found = tonne.forecast_inference(plan(prompt_tokens=50, output_tokens=1))
    assert found.flop_per_output_token == found.flop_per_request == found.flop_per_request_uncached
    assert found.tokens_per_request == 1


def test_how_an_accelerator_was_read_is_noted():
    assert "A100-80GB is taken to mean nvidia-a100-sxm4-80gb" in tonne.forecast_inference(plan()).notes
    other = tonne.forecast_inference(plan(accelerator="H100"))
    assert "H100 is taken to mean nvidia-h100-sxm5-80gb" in other.notes
    assert not any("A100" in note for note in other.notes)


@pytest.mark.parametrize(
    ("preset", "prompt", "output", "text"),
    [
        ("gpt-3-175b", 2000, 49, "2049 tokens are more than the 2048 positions that the model has learned"),
        ("llama-2-7b", 4000, 97, "4097 tokens are more than the 4096 positions that the model was made for"),
        ("llama-2-7b", 4000, 96, None),
        ("bloom-176b", 4000, 96, None),  # alibi
        ("bart-large", 1000, 1000, None),  # two sequences of 1,024 at most
        ("bart-large", 1025, 10, "1025 tokens are more than the 1024 positions that the model has learned"),
        ("bert-base-uncased", 512, 300, None),
    ],
)
def test_requests_longer_than_the_model_are_noted(preset, prompt, output, text):
    notes = tonne.forecast_inference(plan(preset, prompt_tokens=prompt, output_tokens=output)).notes
    assert [note.rstrip(".") for note in notes if "positions" in note] == ([text] if text else [])


def test_the_fewest_accelerators_that_hold_it():
    llama = tonne.Architecture.preset("llama-3.1-70b")  # 141 GB of weights; 80 GB cards leave 72 each
    # 2 x 72 = 144 GB leave 2.9 GB for the cache: 8 sequences of 1101 x 327,680 bytes, not 9
    assert fewest_accelerators(serving(architecture=llama, batch_sequences=8)) == 2
    assert fewest_accelerators(serving(architecture=llama, batch_sequences=9)) == 4
    assert fewest_accelerators(serving(architecture=llama, batch_sequences=9, weight_precision="fp8")) == 2


def test_accelerators_that_are_too_few_are_told():
    with pytest.raises(DescriptionError, match=r"1 x nvidia-a100-sxm4-80gb do not hold 1\d\d GB.*Use 4"):
        tonne.forecast_inference(plan("llama-3.1-70b", accelerators=1))


def test_keys_are_copied_where_accelerators_outnumber_their_heads():
    grouped = tonne.Architecture.preset("llama-3.1-70b")  # 8 heads of keys
    assert cache_copies(serving(architecture=grouped, accelerators=8)) == 1
    assert cache_copies(serving(architecture=grouped, accelerators=16)) == 2
    one, two = (held_of(serving(architecture=grouped, accelerators=n)).cache_bytes for n in (8, 16))
    assert two == 2 * one


def test_four_bit_integers_are_multiplied_in_16_bits():
    h100, b200 = accelerator("H100-SXM").record, accelerator("nvidia-b200-sxm").record
    assert peak_precision(h100, "int4") == "bf16"
    assert peak_precision(h100, "fp4") == "bf16"  # it has no such units
    assert peak_precision(b200, "fp4") == "fp4"


def test_an_encoder_answers_in_one_pass():
    found = tonne.forecast_inference(plan("bert-large-uncased", requests=1e9))
    assert found.time_per_output_token_s is None
    assert found.tokens_per_request == 500
    assert found.per_million_tokens.facility_kwh.value == pytest.approx(2000 * found.per_request.facility_kwh.value)


def test_an_encoder_decoder_is_served_too():
    found = tonne.forecast_inference(plan("t5-11b", prompt_tokens=300, output_tokens=50))
    assert found.flop_per_request == generation_flop(tonne.Architecture.preset("t5-11b"), 300, 50)
    assert found.time_per_output_token_s.value > 0


def test_whole_servers_of_which_accelerators_are_not_known_apart():
    found = tonne.forecast_inference(plan(cluster={"accelerator": "TPU-v3"}))
    assert found.per_request.accelerators_kwh is None
    assert found.per_request.it_kwh.value > 0


def test_a_mixture_reads_more_experts_in_a_larger_batch():
    mixtral = tonne.Architecture.preset("mixtral-8x7b")
    few = work_of(serving(architecture=mixtral, batch_sequences=1))["decode_weights_bytes"]
    many = work_of(serving(architecture=mixtral, batch_sequences=64))["decode_weights_bytes"]
    assert many > 3 * few


def test_defaults_that_were_assumed_are_listed():
    notes = tonne.forecast_inference(plan(prompt_tokens=10)).notes
    assert any(n.startswith("assumed: output_tokens=300, batch_sequences=16, weight_precision=bf16") for n in notes)


def test_exact_replicas_hold_the_same_weights():
    assert held_of(serving()).weights_bytes == held_of(replace(serving(), accelerators=2)).weights_bytes


def test_what_is_no_plan_is_told():
    with pytest.raises(DescriptionError, match=r"takes a TrainingPlan, not str"):
        tonne.forecast_inference("llama-2-7b")


def test_requests_longer_than_the_learned_positions_are_noted():
    notes = tonne.forecast_inference(plan("gpt2-small", prompt_tokens=1000, output_tokens=100)).notes
    assert any("1100 tokens are more than the 1024 positions" in note for note in notes)


def test_data_without_a_number_of_accelerators_leaves_the_training_out():
    found = tonne.forecast_inference(plan(data={"tokens": 1e12, "sequence_length": 4096}))
    assert found.training is None


def test_chip_hours_that_are_known_are_a_training_run_too():
    fields = {
        "architecture": {"preset": "llama-2-7b"},
        "cluster": {"accelerator": "A100-80GB"},
        "schedule": {"accelerator_hours": 184_320},
        "inference": {"busy_fraction": 1},
        "site": SITE,
    }
    found = tonne.forecast_inference(tonne.TrainingPlan.from_fields(fields))
    trained = found.training.account.energy.facility_kwh.value
    assert found.overtakes_energy.requests.value == pytest.approx(trained / found.per_request.facility_kwh.value)


def test_both_sides_of_each_phase():
    found = tonne.forecast_inference(
        plan(prompt_tokens=1000, output_tokens=101, batch_sequences=8), coefficients=COEFFICIENTS
    )
    values = {name: e.value for name, e in COEFFICIENTS.items()}
    times = times_of({**work_of(serving()), **values})
    prompt, step = found.prefill_sides, found.decode_sides
    assert prompt.arithmetic_s > prompt.reading_s  # a thousand tokens share the reading
    assert prompt.arithmetic_s + prompt.overhead_s == pytest.approx(times["prefill_s"])
    assert step.reading_s > step.arithmetic_s
    assert step.reading_s + step.overhead_s == pytest.approx(times["decode_step_s"])
    assert step.arithmetic_s == pytest.approx(times["decode_computing_s"])
    assert step.exchange_s == 0
