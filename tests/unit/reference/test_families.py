"""Coefficients of chips whose steps were not fitted: what the fitted families share, by hand."""

from __future__ import annotations

import math

import pytest

from tonne.estimate import Basis
from tonne.reference.families import coefficients_of, family_share, family_shares, pooled_shares
from tonne.reference.time_model import shipped_time_model

SHARES = {
    "matrix_share.A100.16-bit": 0.8,
    "matrix_share.H100.16-bit": 0.4,
    "matrix_share.Blackwell.16-bit": 0.1,
    "matrix_share.H100.fp8": 0.9,
    "matrix_share.Blackwell.fp8": 0.4,
    "matrix_share.Blackwell.fp4": 0.5,
    "score_share.A100": 0.2,
    "score_share.H100.fused": 0.8,
    "score_share.H100.flash2": 0.2,
    "score_share.Blackwell": 0.1,
}
FITTED = shipped_time_model().coefficients


def test_pooled_shares_by_hand():
    # (0.8 x 0.4 x 0.1)^(1/3); attention of Hopper between its kernels: (0.2 x 0.4 x 0.1)^(1/3) = 0.2
    sixteen = 0.032 ** (1 / 3)
    expected = {"matrix_share": sixteen, "plain_share": sixteen, "score_share": 0.2}
    assert pooled_shares(SHARES, "16-bit", 1.0) == pytest.approx(expected)
    assert pooled_shares(SHARES, "fp8", 1.0) == pytest.approx({**expected, "matrix_share": 0.6})
    assert pooled_shares(SHARES, "fp4", 1.0) == pytest.approx({**expected, "matrix_share": 0.5})
    assert pooled_shares(SHARES, "32-bit", 1.0) == pytest.approx(expected)


def test_family_multiplies_its_shares_and_none_is_above_one():
    found = pooled_shares(SHARES, "fp8", 2.0)
    assert found == pytest.approx({"matrix_share": 1.0, "plain_share": 2 * 0.032 ** (1 / 3), "score_share": 0.4})


def test_fitted_chips_take_what_was_fitted():
    found = coefficients_of("nvidia-a100-sxm4-80gb", "bf16", "megatron-lm")
    assert found.values == shipped_time_model().for_machine("nvidia-a100-sxm4-80gb", "bf16", "megatron-lm")
    assert (found.log_half_width, found.basis, found.note) == (0.0, Basis.MODELLED, None)


def test_32_bits_of_a_fitted_chip_reach_the_share_of_16():
    found = coefficients_of("nvidia-a100-sxm4-80gb", "tf32", "megatron-lm")
    assert found.values["matrix_share"] == FITTED["matrix_share.A100.16-bit"]
    # 8 and 4 bits lie around 16 bits: their root mean square, three of them
    ratios = [
        math.log(FITTED[f"matrix_share.{chip}.{low}"] / FITTED[f"matrix_share.{chip}.16-bit"])
        for chip, low in (("H100", "fp8"), ("Blackwell", "fp8"), ("Blackwell", "fp4"))
    ]
    expected = 1.645 * math.sqrt(sum(r * r for r in ratios) / 3)
    assert found.log_half_width == pytest.approx(expected, rel=1e-3)
    assert found.basis == Basis.ASSUMED


def test_chip_without_kin_is_assumed_and_its_half_width_that_of_families():
    found = coefficients_of("amd-mi300x", "bf16", "unknown")
    matrices = [FITTED[f"matrix_share.{chip}.16-bit"] for chip in ("A100", "H100", "Blackwell")]
    assert found.values["matrix_share"] == pytest.approx(math.prod(matrices) ** (1 / 3))
    assert found.values["link_share"] == FITTED["link_share"]
    assert found.log_half_width == family_share("MI300").log_half_width == family_shares()["*"].log_half_width
    assert found.basis == Basis.ASSUMED
    assert "no step of amd-mi300x or its kin was measured" in found.note


def test_family_with_rows_is_modelled_and_surer():
    found = coefficients_of("google-tpu-v4", "bf16", "maxtext")
    own = family_share("TPU v4")
    assert own.rows >= 1
    assert found.log_half_width == own.log_half_width < family_shares()["*"].log_half_width
    assert found.basis == Basis.MODELLED
    assert coefficients_of("google-tpu-v6e", "fp8", "maxtext").basis == Basis.MODELLED


def test_a_tpu_launches_no_layers():
    for chip, precision in (("nvidia-v100-sxm2-32gb", "fp16"), ("google-tpu-v3", "bf16")):
        values = coefficients_of(chip, precision, "unknown").values
        assert (values["layer_s"] == 0.0) == (values["expert_layer_s"] == 0.0) == chip.startswith("google")
        assert values["mixture_older"] == FITTED["mixture_older"]


def test_every_family_is_plausible():
    for family in family_shares().values():
        assert 0.2 <= family.share <= 1.8
        assert 0.05 < family.log_half_width < 1.0
        assert (family.rows == 0) == (family.family == "*")
