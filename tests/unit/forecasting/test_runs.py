"""Published runs as plans: the model of a row, and what it does not say."""

from __future__ import annotations

import pytest

from tonne.count.workload import counts_of
from tonne.describe.architecture import Architecture
from tonne.forecasting.runs import accelerators_of, architecture_fields, pace_evidence, run_plan, run_work_flop
from tonne.reference.calibration import shipped
from tonne.reference.table import table

ROWS = {row["id"]: row for row in table("published_runs")}


def size(row):
    architecture = Architecture.model_validate(architecture_fields(row))
    return counts_of(architecture, tokens=1e9, sequence_length=1024).parameters


@pytest.mark.parametrize(
    "run", ["bloom-176b", "starcoderbase-15.5b", "olmo-3-32b", "deepseek-67b", "phi-3.5-moe", "openelm-3b"]
)
def test_model_of_a_row_has_its_size(run):
    assert size(ROWS[run]) == pytest.approx(float(ROWS[run]["params_total"]), rel=0.06)


def test_experts_are_those_that_bring_the_sizes():
    # Phi-3.5-MoE: 16 experts, 2 of them active (its model card)
    experts = architecture_fields(ROWS["phi-3.5-moe"])["experts"]
    assert (experts["count"], experts["per_token"]) == (16, 2)


def test_number_of_accelerators_is_that_of_the_row_or_of_a_month():
    assert accelerators_of(ROWS["bloom-176b"]) == 384
    # 2 trillion tokens x (6 x 69 billion + attention) = 8.5e23 FLOP; at 0.35 of 312 TFLOP/s a month takes 3,000
    assert accelerators_of(ROWS["llama-2-70b"]) in {2048, 4096}


def test_runs_before_2023_have_no_flash_attention():
    assert not run_plan(ROWS["bloom-176b"]).software.flash_attention
    assert run_plan(ROWS["llama-65b"]).software.flash_attention


def test_runs_before_2023_recompute_their_layers():
    assert run_plan(ROWS["bloom-176b"]).training.recomputation == "full"
    assert "recomputation" not in run_plan(ROWS["llama-65b"]).training.model_fields_set


def test_precision_and_batch_are_those_of_the_row():
    plan = run_plan(ROWS["deepseek-v3"])
    assert (plan.training.precision, plan.training.global_batch_sequences) == ("fp8", 15_360)
    assert run_plan(ROWS["phi-2"]).training.global_batch_sequences is None


def test_attention_of_a_row_without_a_shape_is_counted():
    # OpenELM 3B: 1.5 trillion tokens x (6 x 3.04 billion + 6 x layers x width x 2048 of the typical shape)
    shape = architecture_fields(ROWS["openelm-3b"])
    expected = 1.5e12 * (6 * 3.04e9 + 6 * shape["layers"] * shape["width"] * 2048)
    assert run_work_flop(ROWS["openelm-3b"]) == pytest.approx(expected)


def test_evidence_is_calendar_over_step_and_goodput():
    (found,) = pace_evidence([ROWS["llama-65b"]], shipped())
    assert found.timed
    # 1.4 trillion tokens, 1,022,362 hours at 312 TFLOP/s: 0.487 of the peak
    assert found.ratio * found.step.value * found.goodput.value == pytest.approx(0.487, abs=0.005)
    (tpu,) = pace_evidence([ROWS["gopher-280b"]], shipped())
    assert not tpu.timed
