"""Predicted step times beside measured ones: slices, and the published sweeps each apart.

The rows and the predictions without them are those of `make calibrate`; `tests/unit/calibrate/test_time_model.py` holds
that a new fit gives them to the last digit.
"""

from __future__ import annotations

from functools import cache

import pytest

from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import table
from tonne.validation.statistics import quantile
from tonne.validation.throughput import validate_steps

SOURCE = {row["id"]: row["source"] for row in table("throughput")}

# Asked of the median and of the 90th percentile: a known stack, an unseen one.
ASKED = {
    "dense, 16-bit, A100 and H100": ((0.06, 0.15), (0.12, 0.35)),
    "dense, fp8 and below": ((0.12, 0.28), (0.20, 0.34)),
    "mixture of experts": ((0.15, 0.45), (0.38, 0.57)),
}


@cache
def validation():
    return validate_steps()


def slices():
    return {found.name: found for found in validation().slices}


def errors(part, stack="known"):
    """Signed errors of the rows whose source has these words, without their model or source."""
    found = {}
    for row in step_residuals():
        if part in SOURCE[row.id]:
            predicted = row.known_s if stack == "known" else row.unseen_s
            found[row.id] = predicted / row.measured_s - 1
    return found


@pytest.mark.parametrize("name", ASKED)
def test_slice_reaches_what_is_asked(name):
    (median, p90), (unseen_median, unseen_p90) = ASKED[name]
    found = slices()[name]
    assert (found.known.median, found.known.p90) <= (median, p90)
    assert found.known.p90 <= p90
    assert found.unseen.median <= unseen_median
    assert found.unseen.p90 <= unseen_p90
    assert found.reach == ASKED[name]
    assert found.holds


# Dense rows of Blackwell in 16 bits are of one source, and without it they are forecast 15 % too fast.
SHORT = {"dense, 16-bit, Blackwell", "MooreThreads/SimuMax"}


@pytest.mark.xfail(strict=True, reason="68 % [49, 83] of the slice and 77 % [61, 88] of its source, decision 0117")
@pytest.mark.parametrize("name", sorted(SHORT))
def test_90_per_cent_of_what_one_source_alone_has_lies_in_the_exact_interval_without_it(name):
    (found,) = (f for f in (*validation().slices, *validation().sources) if f.name == name)
    assert found.unseen.coverage_high >= 0.90


@pytest.mark.parametrize("stack", ["known", "unseen"])
def test_90_per_cent_lies_in_the_exact_interval_of_what_every_slice_held(stack):
    for found in validation().slices:
        error = getattr(found, stack)
        assert error.coverage_low <= 0.90, found.name
        assert error.coverage_high >= 0.90 or (stack == "unseen" and found.name in SHORT), found.name


@pytest.mark.parametrize("stack", ["known", "unseen"])
def test_and_of_every_source_but_the_two_readings_of_bloom(stack):
    # one run, one reading a month after the other: both 13 % faster forecast than they were, 15 % were allowed
    for found in validation().sources:
        error = getattr(found, stack)
        if stack == "unseen" and found.name in SHORT:
            continue
        assert error.coverage_low <= 0.90, found.name
        assert error.coverage_high >= (0.8 if "bigscience" in found.name else 0.90), found.name


def test_intervals_are_not_wide():
    dense, mixtures = slices()["dense, fp8 and below"], slices()["mixture of experts"]
    assert dense.known.half_width < 0.20
    assert dense.unseen.half_width < 0.30
    assert mixtures.known.half_width < 0.40
    assert mixtures.unseen.half_width < 0.45


def test_a_mixture_whose_software_is_left_open_is_less_sure():
    found = validation().left_open
    assert found.half_width > slices()["mixture of experts"].known.half_width
    assert found.coverage_low <= 0.90 <= found.coverage_high
    assert found.p90 <= 0.45


def test_rows_that_no_fit_saw():
    checks = {sweep.name: sweep for sweep in validation().sweeps if sweep.seen == "never fitted"}
    assert checks["LoRA, layout given"].median <= 0.08
    assert checks["MLPerf GPT-3 175B, layout searched"].median <= 0.10
    assert checks["BLOOM, trials of layouts"].bias < 0  # a machine that its own users found slow


def test_rivals_are_farther_off():
    ours = slices()["dense, 16-bit, A100 and H100"].unseen.median
    rivals = [p for p in validation().peers if p.rows.startswith("dense")]
    assert {p.tool for p in rivals} == {"Calculon", "llm-analysis", "LLMCarbon"}
    assert all(p.median > ours for p in rivals)


def test_narayanan_2021_table_1():
    # seven models from 1.7 to 1008 billion; not one of them was seen
    found = errors("2104.04473", "unseen")
    assert len(found) == 7
    assert quantile([abs(e) for e in found.values()], 0.5) < 0.05
    assert max(abs(e) for e in found.values()) < 0.08


def test_korthikanti_2022_table_5():
    # four rows; Calculon's own mean error on that paper is 3.65 %
    found = errors("2205.05198", "unseen")
    assert len(found) == 4
    assert sum(abs(e) for e in found.values()) / 4 < 0.0365


def test_sequence_sweep_of_llm_foundry():
    # 512 to 65536 tokens; the stack is known, the model is not
    sweep = [
        row
        for row in step_residuals()
        if "llm-foundry" in row.source and row.accelerators == 8 and row.precision == "16-bit" and row.family == "A100"
    ]
    assert {row.sequence_length for row in sweep} == {2**n for n in range(9, 17)}
    assert quantile([abs(row.known_s / row.measured_s - 1) for row in sweep], 0.5) < 0.06
    assert quantile([abs(row.known_s / row.measured_s - 1) for row in sweep], 0.9) < 0.12
    fitted = [abs(row.fitted_s / row.measured_s - 1) for row in sweep]
    assert max(fitted) < 0.12


def test_bloom():
    # two rows of the run; both are slower than predicted: hours of a shared machine, checkpoints among them
    found = errors("bigscience", "unseen")
    assert len(found) == 2
    assert all(-0.20 < error < 0 for error in found.values())
