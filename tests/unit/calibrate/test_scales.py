"""Pairs of scales and repeated steps, by hand from a few rows."""

from __future__ import annotations

import math

import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.scales import measured_stacks, repeats, scale_pairs, scale_spreads
from tonne.reference.step_residuals import StepResidual
from tonne.reference.table import table
from tonne.reference.time_stacks import scale_spreads as shipped_spreads

MPT_70B = ("T0003", "T0002", "T0001")  # 128, 256 and 512 H100 of llm-foundry


@pytest.fixture(scope="module")
def steps():
    return [s for s in measured_steps(table("throughput")) if s.id in MPT_70B]


def residual(step, known_s):
    return StepResidual(
        id=step.id,
        source=step.source,
        model=step.model,
        kind=step.kind,
        precision=step.precision,
        family=step.family,
        accelerators=step.accelerators,
        sequence_length=2048,
        measured_s=10.0,
        fitted_s=10.0,
        known_s=known_s,
        open_s=known_s,
        unseen_s=10.0,
    )


def test_pairs_go_from_the_smaller_to_the_larger(steps):
    assert [s.accelerators for s in sorted(steps, key=lambda s: s.accelerators)] == [128, 256, 512]
    pairs = {(small.accelerators, large.accelerators) for small, large in scale_pairs(steps)}
    assert pairs == {(128, 256), (128, 512), (256, 512)}


def test_error_of_a_pair_is_what_the_measured_step_does_not_take_away(steps, monkeypatch):
    monkeypatch.setattr("tonne.calibrate.scales.LEAST_PAIRS", 1)
    # ln(predicted / measured): 0.20, 0.23 and 0.30; differences 0.03, 0.10 and 0.07
    errors = dict(zip(MPT_70B, (0.20, 0.23, 0.30), strict=True))
    residuals = [residual(step, 10.0 * math.exp(errors[step.id])) for step in steps]
    found = {(s.kind, s.precision, s.most_scale): s for s in scale_spreads(steps, residuals, ROUND)}
    near = found["dense", "16-bit", 4.0]
    assert near.pairs == 3
    assert near.median == pytest.approx(0.07)
    assert near.log_half_width == pytest.approx(0.10)  # of three, the ceil(0.9 x 4) = 4th is the largest


ROUND = [
    {"source": "mlcommons/training_results_v9.9@x", "model_name": "BERT", "notes": "", "gpu": "H100", "n_gpus": "8",
     "global_batch_seqs": "768", "seq_len": "512", "step_time_s": seconds}
    for seconds in ("1.0", "1.1", "0.9")
]  # fmt: skip


def test_steps_measured_again_by_hand():
    assert sorted(repeats(ROUND)) == pytest.approx([0.0, math.log(1.1), -math.log(0.9)])
    assert repeats(ROUND[:2]) == []


def test_stacks_are_those_of_the_rows(steps):
    (stack,) = measured_stacks(steps)
    assert (stack.framework, stack.family, stack.rows) == ("llm-foundry", "H100", 3)


def test_dense_16_bit_steps_of_a_measured_stack_are_within_three_and_eight_per_cent():
    (near,) = [s for s in shipped_spreads() if (s.kind, s.precision, s.most_scale) == ("dense", "16-bit", 4.0)]
    assert near.pairs >= 30
    assert near.median <= 0.03
    assert near.p90 <= 0.09
