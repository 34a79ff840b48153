"""Which coefficients serve a chip, a precision and a framework."""

from __future__ import annotations

import math

import pytest

from tonne.reference.time_model import TimeModel, fitted_coefficients, role_keys, shipped_time_model


@pytest.mark.parametrize(
    ("family", "precision", "framework", "matrix", "scores"),
    [
        ("A100", "bf16", "unknown", "A100.16-bit", ("A100",)),
        ("A100", "fp16", "llm-foundry", "A100.16-bit", ("A100",)),
        ("H100", "bf16", "megatron-lm", "H100.16-bit", ("H100.fused",)),
        ("H100", "fp8", "NeMo", "H100.fp8", ("H100.fused",)),
        ("H100", "bf16", "llm-foundry", "H100.16-bit", ("H100.flash2",)),
        ("H100", "bf16", "unknown", "H100.16-bit", ("H100.fused", "H100.flash2")),
        ("Blackwell", "fp4", "megatron-bridge", "Blackwell.fp4", ("Blackwell",)),
    ],
)
def test_roles(family, precision, framework, matrix, scores):
    found = role_keys(family, precision, framework)
    assert found["matrix_share"] == (f"matrix_share.{matrix}",)
    assert found["plain_share"] == (f"matrix_share.{family}.16-bit",)
    assert found["score_share"] == tuple(f"score_share.{name}" for name in scores)


@pytest.mark.parametrize(
    ("framework", "names"),
    [("megatron-lm", ("plain",)), ("NeMo", ("beside",)), ("megatron-bridge", ("beside",)), ("x", ("beside", "plain"))],
)
def test_who_cuts_tensor_parallel_messages(framework, names):
    assert role_keys("H100", "bf16", framework)["tensor_exposed"] == tuple(f"tensor_exposed.{name}" for name in names)


@pytest.mark.parametrize(
    ("family", "precision"),
    [("A100", "fp8"), ("H100", "fp4"), ("H100", "fp32"), ("A100", "tf32"), ("V100", "fp16"), ("TPU v4", "bf16")],
)
def test_nothing_was_fitted(family, precision):
    assert role_keys(family, precision, "megatron-lm") is None


def test_every_role_is_in_the_table():
    names = {c.name for c in fitted_coefficients()}
    for family in ("A100", "H100", "Blackwell"):
        for precision in ("bf16", "fp16", "fp8", "fp4"):
            for framework in ("megatron-lm", "llm-foundry", "unknown"):
                for keys in (role_keys(family, precision, framework) or {}).values():
                    assert set(keys) <= names


def test_an_unknown_framework_takes_the_geometric_mean():
    values = {"score_share.H100.fused": 0.5, "score_share.H100.flash2": 0.2, "matrix_share.H100.16-bit": 0.6, "x": 3.0,
              "tensor_exposed.beside": 0.4, "tensor_exposed.plain": 0.9}  # fmt: skip
    model = TimeModel(coefficients=values, spreads={})
    found = model.for_machine("nvidia-h100-sxm5-80gb", "bf16", "something new")
    assert found == pytest.approx(
        {"matrix_share": 0.6, "plain_share": 0.6, "score_share": math.sqrt(0.5 * 0.2), "x": 3.0, "tensor_exposed": 0.6}
    )
    assert model.for_machine("nvidia-v100-sxm2-32gb", "fp16", "megatron-lm") is None


def test_shipped_model_is_the_table():
    model = shipped_time_model()
    assert model.coefficients == {c.name: c.value for c in fitted_coefficients()}
    assert {(k, p, s) for k, p, s in model.spreads} == {
        (kind, precision, stack)
        for kind in ("dense", "moe")
        for precision in ("16-bit", "low")
        for stack in ("known", "open", "unseen")
    }
