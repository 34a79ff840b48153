"""The section [inference] of a plan."""

from __future__ import annotations

import pytest

import tonne
from tonne.describe.inference import Inference
from tonne.errors import DescriptionError


def plan(**inference):
    return tonne.TrainingPlan.from_fields(
        {
            "architecture": {"preset": "llama-2-7b"},
            "cluster": {"accelerator": "A100-80GB"},
            "inference": inference,
        }
    )


def test_use_alone_needs_no_data_and_no_number_of_accelerators():
    assert not plan(requests=1e6).trains


def test_use_alone_is_no_training_run():
    with pytest.raises(DescriptionError, match=r"no training run is described.*--inference"):
        tonne.forecast(plan())


def test_use_needs_an_architecture():
    with pytest.raises(DescriptionError, match="architecture"):
        tonne.TrainingPlan.from_fields({"cluster": {"accelerator": "A100-80GB"}, "inference": {}})


@pytest.mark.parametrize(
    ("given", "meant"), [("nvfp4", "fp4"), ("MXFP4", "fp4"), ("awq", "int4"), ("bfloat16", "bf16"), ("mxfp8", "fp8")]
)
def test_spellings_of_weights(given, meant):
    assert Inference(weight_precision=given).weight_precision == meant


def test_requests_are_said_once():
    with pytest.raises(DescriptionError, match="requests counts all of them"):
        plan(requests=1e6, requests_per_day=1e3)


def test_days_of_what():
    with pytest.raises(DescriptionError, match="days without requests_per_day"):
        plan(days=10)


def test_unknown_accelerator_is_told_at_once():
    with pytest.raises(LookupError, match="abacus"):
        Inference(accelerator="abacus")


def test_unknown_field_names_the_known_ones():
    with pytest.raises(DescriptionError, match=r"inference\.batch is not a field.*batch_sequences"):
        plan(batch=4)
