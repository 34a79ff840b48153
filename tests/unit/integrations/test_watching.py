"""A run of a loop: its steps, parts and end, whatever the loop does."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import time

import pytest
from tests.unit.integrations.conftest import lines_of, measured_j, status_of

import tonne
from tonne.errors import MeasurementError
from tonne.integrations.loop import measured
from tonne.integrations.observer import MeterObserver
from tonne.integrations.watching import FAILED, Watch, columns_of

QUICK = {"interval_s": 0.05}
SITE = {"grid": "FR", "pue": 1.2}


def test_a_watched_loop_is_a_run_with_steps_parts_and_an_end():
    watch = Watch("watched", **QUICK)
    watch.begin(total_steps=3)
    watch.open_part("epoch")
    for step in (1, 2, 3):
        watch.step(step, tokens=10 * step)
    time.sleep(0.12)
    watch.close_part("epoch")
    watch.end()
    lines = lines_of(watch.meter.folder)
    progress = [line for line in lines if line.get("kind") == "progress"]
    assert (progress[-1]["step"], progress[-1]["total"], progress[-1]["tokens"]) == (3, 3, 30)
    assert watch.meter.windows()["epoch"][0] == 1
    assert status_of(watch.meter.folder) == "finished"


def test_a_run_that_was_never_ended_is_closed_as_failed_when_the_next_one_begins():
    watch = Watch("twice", **QUICK)
    watch.begin()
    watch.open_part("epoch")
    first = watch.meter.folder
    watch.begin()
    assert watch.meter.folder != first
    watch.end()
    assert (status_of(first), status_of(watch.meter.folder)) == ("failed", "finished")


def test_a_meter_that_the_caller_has_is_not_stopped():
    with tonne.track("mine", **QUICK) as meter:
        watch = Watch(meter=meter)
        watch.begin()
        watch.end(FAILED)
        assert status_of(meter.folder) == "running"
    assert status_of(meter.folder) == "finished"


def test_columns_are_energy_and_co2e_of_the_account():
    watch = Watch("columns", site=SITE, **QUICK)
    watch.begin()
    assert watch.columns() == {}  # none was made yet
    time.sleep(0.1)
    before = watch.account()
    columns = watch.columns(now=True)
    readings = len(measured_j(watch.meter.folder, 0.05))
    account = watch.account()
    watch.end()
    assert set(columns) == {"facility_kwh", "operational_location_kgco2e"}
    for name, parts in (("facility_kwh", "energy"), ("operational_location_kgco2e", "carbon")):
        least, most = (getattr(getattr(one, parts), name).value for one in (before, account))
        assert 0 < least < columns[name] < most
    sensed_j = 3.6e6 * account.energy.measured_kwh.value
    # Up to the reading that the account was made with, or one that the thread made just after.
    assert any(
        sensed_j == pytest.approx(so_far_j, rel=1e-3) for so_far_j in measured_j(watch.meter.folder, 0.05)[readings:]
    )


def test_columns_without_a_place_have_no_co2e():
    with tonne.track("nowhere", **QUICK) as meter:
        time.sleep(0.15)
    assert set(columns_of(meter.account())) == {"facility_kwh"}


def test_a_site_that_is_none_is_told_once_and_ends_no_training(caplog):
    watch = Watch("lost", site="Atlantis", **QUICK)
    with caplog.at_level(logging.WARNING):
        watch.begin()
        until = time.monotonic() + 60
        while "'Atlantis' is no place" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        assert set(watch.columns(now=True)) == {"facility_kwh"}  # no CO2e, but the energy is good
        watch.end()
    assert len([record.message for record in caplog.records if "'Atlantis' is no place" in record.message]) == 1
    assert status_of(watch.meter.folder) == "finished"


def test_an_account_before_any_run_says_so():
    with pytest.raises(MeasurementError, match="no run has begun yet"):
        Watch("never").account()


def test_a_watch_travels_to_another_process_without_what_runs_here():
    watch = Watch("travels", site="FR", **QUICK)
    watch.begin()
    there = pickle.loads(pickle.dumps(watch))
    watch.end()
    assert (there.meter, there.is_on) == (None, False)
    there.begin()
    there.end()
    assert there.meter.name == "travels"


def test_batches_of_a_loop_of_ones_own_are_steps():
    batches = measured([1, 2, 3], "own-loop", epochs=2, **QUICK)
    assert list(batches) == [1, 2, 3, 1, 2, 3]
    meter = batches.watch.meter
    progress = [line for line in lines_of(meter.folder) if line.get("kind") == "progress"]
    assert (progress[-1]["step"], progress[-1]["total"]) == (6, 6)
    assert meter.windows()["epoch"][0] == 2
    assert status_of(meter.folder) == "finished"


def test_batches_without_a_length_have_no_total():
    batches = measured((n for n in range(2)), "stream", **QUICK)
    assert list(batches) == [0, 1]
    progress = [line for line in lines_of(batches.watch.meter.folder) if line.get("kind") == "progress"]
    assert progress[-1]["total"] is None


def passed_on(batches):
    for batch in batches:  # as a progress bar does
        shown = batch
        yield shown


@pytest.mark.parametrize("wrapped", [iter, enumerate, passed_on])
def test_a_loop_that_breaks_has_finished(wrapped):
    batches = measured(range(9), "breaks", **QUICK)
    for _ in wrapped(batches):
        break
    assert status_of(batches.watch.meter.folder) == "finished"


@pytest.mark.parametrize("wrapped", [iter, enumerate, passed_on])
def test_a_loop_that_raises_has_failed_and_its_error_goes_on(wrapped):
    batches = measured(range(9), "raises", **QUICK)

    def train():
        for _ in wrapped(batches):
            raise FloatingPointError("loss is not finite")

    with pytest.raises(FloatingPointError):
        train()
    assert status_of(batches.watch.meter.folder) == "failed"


def test_a_loop_that_handles_its_own_error_has_failed_all_the_same():
    batches = measured(range(9), "handled", **QUICK)
    try:
        for batch in batches:
            1 / batch  # the first one is zero
    except ZeroDivisionError:
        pass
    assert status_of(batches.watch.meter.folder) == "failed"


def test_a_loop_left_by_return_has_finished():
    batches = measured(range(9), "returns", **QUICK)

    def first():
        for batch in batches:
            return batch
        return None

    assert first() == 0
    assert status_of(batches.watch.meter.folder) == "finished"


def test_a_loader_that_raises_has_failed():
    def loader():
        yield 1
        raise OSError("the shard is gone")

    batches = measured(loader(), "loader", **QUICK)
    with pytest.raises(OSError, match="the shard is gone"):
        list(batches)
    assert status_of(batches.watch.meter.folder) == "failed"


def test_the_observer_counts_tokens_and_ends_with_the_run():
    observer = MeterObserver("observed", **QUICK)
    observer.on_start(2, 512)
    assert observer.on_step(1, 512, 2.5) == {}
    observer.on_step(2, 512, 2.4)
    observer.on_end(None)
    meter = observer.watch.meter
    progress = [line for line in lines_of(meter.folder) if line.get("kind") == "progress"]
    assert (progress[-1]["step"], progress[-1]["total"], progress[-1]["tokens"]) == (2, 2, 1024)
    assert status_of(meter.folder) == "finished"


def test_the_observer_closes_a_run_that_failed_with_the_errors_name():
    observer = MeterObserver("fails", **QUICK)
    observer.on_start(None, None)
    observer.on_end(RuntimeError("out of memory"))
    lines = lines_of(observer.watch.meter.folder)
    assert [(line["status"], line["error"]) for line in lines if line.get("kind") == "leave"] == [
        ("failed", "RuntimeError")
    ]


def test_an_observer_on_a_rank_that_shows_nothing_makes_no_columns():
    observer = MeterObserver("silent", shows=False, **QUICK)
    observer.on_start(1, 1)
    assert observer.on_step(1, 1, 0.0) is None
    observer.on_end(None)


def test_importing_the_bridges_loads_none_of_the_libraries():
    code = (
        "import sys, tonne.integrations.transformers, tonne.integrations.lightning, tonne.integrations.keras\n"
        "heavy = ('transformers', 'lightning', 'pytorch_lightning', 'keras', 'torch', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bridge_without_its_library_says_what_to_install():
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "import tonne.integrations.transformers as bridge\n"
        "try: bridge.MeterCallback\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs transformers, which is not installed. Run: pip install transformers" in done.stdout


def test_another_name_of_a_bridge_is_an_attribute_error():
    import tonne.integrations.lightning as bridge

    with pytest.raises(AttributeError, match="There is: MeterCallback"):
        bridge.Callback  # noqa: B018  # the access is the test
