"""The thread that makes batches ahead: in order, loud when it fails, gone when it is not wanted."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from tonne.train.prefetch import Prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "tonne-prefetch"]


def test_steps_come_in_order():
    with Prefetch(lambda step: step * step, range(3, 8)) as made:
        assert list(made) == [(3, 9), (4, 16), (5, 25), (6, 36), (7, 49)]
    assert not threads()


def test_an_error_is_raised_where_its_batch_was_wanted():
    def make(step):
        if step == 2:
            raise ValueError("step 2 is broken")
        return step

    with Prefetch(make, range(5)) as made:
        steps = iter(made)
        assert [next(steps), next(steps)] == [(0, 0), (1, 1)]
        with pytest.raises(ValueError, match="step 2 is broken"):
            next(steps)
    assert not threads()


def test_even_an_exit_on_the_thread_is_told():
    def make(step):
        raise SystemExit(3)

    with Prefetch(make, range(5)) as made, pytest.raises(SystemExit):
        list(made)
    assert not threads()


def test_leaving_early_ends_the_thread():
    with Prefetch(lambda step: step, range(10**9)) as made:
        assert next(iter(made)) == (0, 0)
        assert len(threads()) == 1
    assert not threads()


def test_an_error_of_the_model_ends_the_thread():
    def train():
        with Prefetch(lambda step: step, range(10**9)) as made:
            for _ in made:
                raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        train()
    assert not threads()


def test_no_more_is_made_ahead_than_asked():
    asked, ready = [], threading.Event()

    def make(step):
        asked.append(step)
        if step == 3:
            ready.set()
        return step

    with Prefetch(make, range(100), depth=2) as made:
        iterator = iter(made)
        next(iterator)
        assert ready.wait(10)  # 0 was taken, 1 and 2 wait in the queue, 3 is in hand
    assert max(asked) == 3


def test_closed_batches_are_not_waited_for():
    made = Prefetch(lambda step: step, range(100))
    made.close()
    with pytest.raises(RuntimeError, match="closed before step"):
        list(made)


@pytest.mark.slow
def test_what_was_made_is_let_go():
    class Thing:
        pass

    things = []

    def make(step):
        thing = Thing()
        things.append(weakref.ref(thing))
        return thing

    with Prefetch(make, range(20)) as made:
        for _, thing in made:
            del thing
    del made
    gc.collect()
    assert all(thing() is None for thing in things)
