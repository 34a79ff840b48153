"""The tables of the time model: bounds, names, and rows that exist."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import table
from tonne.reference.throughput_peers import peer_scores
from tonne.reference.time_model import FITTED_FAMILIES, fitted_coefficients, shipped_time_model
from tonne.reference.time_stacks import measured_stacks
from tonne.timing.step_time import step_parts


@pytest.mark.parametrize("c", fitted_coefficients(), ids=lambda c: c.name)
def test_coefficient_is_possible(c):
    assert 0 < c.least <= c.value <= c.most
    assert c.least <= c.prior <= c.most
    assert 0 < c.log_spread <= c.prior_log_spread * 1.0001  # rows can only add to what was thought before
    assert c.meaning


def test_shares_are_at_most_one():
    shares = [c for c in fitted_coefficients() if "_share" in c.name or c.name.endswith("_exposed")]
    assert len(shares) > 10
    assert all(c.value <= 1 for c in shares)


def test_names_are_those_that_the_equations_read():
    class Asked(dict):
        seen: ClassVar[set[str]] = set()

        def __getitem__(self, name):
            self.seen.add(name)
            return dict.get(self, name, 1.0)

    situation = measured_steps(table("throughput"))[0].situation
    asked = Asked({c.name: c.value for c in fitted_coefficients()})
    step_parts(situation, asked)
    roles = {"matrix_share", "plain_share", "score_share", "tensor_exposed"}
    names = {c.name for c in fitted_coefficients()}
    assert asked.seen - roles == {name for name in names if "." not in name}
    assert {name.split(".")[0] for name in names if "." in name} == roles - {"plain_share"}
    of_chips = {name for name in names if "." in name and not name.startswith("tensor_exposed")}
    assert {name.split(".")[1] for name in of_chips} == set(FITTED_FAMILIES)


def test_no_coefficient_serves_one_row():
    steps = measured_steps(table("throughput"))
    for c in fitted_coefficients():
        if "." in c.name:
            assert sum(c.name in names for s in steps for names in s.roles.values()) >= 4, c.name


def test_residuals_are_of_rows_that_exist():
    measured = {row["id"]: row for row in table("throughput")}
    rows = step_residuals()
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert float(measured[row.id]["step_time_s"]) == pytest.approx(row.measured_s, rel=1e-4)
        assert int(measured[row.id]["n_gpus"]) == row.accelerators
        assert max(abs(row.log_error(stack)) for stack in ("fitted", "known", "open", "unseen")) < math.log(3)
    assert {row.id for row in rows} == {step.id for step in measured_steps(table("throughput"))}


def test_spreads_count_the_rows_and_are_not_nothing():
    groups: dict[tuple[str, str], int] = {}
    for row in step_residuals():
        groups[row.group] = groups.get(row.group, 0) + 1
    for (kind, precision, stack), spread in shipped_time_model().spreads.items():
        assert spread.rows == groups[kind, precision]
        assert 0.05 < spread.log_half_width < 1
        assert stack in {"known", "open", "unseen"}


def test_an_unseen_stack_is_never_surer():
    found = shipped_time_model().spreads
    for kind, precision in {(k, p) for k, p, _ in found}:
        known, unseen = found[kind, precision, "known"], found[kind, precision, "unseen"]
        assert unseen.log_half_width >= known.log_half_width
        assert found[kind, precision, "open"].log_half_width >= known.log_half_width


def test_stacks_were_measured():
    steps = measured_steps(table("throughput"))
    assert sum(stack.rows for stack in measured_stacks()) == len(steps)
    assert {stack.family for stack in measured_stacks()} <= set(FITTED_FAMILIES)


def test_peers_are_scored_on_many_rows():
    scores = peer_scores()
    assert {score.tool for score in scores} >= {"Calculon", "llm-analysis", "LLMCarbon"}
    assert all(score.n >= 60 and 0 < score.median <= score.p90 and score.how for score in scores)
