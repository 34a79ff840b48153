"""Intervals from residuals, by hand."""

from __future__ import annotations

import math

import pytest

from tonne.reference.step_residuals import (
    StepResidual,
    conformal_half_width,
    covered,
    half_width,
    known_half_width,
    step_residuals,
    unseen_half_width,
)

DENSE, MOE = ("dense", "16-bit"), ("moe", "low")


def row(name, source, error, *, model=None, known=None, group=DENSE):
    """A row whose unseen (and known) prediction is exp(error) times what was measured."""
    kind, precision = group
    return StepResidual(
        id=name, source=source, model=model or name, kind=kind, precision="fp8" if precision == "low" else precision,
        family="H100", accelerators=8, sequence_length=2048, measured_s=2.0, fitted_s=2.0,
        known_s=2 * math.exp(error if known is None else known), open_s=2 * math.exp(2 * error),
        unseen_s=2 * math.exp(error),
    )  # fmt: skip


def test_errors_and_groups():
    found = row("a", "s", 0.2, known=-0.1, group=MOE)
    assert found.log_error("unseen") == pytest.approx(0.2)
    assert found.log_error("known") == pytest.approx(-0.1)
    assert found.log_error("fitted") == 0
    assert found.log_error("open") == pytest.approx(0.4)
    assert found.predicted_s("open") == pytest.approx(2 * math.exp(0.4))
    assert found.group == MOE


@pytest.mark.parametrize(
    ("n", "rank"),
    [(19, 18), (9, 9), (20, 19), (5, 5), (1, 1)],  # ceil(0.9 (n + 1)), at most n
)
def test_conformal_rank_by_hand(n, rank):
    errors = [(-1) ** i * i / 100 for i in range(n, 0, -1)]
    assert conformal_half_width(errors) == rank / 100


def test_weighted_conformal_by_hand():
    # weights 1, 2, 1 and 4: wanted 0.9 x (8 + 4) = 10.8, which nothing reaches: the largest
    assert conformal_half_width([0.1, -0.2, 0.3, 0.4], [1, 2, 1, 4]) == 0.4
    # 20 rows of a half each and one of a quarter: 0.9 x (10.25 + 0.5) = 9.675, reached by 20 halves
    errors = [i / 100 for i in range(1, 21)] + [0.5]
    assert conformal_half_width(errors, [0.5] * 20 + [0.25]) == 0.2
    # so are 19 halves where 9.45 is wanted: 0.9 x (10 + 0.5)
    assert conformal_half_width(errors[:20], [0.5] * 20) == 0.19


def test_known_width_counts_a_model_of_many_rows_less():
    # sixteen rows of M at 0.1 count 16 x 16^(-1/4) = 8, one of N at 0.3 counts 1: 0.9 x (9 + 1) = 9 needs N too
    rows = [row(f"m{i}", "s", 0.1, model="M") for i in range(16)] + [row("n", "t", -0.3, model="N")]
    assert known_half_width(rows, "dense") == pytest.approx(0.3)
    # with 81 of them, 81 x 81^(-1/4) = 27: 0.9 x (28 + 1) = 26.1
    rows += [row(f"k{i}", "s", 0.1, model="M") for i in range(65)]
    assert known_half_width(rows, "dense") == pytest.approx(0.1)
    assert known_half_width(rows, "dense", "open") == pytest.approx(0.2)
    assert known_half_width(rows, "moe") == 0


def test_unseen_width_by_hand():
    # source s: mean square (0.01 + 0.03) / 2 = 0.02; source t: 0.04; mixtures of u: 0.06; their mean 0.04 counts twice
    rows = [
        row("a", "s", 0.1),
        row("b", "s", -math.sqrt(0.03), group=("dense", "low")),
        row("c", "t", 0.2),
        row("d", "u", math.sqrt(0.06), group=MOE),
    ]
    dense = 2.132 * math.sqrt((0.02 + 0.04 + 2 * 0.04) / 4)  # Student's 95th percentile of 4 degrees
    assert unseen_half_width(rows, "dense") == pytest.approx(dense)
    mixtures = 2.353 * math.sqrt((0.06 + 2 * 0.04) / 3)
    assert unseen_half_width(rows, "moe") == pytest.approx(mixtures)
    none = 2.920 * math.sqrt(0.03)  # a kind without sources: the shared one alone
    assert unseen_half_width(rows[:3], "moe") == pytest.approx(none)


def test_an_unseen_stack_is_never_surer_than_a_known_one():
    rows = [row("a", "s", 0.01, known=0.5), row("b", "t", 0.01, known=0.5)]
    assert half_width(rows, DENSE, "known") == pytest.approx(0.5)
    assert half_width(rows, DENSE, "unseen") == pytest.approx(0.5)
    assert half_width(rows, DENSE, "open") == pytest.approx(0.5)  # nor is a plan that says less


def test_covered_looks_at_other_models_and_other_sources_only():
    rows = [
        row("a", "s", 0.05, model="M"),
        row("b", "s", 0.30, model="M"),
        row("c", "t", 0.10, model="N"),
    ]
    # for M the other models allow 0.10; for N they allow the larger of 0.05 and 0.30
    assert covered(rows, "known") == {"a": True, "b": False, "c": True}
    # known width is that of c alone, 0.10; unseen from t alone: three degrees, all of 0.01: 2.353 x 0.1
    assert covered(rows, "unseen") == {"a": True, "b": False, "c": True}


def test_a_model_alone_of_its_kind_is_not_judged():
    rows = [row("a", "s", 0.1, model="M"), row("b", "s", 0.1, model="N", group=MOE)]
    assert covered(rows, "known") == {}


def test_shipped_rows_have_every_prediction():
    rows = step_residuals()
    assert len(rows) > 350
    assert all(min(r.measured_s, r.fitted_s, r.known_s, r.unseen_s) > 0 for r in rows)
