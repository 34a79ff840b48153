"""The fit finds the coefficients that made the times, stays in its bounds, and asks for SciPy where it lacks."""

from __future__ import annotations

import builtins
import csv
import dataclasses
import math
import random
from functools import cache

import numpy as np
import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.calibrate.time_model import NARROWEST, NOISE, Problem, cross_validated, refitted, spreads
from tonne.calibrate.time_table import write_time_model
from tonne.errors import MissingPackageError
from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import TABLES, table
from tonne.reference.time_model import fitted_coefficients
from tonne.timing.step_time import step_time_s

pytestmark = pytest.mark.slow  # hundreds of steps are fitted

PRIORS = fitted_coefficients()
TABLE_FILES = ("time_model.csv", "time_model_spreads.csv", "step_residuals.csv", "step_outside.csv")


@cache
def all_steps():
    return measured_steps(table("throughput"))


def timed(values, noise=0.0):
    """The measured configurations with times that known coefficients make."""
    random.seed(1)
    made = []
    for step in all_steps():
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


def test_known_coefficients_are_recovered():
    truth = moved()
    vague = [dataclasses.replace(c, prior_log_spread=10 * c.prior_log_spread) for c in PRIORS]
    found = {c.name: c for c in refitted(timed(truth), vague)}
    seen = ("matrix_share.A100.16-bit", "matrix_share.Blackwell.fp8", "score_share.A100", "score_share.H100.flash2",
            "mixture_older", "expert_share", "bubble")  # fmt: skip
    for name in seen:
        assert found[name].value == pytest.approx(truth[name], rel=0.03), name
    predicted = Problem(timed(truth), PRIORS).predicted(
        np.log([found[c.name].value for c in PRIORS]), np.arange(len(all_steps()))
    )
    assert np.abs(predicted - np.log([s.step_time_s for s in timed(truth)])).max() < 0.05


def test_prediction_of_the_arrays_is_that_of_each_row():
    problem = Problem(all_steps(), PRIORS)
    together = problem.predicted(problem.centre, np.arange(len(all_steps())))
    alone = [math.log(s.step_time_s) for s in timed({c.name: c.prior for c in PRIORS})]
    assert together == pytest.approx(alone, rel=1e-9)


def test_a_coefficient_that_no_row_shows_keeps_its_prior():
    # rows of the A100 alone say nothing of Blackwell
    steps = [s for s in all_steps() if s.family == "A100" and s.kind == "dense"][::4]
    found = {c.name: c for c in refitted(steps, PRIORS)}
    blackwell = found["matrix_share.Blackwell.fp8"]
    assert blackwell.value == pytest.approx(blackwell.prior)
    assert blackwell.log_spread == pytest.approx(blackwell.prior_log_spread)
    assert found["matrix_share.A100.16-bit"].log_spread < 0.8 * found["matrix_share.A100.16-bit"].prior_log_spread


def test_fits_stay_in_their_bounds():
    narrow = [dataclasses.replace(c, least=c.prior * 0.99, most=c.prior * 1.01) for c in PRIORS]
    assert all(c.least <= c.value <= c.most for c in refitted(all_steps()[::5], narrow))


def test_cross_validation_does_not_see_what_it_predicts():
    # one model's times are doubled: a fit that did not see them still predicts the others' speed
    steps = [s for s in all_steps() if s.family == "A100" and s.kind == "dense"][::6]
    named = steps[-1].model
    doubled = [dataclasses.replace(s, step_time_s=2 * s.step_time_s) if s.model == named else s for s in steps]
    plain = {r.id: r for r in cross_validated(steps, PRIORS)}
    for row in cross_validated(doubled, PRIORS):
        if row.model == named:
            assert row.known_s == pytest.approx(plain[row.id].known_s, rel=1e-9)


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

    problem = Problem(all_steps()[:5], PRIORS)
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingPackageError, match=r"pip install 'tonne\[calibrate\]'"):
        problem.fit(np.arange(5))


def all_but(model):
    return np.array([i for i, step in enumerate(all_steps()) if step.model != model])


def height(problem, logs, rows):
    """What a fit makes small, by its own formulas: pseudo-Huber of the weighted errors, and squares of the priors."""
    weights = problem.weights[rows] / problem.weights[rows].mean()
    far = (problem.predicted(logs, rows, softness=NARROWEST) - problem.measured[rows]) / NOISE * weights
    return (np.sqrt(1 + far**2) - 1).sum() + (((logs - problem.centre) / problem.spread) ** 2).sum() / 2


@pytest.mark.parametrize("model", ["none", "LLAMA3-8B", "MPT-125M"])
def test_no_coefficient_can_be_moved_to_a_better_fit(model):
    problem, rows = Problem(all_steps(), PRIORS), all_but(model)
    found = problem.fit(rows)
    for unit in np.eye(len(found)):
        for step in (-1e-3, 1e-3):
            assert height(problem, found + step * unit, rows) > height(problem, found, rows)


def test_last_digits_of_times_and_of_starts_do_not_move_a_fit():
    random.seed(3)

    def shaken(value):
        return value * (1 + random.uniform(-1e-9, 1e-9))  # a million times what makes of processor differ by

    steps = [dataclasses.replace(s, step_time_s=shaken(s.step_time_s)) for s in all_steps()]
    priors = [dataclasses.replace(c, prior=shaken(c.prior)) for c in PRIORS]
    rows = all_but("LLAMA3-8B")
    assert Problem(steps, priors).fit(rows) == pytest.approx(Problem(all_steps(), PRIORS).fit(rows), abs=2e-5)


# Makes of processor, and starts that differ by one in 10^6, agree to 3e-6 in a row; the tables have five digits.
CLOSE, OF_SPREADS = 2e-4, 1e-3
FITTED = {"value", "log_spread", "fitted_s", "known_s", "open_s", "unseen_s", "predicted_s"}


def test_the_tables_are_what_the_fit_gives(tmp_path):
    assert write_time_model(tmp_path) == len(all_steps())
    assert {path.name for path in tmp_path.iterdir()} >= set(TABLE_FILES)
    for path in tmp_path.iterdir():
        with path.open() as anew, (TABLES / path.name).open() as shipped:
            rows = list(zip(csv.DictReader(anew), csv.DictReader(shipped), strict=True))
        for name in rows[0][0]:
            pairs = [(one[name], other[name]) for one, other in rows]
            different = [(float(one), float(other)) for one, other in pairs if one != other]  # raises for words
            apart = max((abs(one / other - 1) for one, other in different), default=0.0)
            assert apart <= (CLOSE if name in FITTED else OF_SPREADS), (path.name, name)
