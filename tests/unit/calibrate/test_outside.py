"""Rows that are never fitted: which they are, and what the table holds of them."""

from __future__ import annotations

import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.outside import lora_steps, outside, prequel_steps
from tonne.calibrate.time_model import fitted_without
from tonne.reference.step_outside import outside_steps
from tonne.reference.table import table
from tonne.reference.time_model import fitted_coefficients

ROWS = table("throughput")


def test_no_outside_row_is_fitted():
    fitted = {step.id for step in measured_steps(ROWS)}
    assert not fitted & {step.id for step in outside_steps()}


def test_trials_before_bloom_have_heads_of_128_and_the_size_of_their_name():
    trials = {step.id: step for step in prequel_steps(ROWS)}
    a = trials["T0729"].plan.architecture
    assert (a.layers, a.width, a.heads, a.vocabulary) == (78, 13824, 108, 250_880)
    # 12 x 78 x 13824^2 + 250880 x 13824 = 182.3 billion: the name says 182; "T0751" has the same but says 195
    assert "T0751" not in trials
    assert "T0682" not in trials  # 8 x 10 x 8 is not 320
    # T0740 is the fastest of eleven trials of one layout
    assert {"T0694", "T0697", "T0741"}.isdisjoint(trials)
    assert trials["T0740"].step_time_s == 113.95


def test_lora_learns_adapters_alone():
    steps = {step.id: step for step in lora_steps(ROWS)}
    assert len(steps) == 9
    assert all(step.situation["weight_gradients"] == 0 for step in steps.values())
    assert steps["T0288"].plan.parallelism.tensor == 2


@pytest.mark.slow
def test_the_table_is_what_the_shipped_coefficients_say_and_of_blooms_trials_a_fit_without_bloom():
    unseen = fitted_without(measured_steps(ROWS), fitted_coefficients(), "bigscience-workshop/bigscience")
    found = {step.id: step for step in outside(ROWS, fitted_coefficients(), unseen)}
    for step in outside_steps():
        assert found[step.id].predicted_s == pytest.approx(step.predicted_s, rel=1e-3)
