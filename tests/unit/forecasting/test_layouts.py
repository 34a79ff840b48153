"""A plan's share of the peak follows from its layout's step; a layout left out is found; a measured step takes over."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import tonne
from tonne.count.fit import needed_bytes
from tonne.errors import DescriptionError, ElementError
from tonne.estimate import Basis
from tonne.reference.families import family_share
from tonne.reference.time_model import shipped_time_model
from tonne.reference.time_stacks import log_half_width, remeasured_log_half_width, scaled_log_half_width, stack_of
from tonne.report.document import document, from_document
from tonne.report.text import lines
from tonne.timing.situation import plan_situation
from tonne.timing.step_time import step_time_s

LAYOUT = {"tensor": 4, "pipeline": 2, "data": 8}
A100 = "nvidia-a100-sxm4-80gb"


def plan(**changes):
    fields = {
        "architecture": {"preset": "llama-13b"},
        "data": {"tokens": 1e12, "sequence_length": 2048},
        "training": {"global_batch_sequences": 512, "micro_batch_sequences": 2},
        "parallelism": dict(LAYOUT),
        "software": {"framework": "megatron-lm"},
        "cluster": {"accelerator": "A100-80GB", "accelerators": 64},
        "site": {"pue": 1.2},
    }
    for section, values in changes.items():
        fields[section] = None if values is None else fields.get(section, {}) | values
    return tonne.TrainingPlan.from_fields({name: section for name, section in fields.items() if section is not None})


def step(found):
    return found.account.throughput.step_time_s


def test_step_time_is_that_of_the_model_of_time():
    p = plan()
    fitted = shipped_time_model().for_machine(A100, "bf16", "megatron-lm")
    expected = step_time_s(plan_situation(p, p.parallelism), fitted)
    assert step(tonne.forecast(p)).value == pytest.approx(expected, rel=1e-12)


def test_interval_is_the_spread_of_kind_precision_and_stack():
    width = log_half_width("dense", "bf16", "known")
    found = step(tonne.forecast(plan()))
    assert math.log(found.high / found.value) == pytest.approx(width)
    assert math.log(found.value / found.low) == pytest.approx(width)
    assert found.basis == Basis.MODELLED
    unseen = step(tonne.forecast(plan(software={"framework": "unknown", "compile": True})))
    assert unseen.high / unseen.value == pytest.approx(math.exp(log_half_width("dense", "bf16", "unseen")))


def test_unknown_software_widens_the_interval():
    known, unseen = (log_half_width("dense", "bf16", stack) for stack in ("known", "unseen"))
    # torchtitan2024benchmarks: compiling brings 16 % more tokens a second
    fusion = math.log(1.16)
    for software, width in (
        ({"framework": "megatron-lm"}, known),
        ({"framework": "torchtitan"}, unseen),
        ({"framework": "unknown"}, math.hypot(unseen, fusion)),
        ({"framework": "torchtitan", "compile": False}, math.hypot(unseen, fusion)),
    ):
        found = step(tonne.forecast(plan(software=software)))
        assert math.log(found.high / found.value) == pytest.approx(width), software
    assert known < unseen


def test_a_compiler_makes_steps_shorter():
    times = [
        step(tonne.forecast(plan(software={"framework": "fsdp", "compile": compiled}))).value
        for compiled in (True, None, False)
    ]
    assert times[0] < times[1] == times[2]  # FSDP by itself compiles nothing


def test_mixture_of_software_of_unknown_age_may_be_slower():
    mixture = {"architecture": {"preset": "mixtral-8x7b"}, "cluster": {"accelerator": "H100"}}
    new = step(tonne.forecast(plan(**mixture, software={"framework": "nemo", "released": "2026-08"})))
    unknown = step(tonne.forecast(plan(**mixture, software={"framework": "nemo"})))
    older = 1.05 * math.log(shipped_time_model().coefficients["mixture_older"])  # the fitted releases span 1.05 years
    assert unknown.value == pytest.approx(new.value, rel=2e-2)
    assert math.log(new.high / new.value) < math.log(unknown.high / unknown.value)
    width = math.log(new.high / new.value)
    assert math.log(unknown.high / unknown.value) == pytest.approx(math.hypot(width, older), rel=1e-6)
    assert math.log(unknown.value / unknown.low) == pytest.approx(width, rel=1e-6)


def test_ranks_that_do_not_share_the_sequence_take_longer_and_hold_more():
    shared, whole = (tonne.forecast(plan(parallelism={"sequence": given})) for given in (None, False))
    assert step(whole).value > step(shared).value
    assert whole.memory.activations_bytes > shared.memory.activations_bytes
    assert step(tonne.forecast(plan(parallelism={"sequence": True}))).value == step(shared).value


def test_a_mixture_whose_software_is_left_open_is_less_sure():
    layout, chip = {"tensor": 1, "pipeline": 2, "data": 32}, {"accelerator": "H100"}
    said = {"framework": "megatron-bridge", "released": "2026-08", "overlapped_experts": False}
    for software, settled in ((said | {"dispatch": "fused"}, True), (said, False)):
        mixture = {"preset": "mixtral-8x7b"}
        p = plan(architecture=mixture, parallelism=layout, software=software, cluster=chip)
        found = step(tonne.forecast(p))
        assert found.high / found.value == pytest.approx(
            math.exp(log_half_width("moe", "bf16", "known", settled=settled))
        )
        assert any("how tokens reach the experts" in source for source in found.sources) is not settled


def test_stack_is_known_by_framework_and_chip():
    assert stack_of("Megatron-LM", A100) == "known"
    assert stack_of("llm-foundry", "nvidia-gb200") == "unseen"
    assert stack_of("unknown", A100) == "unseen"


def test_unseen_stack_is_never_surer_than_a_known_one():
    for kind in ("dense", "moe"):
        for precision in ("bf16", "fp8"):
            assert log_half_width(kind, precision, "unseen") >= log_half_width(kind, precision, "known")


@pytest.mark.slow
def test_single_layout_loads_no_numpy():
    import subprocess
    import sys

    code = (
        "import sys, tonne; p = tonne.TrainingPlan.from_fields("
        f"{plan().model_dump(mode='json', exclude_unset=True)!r}); tonne.forecast(p); print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_layout_left_out_is_found_and_named():
    found = tonne.forecast(plan(parallelism=None, training={"global_batch_sequences": 512}))
    best = found.layout.chosen
    assert best.accelerators == 64
    assert step(found).value == pytest.approx(best.step_time_s, rel=1e-12)
    assert step(found).value <= step(tonne.forecast(plan())).value
    assert needed_bytes(found.memory) == pytest.approx(best.memory_bytes, rel=1e-9)
    note = next(n for n in found.notes if n.startswith("layout: "))
    assert "runners-up: " in note
    assert f"found by search among {found.layout.tried:,}" in note
    assert any(line.strip().startswith("Layout") for line in lines(found))
    assert from_document(json.loads(json.dumps(document(found)))) == found


def test_given_layout_is_not_searched_for():
    assert tonne.forecast(plan()).layout is None


def test_chip_that_was_not_fitted_gets_a_layout_and_a_wider_interval():
    v100 = {"cluster": {"accelerator": "V100-SXM2-32GB"}, "training": {"precision": "fp16"}}
    found = tonne.forecast(plan(parallelism=None, **v100))
    assert found.layout.chosen.accelerators == 64
    assert len(found.layout.runners_up) == 3
    assert found.memory.fit_probability > 0.25
    assert any("no step of nvidia-v100-sxm2-32gb or its kin was measured" in note for note in found.notes)
    assert step(found).basis == Basis.ASSUMED
    width = math.hypot(log_half_width("dense", "fp16", "unseen"), family_share("V100").log_half_width)
    assert math.log(step(found).high / step(found).value) == pytest.approx(width)
    assert width > log_half_width("dense", "fp16", "unseen") + 0.2


def test_family_with_measured_utilisations_is_modelled():
    found = tonne.forecast(plan(parallelism=None, cluster={"accelerator": "TPU v4"}))
    assert step(found).basis == Basis.MODELLED
    assert any("measured utilisations of TPU v4" in note for note in found.notes)


@pytest.mark.parametrize("chip", ["TPU v3", "MI300X", "L40S", "RTX 4090", "T4", "Gaudi 2", "GH200", "apple-m2-ultra"])
def test_every_chip_gets_a_layout(chip):
    preset = {"architecture": {"preset": "gpt2-medium"}, "training": {"precision": "fp16"}}
    numbers = 1 if chip.startswith("apple") else 8
    found = tonne.forecast(plan(parallelism=None, **preset, cluster={"accelerator": chip, "accelerators": numbers}))
    assert found.layout.chosen.accelerators == numbers
    assert 0.02 < found.account.throughput.achieved_peak_fraction.value < 0.95


def test_32_bit_run_is_slower_than_16_bits_by_peak_and_bytes():
    times = {
        precision: step(tonne.forecast(plan(training={"precision": precision})))
        for precision in ("bf16", "tf32", "fp32")
    }
    # peaks of 312, 156 and 19.5 TFLOP/s: products take 2 and 16 times as long
    assert 1.8 < times["tf32"].value / times["bf16"].value < 2.3
    assert 10 < times["fp32"].value / times["bf16"].value < 16
    assert times["tf32"].high / times["tf32"].value > times["bf16"].high / times["bf16"].value
    assert times["tf32"].basis == Basis.ASSUMED


def test_measured_step_rescales_a_chip_that_was_not_fitted():
    v100 = {"cluster": {"accelerator": "V100-SXM2-32GB"}, "training": {"precision": "fp16"}}
    small = {**LAYOUT, "data": 4, "seconds": 30.0, "global_batch_sequences": 256, "micro_batch_sequences": 2}
    half = plan(
        parallelism={"data": 4},
        cluster={"accelerator": "V100-SXM2-32GB", "accelerators": 32},
        training={"global_batch_sequences": 256, "precision": "fp16"},
    )
    factor = 30.0 / step(tonne.forecast(half)).value
    found = step(tonne.forecast(plan(**v100, schedule={"measured_step": small})))
    base = step(tonne.forecast(plan(**v100)))
    assert found.value == pytest.approx(factor * base.value, rel=1e-12)
    # no pair of such a chip shows how it scales: not surer than a stack that was not measured
    assert math.log(found.high / found.value) == pytest.approx(log_half_width("dense", "fp16", "unseen"))
    assert found.high / found.value < base.high / base.value


def test_model_that_fits_nowhere_says_so():
    found = tonne.forecast(plan(parallelism=None, architecture={"preset": "gpt-3-175b"}, cluster={"accelerators": 8}))
    assert found.layout is None
    assert any("no layout of the model was found that fits" in note for note in found.notes)


def test_utilisation_that_is_given_needs_no_search():
    found = tonne.forecast(plan(parallelism=None, schedule={"step_utilisation": 0.4}))
    assert found.layout is None
    assert found.account.throughput.achieved_peak_fraction.value == 0.4


def test_measured_step_of_the_plan_is_its_step():
    found = step(tonne.forecast(plan(schedule={"measured_step_s": 12.3})))
    assert found.value == pytest.approx(12.3, rel=1e-12)
    assert found.high / found.value == pytest.approx(math.exp(remeasured_log_half_width()))
    assert remeasured_log_half_width() < 0.05


def test_measured_step_rescales_another_scale():
    base = step(tonne.forecast(plan())).value
    small = {**LAYOUT, "data": 4, "seconds": 1.2 * 3.0, "global_batch_sequences": 256, "micro_batch_sequences": 2}
    half = plan(parallelism={"data": 4}, cluster={"accelerators": 32}, training={"global_batch_sequences": 256})
    factor = 1.2 * 3.0 / step(tonne.forecast(half)).value
    found = step(tonne.forecast(plan(schedule={"measured_step": small})))
    assert found.value == pytest.approx(factor * base, rel=1e-12)
    assert found.high / found.value == pytest.approx(math.exp(scaled_log_half_width("dense", "bf16", 2.0)))
    assert found.high / found.value < step(tonne.forecast(plan())).high / base


def test_nearer_scales_are_surer():
    widths = [scaled_log_half_width("dense", "bf16", scale) for scale in (1.5, 4, 16, 1000)]
    assert widths == sorted(widths)
    assert remeasured_log_half_width() <= widths[0] < widths[-1] == log_half_width("dense", "bf16", "known")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": {"measured_step_s": 12.0, "step_utilisation": 0.4}}, "Give one of them"),
        ({"schedule": {"measured_step_s": 12.0, "accelerator_hours": 1e6}}, "Give one of them"),
        ({"schedule": {"measured_step_s": -1.0}}, "measured_step_s"),
    ],
)
def test_speeds_that_contradict_are_one_clear_error(changes, said):
    with pytest.raises(DescriptionError, match=said):
        plan(**changes)


def test_measured_step_needs_its_batch():
    fields = plan(schedule={"measured_step_s": 12.0}).model_dump(mode="json", exclude_unset=True)
    del fields["training"]["global_batch_sequences"]
    with pytest.raises(DescriptionError, match="global_batch_sequences is missing"):
        tonne.forecast(tonne.TrainingPlan.from_fields(fields))


def test_measured_step_speaks_for_a_chip_without_a_model_of_time():
    v100 = {"accelerator": "V100-SXM2-32GB"}
    p = plan(cluster=v100, training={"precision": "fp16"}, schedule={"measured_step_s": 20.0})
    assert step(tonne.forecast(p)).value == pytest.approx(20.0, rel=1e-12)


def test_arrays_of_layouts_equal_one_by_one():
    tensor, pipeline, micro = np.array([1, 2, 4, 8, 8]), np.array([4, 4, 2, 1, 8]), np.array([1, 2, 4, 2, 1])
    data = 64 // tensor // pipeline
    fields = {
        "parallelism.tensor": tensor,
        "parallelism.pipeline": pipeline,
        "parallelism.data": data,
        "training.micro_batch_sequences": micro,
    }
    many = tonne.forecast_many(plan(), fields)
    for i in range(5):
        split = {"tensor": int(tensor[i]), "pipeline": int(pipeline[i]), "data": int(data[i])}
        one = tonne.forecast(plan(parallelism=split, training={"micro_batch_sequences": int(micro[i])}))
        for name in ("value", "low", "high"):
            assert getattr(step(many), name)[i] == pytest.approx(getattr(step(one), name), rel=1e-12)


def test_layouts_in_blocks_equal_one_by_one():
    data = np.full(20_000, 8)
    batch = 512 + 16 * (np.arange(20_000) % 100)
    many = tonne.forecast_many(
        plan(), {"parallelism.data": data, "training.global_batch_sequences": batch}, intervals=False
    )
    for i in (0, 9_999, 16_383, 16_384, 19_999):
        one = tonne.forecast(plan(training={"global_batch_sequences": int(batch[i])}))
        assert step(many).value[i] == pytest.approx(step(one).value, rel=1e-12)


@pytest.mark.parametrize("preset", ["llama-13b", "bert-large-uncased", "t5-large", "deepseek-v2-lite-16b"])
def test_arrays_of_lengths_under_a_layout_equal_one_by_one(preset):
    changes = {"architecture": {"preset": preset}, "parallelism": {"tensor": 1, "pipeline": 1, "data": 64}}
    many = tonne.forecast_many(plan(**changes), {"data.sequence_length": [256, 512]})
    for i, length in enumerate((256, 512)):
        one = tonne.forecast(plan(**changes, data={"sequence_length": length}))
        assert step(many).value[i] == pytest.approx(step(one).value, rel=1e-12)


def test_array_layout_that_does_not_take_all_accelerators_raises_with_its_index():
    with pytest.raises(ElementError, match="element 3") as caught:
        tonne.forecast_many(plan(), {"parallelism.data": [8, 8, 8, 4, 8]})
    assert caught.value.index == 3


def test_array_layout_with_more_copies_than_sequences_raises_with_its_index():
    fields = {"training.global_batch_sequences": [512, 7, 4, 512], "training.micro_batch_sequences": 1}
    with pytest.raises(ElementError, match=r"element [12]"):
        tonne.forecast_many(plan(), fields)


def test_few_sizes_are_each_searched_for():
    left_out = {"parallelism": None}
    many = tonne.forecast_many(plan(**left_out), {"cluster.accelerators": [16, 64, 128]})
    for i, n in enumerate((16, 64, 128)):
        one = tonne.forecast(plan(**left_out, cluster={"accelerators": n}))
        assert step(many).value[i] == pytest.approx(step(one).value, rel=1e-12)


def test_many_sizes_lie_close_to_a_search_of_their_own():
    left_out = {"parallelism": None}
    numbers = np.arange(16, 257, 4)
    many = tonne.forecast_many(plan(**left_out), {"cluster.accelerators": numbers})
    for n in (16, 64, 128, 256):  # powers of two are searched themselves
        one = tonne.forecast(plan(**left_out, cluster={"accelerators": n}))
        found = step(many).value[numbers.tolist().index(n)]
        assert found == pytest.approx(step(one).value, rel=0.1)
    assert (np.diff(step(many).value) < 0).all()


def test_more_accelerators_never_take_longer():
    times = [
        tonne.forecast(plan(parallelism=None, cluster={"accelerators": n})).account.duration_s.value
        for n in (8, 16, 24, 32, 64, 96, 128, 256)
    ]
    assert times == sorted(times, reverse=True)


def test_assumed_batch_is_said():
    fields = plan(parallelism=None).model_dump(mode="json", exclude_unset=True)
    del fields["training"]
    found = tonne.forecast(tonne.TrainingPlan.from_fields(fields))
    assert any("sequences are assumed to lay out the step" in note for note in found.notes)
