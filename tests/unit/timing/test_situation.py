"""A plan's step as figures by name."""

from __future__ import annotations

import pytest

import tonne
from tonne.timing.situation import NEWEST_RELEASE, layout_of, plan_situation, release_year


def plan(batch=512, micro=4, *, parallelism=None, software=None, cluster=None, preset="gpt-3-175b"):
    return tonne.TrainingPlan.from_fields(
        {
            "architecture": {"preset": preset},
            "data": {"tokens": 1e9, "sequence_length": 1024},
            "training": {"global_batch_sequences": batch, "micro_batch_sequences": micro},
            "cluster": {"accelerator": "A100-80GB", "accelerators": 64, **(cluster or {})},
            "parallelism": {"tensor": 8, "pipeline": 2, "data": 4, **(parallelism or {})},
            "software": software or {},
        }
    )


@pytest.mark.parametrize(
    ("batch", "micro", "rounds", "sequences"),
    [
        (512, 4, 32, 4),  # 512 / (4 copies x 4)
        (516, 4, 32, 4.03125),  # 32.25 rounds: 32, a little larger
        (4, 4, 1, 1),  # less than one micro-batch a copy
    ],
)
def test_micro_batches_of_a_plan(batch, micro, rounds, sequences):
    found = plan(batch, micro)
    layout = layout_of(found, found.parallelism)
    assert (layout.micro_batches, layout.micro_batch_sequences) == (rounds, sequences)
    assert layout.micro_batches * layout.micro_batch_sequences * layout.data == batch


def test_figures_of_a_plan():
    found = plan(parallelism={"sharding": "zero-1"})
    x = plan_situation(found, found.parallelism)
    assert (x["tensor"], x["pipeline"], x["copies"], x["sharded_over"], x["micro_batches"]) == (8, 2, 4, 4, 32)
    assert (x["length"], x["per_token"], x["mixture"], x["domain"]) == (1024, 1, 0, 8)
    assert x["matrix_flop"] == 3 * 2 * 4 * 1024 * 96 * 12 * 12288**2 / 16  # 12 W^2 a layer, 16 accelerators
    whole = plan(parallelism={"sharding": "none"})
    assert plan_situation(whole, whole.parallelism)["sharded_over"] == 1


def test_copies_of_experts():
    # 64 accelerators, one stage: tensor 2 x data 32; eight share the experts, so 64 / 8 hold the same ones
    found = plan(preset="mixtral-8x7b", parallelism={"tensor": 2, "pipeline": 1, "data": 32, "expert": 8})
    x = plan_situation(found, found.parallelism)
    assert (x["copies"], x["expert_copies"], x["experts_sharded_over"]) == (32, 8, 8)
    assert (x["mixture"], x["per_token"]) == (1, 2)


@pytest.mark.parametrize(
    ("released", "year"),
    [(None, NEWEST_RELEASE), ("2025", 2025.5), ("2025-01", 2025 + 0.5 / 12), ("2024-12-31", 2024 + 11.5 / 12)],
)
def test_release_years(released, year):
    assert release_year(released) == pytest.approx(year)


@pytest.mark.parametrize(("released", "older"), [("2026-01", 2026.65 - 2026 - 0.5 / 12), ("2019", 1.05), ("2030", 0.0)])
def test_releases_outside_the_fitted_years_are_taken_for_the_nearest(released, older):
    found = plan(software={"released": released})
    assert plan_situation(found, found.parallelism)["years_older"] == pytest.approx(older)


def test_software_that_a_plan_leaves_open_is_halfway():
    names = ("copied", "overlapped", "graphed_step", "capacity", "low_attention")
    found = plan()
    assert [plan_situation(found, found.parallelism)[name] for name in names] == [0.5, 0.5, 0, 0, 0]
    said = {"dispatch": "all-to-all", "overlapped_experts": False, "graphed_step": True, "expert_capacity": True}
    found = plan(software={**said, "low_precision_attention": True})
    assert [plan_situation(found, found.parallelism)[name] for name in names] == [1, 0, 1, 1, 1]


def test_adapters_need_no_gradients_of_weights():
    found = plan()
    assert layout_of(found, found.parallelism).weight_gradients == 1
    adapted = tonne.TrainingPlan.from_fields(
        {**found.model_dump(exclude_unset=True), "training": {"global_batch_sequences": 512, "lora": {"rank": 16}}}
    )
    assert layout_of(adapted, adapted.parallelism).weight_gradients == 0
