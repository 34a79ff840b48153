"""Llama 3 405B with the layouts that its report prints; the rows are no part of the fit."""

from __future__ import annotations

import pytest

import tonne


@pytest.mark.parametrize(
    ("accelerators", "data", "published"),
    [(8192, 64, 0.43), (16_384, 128, 0.41)],  # dubey2024llama3, table 4: sequences of 8,192, 16 million tokens a batch
)
def test_share_of_the_peak_is_that_of_the_report(accelerators, data, published):
    plan = tonne.TrainingPlan.from_fields(
        {
            "architecture": {"preset": "llama-3.1-405b"},
            "data": {"tokens": 15.6e12, "sequence_length": 8192},
            "training": {"global_batch_sequences": 2048},
            # 126 layers over 16 stages, interleaved; how finely is not printed: here a layer is a virtual stage
            "parallelism": {"tensor": 8, "pipeline": 16, "data": data, "virtual_pipeline_stages": 8},
            "cluster": {"accelerator": "H100", "accelerators": accelerators},
        }
    )
    found = tonne.forecast(plan).account.throughput.achieved_peak_fraction
    assert found.value == pytest.approx(published, rel=0.08)
    assert found.low < published < found.high
