"""A forecast from the counted work of a module: the numbers by hand, the notes, the document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tonne
from tonne.cli.main import app
from tonne.count.module import ModuleCounts, WorkCounts
from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError
from tonne.reference.calibration import shipped
from tonne.report.document import document, from_document
from tonne.report.text import lines

RESNET_50 = Path(__file__).resolve().parents[3] / "examples" / "resnet-50.toml"
IMAGES = 90 * 1_281_167
FLOP_PER_IMAGE = 2 * (3 * 4_089_184_256 - 112 * 112 * 64 * 3 * 7 * 7)  # 4.09 GMAC; the stem's image wants no gradient
WORK = {"parameters": 25_557_032, "training_flop_per_example": FLOP_PER_IMAGE, "examples": IMAGES}


def plan(**sections) -> TrainingPlan:
    cluster = {"accelerator": "A100-SXM4-80GB", "accelerators": 8}
    return TrainingPlan.from_fields(
        {"workload": WORK, "training": {"precision": "fp16"}, "cluster": cluster, **sections}
    )


def test_resnet_50_on_imagenet_by_hand():
    known = {"step_utilisation": 0.2, "goodput": 0.9}
    found = tonne.forecast(plan(schedule=known, training={"precision": "fp16", "global_batch_sequences": 2048}))
    flop = FLOP_PER_IMAGE * IMAGES  # 2.80e18
    assert found.counts == WorkCounts(
        parameters=25_557_032, training_flop=flop, training_flop_per_example=FLOP_PER_IMAGE, examples=IMAGES
    )
    useful_s = flop / (8 * 312e12 * 0.2)
    account = found.account
    assert account.duration_s.value == pytest.approx(useful_s / 0.9)
    assert account.accelerator_hours.value == pytest.approx(8 * useful_s / 0.9 / 3600)
    assert account.throughput.examples_per_s.value == pytest.approx(IMAGES / useful_s)
    assert account.throughput.step_time_s.value == pytest.approx(useful_s / (IMAGES / 2048))
    assert account.throughput.tokens_per_s is None
    assert found.memory is None


def test_fraction_of_the_peak_is_that_of_decoders_with_twice_the_spread():
    found = tonne.forecast(plan())
    decoder = shipped().achieved_peak_fraction("nvidia-a100-sxm4-80gb", "fp16", "dense-decoder")
    fraction = found.account.throughput.achieved_peak_fraction
    assert fraction.value == decoder.value
    assert fraction.low == pytest.approx(decoder.low**2 / decoder.value)
    assert fraction.high == pytest.approx(min(decoder.high**2 / decoder.value, 0.9))
    assert fraction.basis == "assumed"
    assert any("no run of such a model is in the calibration" in note for note in found.notes)
    assert any("takes 2.5 times as long as forecast in fp16" in note for note in found.notes)
    assert not any("below 1 billion parameters" in note for note in found.notes)


def test_document_parses_back_and_text_says_examples():
    found = tonne.forecast(plan(site={"grid": "FR"}))
    written = json.loads(json.dumps(document(found), allow_nan=False))
    assert from_document(written) == found
    assert written["counts"]["training_flop"] == FLOP_PER_IMAGE * IMAGES
    text = "\n".join(lines(found))
    assert "115.3M examples" in text
    assert "executed FLOP of the module" in text
    assert "tokens" not in text.splitlines()[0]


def test_tokens_of_an_example_give_tokens_per_second():
    found = tonne.forecast(plan(workload={**WORK, "example_tokens": 197}))
    speed = found.account.throughput
    assert speed.tokens_per_s.value == pytest.approx(197 * speed.examples_per_s.value)


def test_many_at_once():
    found = tonne.forecast_many(plan(), {"workload.examples": [IMAGES, 2 * IMAGES]})
    alone = tonne.forecast(plan()).account.duration_s.value
    assert list(found.account.duration_s.value) == pytest.approx([alone, 2 * alone])


def test_accelerator_hours_stand_beside_the_work():
    found = tonne.forecast(plan(schedule={"accelerator_hours": 20}))
    assert found.account.accelerator_hours.value == 20
    assert found.counts.training_flop == FLOP_PER_IMAGE * IMAGES


def test_work_stands_alone():
    with pytest.raises(DescriptionError, match=r"\[workload\] is given beside \[data\]\. It takes the place"):
        plan(data={"tokens": 1e9})
    with pytest.raises(DescriptionError, match=r"beside \[architecture\]"):
        plan(architecture={"preset": "gpt-3-175b"})
    with pytest.raises(DescriptionError, match=r"\[cluster\] accelerators is missing"):
        plan(cluster={"accelerator": "A100-SXM4-80GB"})
    with pytest.raises(DescriptionError, match=r"of any other PyTorch module give \[workload\]"):
        plan(workload=None)
    with pytest.raises(
        DescriptionError, match=r"workload\.flop is not a field\. Known here: parameters, training_flop"
    ):
        plan(workload={**WORK, "flop": 1})


def test_what_the_module_itself_holds_is_not_added():
    found = tonne.forecast(plan(training={"precision": "fp16", "recomputation": "full"}))
    assert any("recomputation, lora and frozen_layers change nothing here" in note for note in found.notes)


def test_section_of_counts():
    counts = ModuleCounts(
        parameters=10,
        trainable_parameters=10,
        buffers=0,
        examples=4,
        forward_flop=100,
        backward_flop=180,
        repeated_flop=0,
        flop_by_operation={"aten::mm": 280},
        flop_by_module={"": 280},
        uncounted={},
    )
    section = {"parameters": 10, "training_flop_per_example": 70.0, "examples": 1e6}
    assert counts.plan_section(examples=1e6) == section
    assert counts.plan_section(examples=1e6, example_tokens=5) == {**section, "example_tokens": 5}


def test_command_reads_a_plan_file_with_work():
    result = CliRunner().invoke(app, ["forecast", str(RESNET_50), "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["counts"]["training_flop"] == FLOP_PER_IMAGE * IMAGES
    assert found["account"]["throughput"]["tokens_per_s"] is None
    assert found["account"]["throughput"]["examples_per_s"]["value"] > 0
