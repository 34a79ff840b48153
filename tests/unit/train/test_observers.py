"""Observers add columns, and cannot break a run."""

from __future__ import annotations

import logging

from tonne.train.observers import Observers


class Recorder:
    def __init__(self, columns=None, *, fails=False):
        self.columns, self.fails, self.told = columns, fails, []

    def on_start(self, total_steps, tokens_per_step):
        self.told.append("start")

    def on_step(self, step, tokens, loss):
        self.told.append(step)
        if self.fails:
            raise RuntimeError("the sensor is gone")
        return self.columns

    def on_end(self, error):
        self.told.append("end")


def test_columns_of_all_come_together():
    observers = Observers([Recorder({"a": 1}), Recorder(None), Recorder({"b": 2.5})])
    assert observers.on_step(1, 10, 2.0) == {"a": 1.0, "b": 2.5}


def test_one_that_raises_is_reported_once_and_told_nothing_more(caplog):
    broken, other = Recorder(fails=True), Recorder({"a": 1})
    observers = Observers([broken, other])
    with caplog.at_level(logging.WARNING):
        observers.on_start(2, 10)
        assert observers.on_step(1, 10, 2.0) == {"a": 1.0}
        assert observers.on_step(2, 10, 2.0) == {"a": 1.0}
        observers.on_end(None)
    assert broken.told == ["start", 1]
    assert other.told == ["start", 1, 2, "end"]
    assert [record.getMessage() for record in caplog.records] == [
        "Recorder raised RuntimeError: the sensor is gone. It is told nothing more."
    ]


def test_wish_to_stop_survives_another_observer_that_does_not_wish():
    assert Observers([Recorder({"stop": 1}), Recorder({"stop": 0})]).on_step(1, 10, 2.0)["stop"] == 1


def test_column_that_is_no_number_is_the_observers_fault():
    odd = Recorder({"a": "much"})
    observers = Observers([odd])
    assert observers.on_step(1, 10, 2.0) == {}
    observers.on_end(None)
    assert odd.told == [1]


def test_numbers_that_json_has_not_are_left_out():
    assert Observers([Recorder({"a": float("nan"), "b": 1})]).on_step(1, 10, 2.0) == {"b": 1.0}
