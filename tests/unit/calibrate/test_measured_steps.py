"""Rows of measured throughput as plans, by hand."""

from __future__ import annotations

from functools import cache

import pytest

from tonne.calibrate.measured_steps import architecture_of, measured_steps
from tonne.reference.table import table

ROWS = {row["id"]: row for row in table("throughput")}


@cache
def measured():
    return {step.id: step for step in measured_steps(ROWS.values())}


def one(identifier, **changes):
    return measured_steps([{**ROWS[identifier], **changes}])


def test_145_billion_of_narayanan_table_1():
    # Narayanan et al. 2021, table 1: 145.6 billion, 80 layers of 12288, 96 heads, tensor 8, pipeline 8, 1536
    # accelerators, batch 2304; so 24 copies, each 96 sequences, 48 micro-batches of two
    step = measured()["T0776"]
    plan = step.plan
    assert (step.source, step.model, step.kind, step.precision) == (
        "arXiv 2104.04473", "MEGATRON-GPT 145.6B", "dense", "16-bit",
    )  # fmt: skip
    assert (plan.architecture.layers, plan.architecture.width, plan.architecture.heads) == (80, 12288, 96)
    p = plan.parallelism
    assert (p.tensor, p.pipeline, p.data, p.context, p.sharding) == (8, 8, 24, 1, "none")
    assert (plan.training.precision, plan.training.recomputation) == ("fp16", "full")
    assert not plan.software.flash_attention
    assert plan.cluster.record.id == "nvidia-a100-sxm4-80gb"
    assert (step.situation["micro_batches"], step.situation["micro_batch_sequences"]) == (48, 2)
    # four passes (one repeated) of 12 W^2 numbers a layer, 2 x 2048 tokens, 64 accelerators
    assert step.situation["matrix_flop"] == pytest.approx(4 * 2 * 4096 * 80 * 12 * 12288**2 / 64)
    assert step.step_time_s == 24.8174
    assert step.roles["score_share"] == ("score_share.A100",)


def test_a_slice_has_the_rows_layers_of_its_preset():
    # SimuMax: twelve of Llama-3-70B's 80 layers on eight B200, tensor 1, pipeline 2, 16 sequences of 4096
    step = measured()["T0603"]
    a = step.plan.architecture
    assert (a.layers, a.width, a.heads, a.kv_heads, a.feed_forward_width) == (12, 8192, 64, 8, 28672)
    assert (a.feed_forward, a.vocabulary) == ("gated", 128256)
    p = step.plan.parallelism
    assert (p.tensor, p.pipeline, p.data, p.sharding) == (1, 2, 4, "zero-1")
    assert step.situation["micro_batches"] == 4
    assert (step.family, step.roles["matrix_share"]) == ("Blackwell", ("matrix_share.Blackwell.16-bit",))
    attention, feed_forward = 2 * 8192 * 8192 + 2 * 8192 * 1024, 3 * 8192 * 28672
    assert step.situation["matrix_flop"] == pytest.approx(3 * 2 * 4096 * 12 * (attention + feed_forward) / 2)


def test_a_slice_of_a_mixture_has_one_dense_layer():
    slices = [s for s in measured().values() if s.kind == "moe" and "slice" in ROWS[s.id]["model_name"]]
    assert slices
    for step in slices:
        assert step.plan.architecture.experts.dense_layers == 1
        assert step.situation["expert_layers"] * step.situation["pipeline"] == step.plan.architecture.layers - 1


def test_later_tokens_are_predicted_only_where_the_row_says_so():
    row = next(r for r in ROWS.values() if r["architecture_id"].startswith("deepseek-v3") and "MTP" in r["model_name"])
    assert architecture_of(row).multi_token_layers == 1
    assert architecture_of({**row, "model_name": "DeepSeekV3"}).multi_token_layers == 0


@pytest.mark.parametrize(
    "change",
    [
        {"model_name": "Megatron-GPT 145.6B LoRA"},
        {"notes": "recalled from memory"},
        {"notes": "goodput-level, whole run"},
        {"micro_batch": ""},
        {"step_time_s": ""},
        {"precision": ""},
        {"kind": "encoder"},
        {"gpu": "TPU-v5e"},
        {"gpu": "V100-SXM2-32GB"},
        {"source": "mlcommons/training_results_v4.1"},
    ],
)
def test_what_is_left_out(change):
    assert len(one("T0776")) == 1
    assert one("T0776", **change) == []


def test_notes_name_the_stages_and_the_network():
    step = one("T0776", notes="interleaving 2; 800 Gb/s RoCE")[0]
    assert step.plan.parallelism.virtual_pipeline_stages == 2
    assert step.plan.cluster.network_gbit_per_s == 100  # of one of eight


@pytest.mark.parametrize(
    ("stage", "sharding"),
    [("none", "none"), ("zero1", "zero-1"), ("", "zero-1"), ("shard_grad_op", "zero-2"), ("full_shard", "zero-3"),
     ("hsdp", "zero-3")],
)  # fmt: skip
def test_sharding_of_a_row(stage, sharding):
    assert one("T0776", zero_or_fsdp_stage=stage)[0].plan.parallelism.sharding == sharding


def test_every_slice_of_the_issue_has_rows():
    groups = {(s.kind, "16-bit" if s.precision == "16-bit" else "low", s.family) for s in measured().values()}
    assert {("dense", "16-bit", "A100"), ("dense", "low", "Blackwell"), ("moe", "low", "H100")} <= groups
    assert len({s.source for s in measured().values()}) == 8


def test_stages_in_parentheses_are_those_of_the_row_in_mxfp8():
    # one row of the source's table, two precisions: "VP=1 (8)"
    assert measured()["T0484"].plan.parallelism.virtual_pipeline_stages == 1
    assert measured()["T0485"].plan.parallelism.virtual_pipeline_stages == 8


def test_network_of_a_server_with_four_ports():
    # Jean Zay: four Omni-Path ports of 100 Gbit/s for eight accelerators
    assert measured()["T1217"].plan.cluster.network_gbit_per_s == 50


def test_software_of_mixtures_comes_from_the_recipe_and_the_notes():
    # DeepSeek-V3 on GB300: one graph with release 26.06, none before; experts of 25.09 dropped tokens
    after, before, dropped = (measured()[name].plan.software for name in ("T0255", "T0303", "T0486"))
    assert (after.graphed_step, after.dispatch, after.overlapped_experts) == (True, "fused", True)
    assert (before.graphed_step, before.dispatch, before.overlapped_experts) == (False, "fused", False)
    assert (dropped.dispatch, dropped.overlapped_experts, dropped.expert_capacity) == (None, None, True)
    plain, beside = measured()["T1253"].plan.software, measured()["T1250"].plan.software  # as their own notes say
    assert (plain.dispatch, beside.dispatch, beside.overlapped_experts) == ("all-to-all", "fused", True)
    assert measured()["T0255"].left_open["copied"] == 0.5
    assert measured()["T0255"].left_open["graphed_step"] == 0


def test_recipes_are_of_models_and_chips_that_have_rows():
    for row in table("step_recipes"):
        assert row["model"] in {step.model for step in measured().values()}
        served = {step.plan.cluster.record.id for step in measured().values() if step.model == row["model"]}
        assert {f"nvidia-{chip}" for chip in row["chips"].split()} <= served
        assert row["locator"]
        assert row["graphs"] in {"none", "layers", "step"}
        assert row["dispatch"] in {"all-to-all", "fused"}
