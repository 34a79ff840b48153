"""The fit finds the coefficients that made the times, stays in its bounds, and asks for SciPy where it lacks."""

from __future__ import annotations

import builtins
import dataclasses
import math
import random

import numpy as np
import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.time_model import Problem, cross_validated, refitted, spreads
from tonne.calibrate.time_table import write_time_model
from tonne.errors import MissingPackageError
from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import TABLES, table
from tonne.reference.time_model import fitted_coefficients
from tonne.timing.step_time import step_time_s

STEPS = measured_steps(table("throughput"))
PRIORS = fitted_coefficients()
TABLE_FILES = ("time_model.csv", "time_model_spreads.csv", "step_residuals.csv", "step_outside.csv")


def timed(values, noise=0.0):
    """The measured configurations with times that known coefficients make."""
    random.seed(1)
    made = []
    for step in STEPS:
        own = {name: value for name, value in values.items() if "." not in name}
        own |= {role: values[names[0]] for role, names in step.roles.items()}
        seconds = float(step_time_s(step.situation, own)) * math.exp(random.gauss(0, noise))
        made.append(dataclasses.replace(step, step_time_s=seconds))
    return made


def moved():
    """True values a spread's half away from what is thought before."""
    random.seed(2)
    found = {}
    for c in PRIORS:
        value = c.prior * math.exp(0.5 * random.choice((-1, 1)) * c.prior_log_spread)
        found[c.name] = min(max(value, 1.02 * c.least), 0.98 * c.most)
    return found


@pytest.mark.slow
def test_known_coefficients_are_recovered():
    truth = moved()
    vague = [dataclasses.replace(c, prior_log_spread=10 * c.prior_log_spread) for c in PRIORS]
    found = {c.name: c for c in refitted(timed(truth), vague)}
    seen = ("matrix_share.A100.16-bit", "matrix_share.Blackwell.fp8", "score_share.A100", "score_share.H100.flash2",
            "mixture_older", "expert_share", "bubble")  # fmt: skip
    for name in seen:
        assert found[name].value == pytest.approx(truth[name], rel=0.03), name
    predicted = Problem(timed(truth), PRIORS).predicted(
        np.log([found[c.name].value for c in PRIORS]), np.arange(len(STEPS))
    )
    assert np.abs(predicted - np.log([s.step_time_s for s in timed(truth)])).max() < 0.05


def test_prediction_of_the_arrays_is_that_of_each_row():
    problem = Problem(STEPS, PRIORS)
    together = problem.predicted(problem.centre, np.arange(len(STEPS)))
    alone = [math.log(s.step_time_s) for s in timed({c.name: c.prior for c in PRIORS})]
    assert together == pytest.approx(alone, rel=1e-9)


def test_a_coefficient_that_no_row_shows_keeps_its_prior():
    # rows of the A100 alone say nothing of Blackwell
    steps = [s for s in STEPS if s.family == "A100" and s.kind == "dense"][::4]
    found = {c.name: c for c in refitted(steps, PRIORS)}
    blackwell = found["matrix_share.Blackwell.fp8"]
    assert blackwell.value == pytest.approx(blackwell.prior)
    assert blackwell.log_spread == pytest.approx(blackwell.prior_log_spread)
    assert found["matrix_share.A100.16-bit"].log_spread < 0.8 * found["matrix_share.A100.16-bit"].prior_log_spread


def test_fits_stay_in_their_bounds():
    narrow = [dataclasses.replace(c, least=c.prior * 0.99, most=c.prior * 1.01) for c in PRIORS]
    assert all(c.least <= c.value <= c.most for c in refitted(STEPS[::5], narrow))


@pytest.mark.slow
def test_cross_validation_does_not_see_what_it_predicts():
    # one model's times are doubled: a fit that did not see them still predicts the others' speed
    steps = [s for s in STEPS if s.family == "A100" and s.kind == "dense"][::6]
    named = steps[-1].model
    doubled = [dataclasses.replace(s, step_time_s=2 * s.step_time_s) if s.model == named else s for s in steps]
    plain = {r.id: r for r in cross_validated(steps, PRIORS)}
    for row in cross_validated(doubled, PRIORS):
        if row.model == named:
            assert row.known_s == pytest.approx(plain[row.id].known_s, rel=2e-2)


def test_spreads_are_one_for_each_kind_precision_and_stack():
    found = spreads(step_residuals())
    assert [(s.kind, s.precision, s.stack) for s in found] == [
        (kind, precision, stack)
        for kind in ("dense", "moe")
        for precision in ("16-bit", "low")
        for stack in ("known", "open", "unseen")
    ]
    assert sum(s.rows for s in found) == 3 * len(step_residuals())


def test_without_scipy_the_fit_says_what_to_install(monkeypatch):
    whole = builtins.__import__

    def lacking(name, *rest, **more):
        if name.startswith("scipy"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    problem = Problem(STEPS[:5], PRIORS)
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingPackageError, match=r"pip install 'tonne\[calibrate\]'"):
        problem.fit(np.arange(5))


@pytest.mark.slow
def test_the_tables_are_what_the_fit_gives_to_the_last_digit(tmp_path):
    assert write_time_model(tmp_path) == len(STEPS)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (TABLES / path.name).read_bytes(), path.name
    assert {path.name for path in tmp_path.iterdir()} >= set(TABLE_FILES)
