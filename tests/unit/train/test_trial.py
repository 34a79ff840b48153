"""Pieces of a run tried before it: what is counted, and that the run does not notice."""

from __future__ import annotations

import pytest

from tonne.train.fitting import fit

pytestmark = pytest.mark.slow  # every test trains


class Foreteller:
    def __init__(self, *, tries=True):
        self.tries, self.ahead, self.timed, self.stages = tries, None, None, []

    def on_outlook(self, ahead):
        self.ahead = ahead
        if self.tries:
            self.timed = ahead.trial()
        return ["a line of its own"]

    def on_stage(self, name, duration_s):
        assert duration_s > 0
        self.stages.append(name)

    def on_start(self, total_steps, tokens_per_step):
        self.total_steps = total_steps

    def on_step(self, step, tokens, loss):
        return None

    def on_end(self, error):
        self.error = error


def test_a_run_that_was_tried_ends_with_the_same_weights_bit_for_bit(tiny_job, quiet, tmp_path):
    observer = Foreteller()
    fit(tiny_job(), tmp_path / "tried", observers=[observer], session=quiet)
    fit(tiny_job(), tmp_path / "not", session=quiet)
    tried, untried = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("tried", "not"))
    assert tried == untried
    assert not list((tmp_path / "tried").glob(".trial-*"))


def test_each_piece_that_the_run_has_is_timed(tiny_job, quiet, tmp_path):
    observer = Foreteller()
    fit(tiny_job(run={"sample_tokens": 4}), tmp_path / "run", observers=[observer], session=quiet)
    timed = observer.timed
    assert all(seconds > 0 for seconds in (timed.step_s, timed.evaluation_s, timed.checkpoint_s, timed.sample_s))
    assert 0 < timed.finish_s < timed.checkpoint_s  # weights alone, without the optimizer's state
    assert timed.slowness > 0


def test_what_lies_ahead_comes_to_pass(tiny_job, quiet, tmp_path):
    # 12 steps: evaluations every 4 (3), checkpoints every 3 (4), samples with evaluations (3), one finish.
    observer = Foreteller(tries=False)
    fit(tiny_job(run={"sample_tokens": 4}), tmp_path / "run", observers=[observer], session=quiet)
    assert observer.ahead.steps == observer.total_steps == 12
    assert observer.ahead.times == {"evaluation": 3, "checkpoints": 4, "sampling": 3, "finishing": 1}
    assert {name: observer.stages.count(name) for name in observer.stages} == dict(observer.ahead.times)
    assert observer.ahead.first
    assert observer.ahead.chips == ()


def test_a_run_that_is_gone_on_with_has_the_rest_ahead(tiny_job, quiet, tmp_path):
    first = Foreteller(tries=False)
    fit(tiny_job(), tmp_path / "run", max_steps=5, observers=[first], session=quiet)
    assert (first.ahead.steps, first.ahead.times["evaluation"], first.ahead.times["checkpoints"]) == (5, 1, 2)
    assert first.stages.count("checkpoints") == 2  # after step 3, and at the end
    rest = Foreteller(tries=False)
    fit(tiny_job(), tmp_path / "run", resume=True, observers=[rest], session=quiet)
    assert (rest.ahead.first_step, rest.ahead.steps) == (5, 7)
    assert rest.stages.count("checkpoints") == rest.ahead.times["checkpoints"] == 3  # 6, 9, 12
    assert rest.stages.count("evaluation") == rest.ahead.times["evaluation"] == 2  # 8, 12


def test_shape_and_machine_tell_runs_apart(tiny_job, quiet, tmp_path):
    seen = {}
    for name, changes in {
        "a": {},
        "more": {"data": {"tokens": 8 * 32 * 24}},
        "wide": {"architecture": {"width": 64}},
    }.items():
        observer = Foreteller(tries=False)
        fit(tiny_job(**changes), tmp_path / name, max_steps=1, observers=[observer], session=quiet)
        seen[name] = observer.ahead
    assert seen["a"].shape == seen["more"].shape  # more tokens of the same steps
    assert seen["a"].shape != seen["wide"].shape
    assert seen["a"].machine == seen["wide"].machine


def test_its_lines_are_said_in_place_of_the_expected_time(tiny_job, tmp_path):
    import io

    from tonne.train.fitting import Session

    stream = io.StringIO()
    fit(
        tiny_job(), tmp_path / "run", max_steps=1, observers=[Foreteller(tries=False)],
        session=Session(device="cpu", stream=stream),
    )  # fmt: skip
    assert "a line of its own" in stream.getvalue()
    assert "expected time" not in stream.getvalue()
