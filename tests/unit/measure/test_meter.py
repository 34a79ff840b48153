"""The meter: energy of a known power, windows, decorated calls, and what must never reach the user's program."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

import tonne
from tonne.errors import DescriptionError, MeasurementError
from tonne.measure import collector as collector_module
from tonne.measure.accounting import account_of
from tonne.measure.replay import measured
from tonne.measure.sensors.protocol import Reading
from tonne.measure.status import status_of

sys.path.insert(0, str(Path(__file__).parent))
from metered import (
    WATTS,
    Clocked,
    Constant,
    counted_s,
    finished,
    joules,
    opening,
    program,
    wait_for,
    wait_for_readings,
)

HEAVY = ("numpy", "pydantic", "typer", "rich", "torch", "pandas", "asyncio", "socket", "logging", "subprocess")

SLOW_NS = 10_000_000


def lines_of(folder: Path, name: str = "journal.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.mark.usefixtures("read_at_once")
def test_energy_of_a_constant_power_is_power_times_time(tmp_path):
    sensor = Constant()
    with tonne.track("constant", folder=tmp_path, interval_s=0.05, open_sensors=opening(sensor)) as meter:
        wait_for_readings(sensor, count=4)
    account = meter.account()
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=1e-3)
    assert account.energy.cpu_kwh.basis == "measured"


def test_two_packages_eight_accelerators_and_memory_are_added(tmp_path):
    boards = [Constant(f"accelerator:{i}", 300.0, f"nvml:{i}", "NVIDIA H100 80GB HBM3") for i in range(8)]
    packages = [Constant("cpu", 100.0, f"rapl:package-{i}") for i in range(2)]
    memory = Constant("memory", 20.0, "rapl:dram-0")
    with tonne.track("sum", folder=tmp_path, open_sensors=opening(*boards, *packages, memory)) as meter:
        wait_for_readings(memory)  # on a busy machine, sensors are opened late
    account = meter.account()
    lasted_s = account.duration_s.value
    assert joules(account.energy.accelerators_kwh) == pytest.approx(2400 * lasted_s, rel=2e-3)
    assert joules(account.energy.cpu_kwh) == pytest.approx(200 * lasted_s, rel=2e-3)
    assert joules(account.energy.memory_kwh) == pytest.approx(20 * lasted_s, rel=2e-3)
    sensors = enumerate([*boards, *packages, memory])
    measured_j = sum(sensor.watts * counted_s(tmp_path, i) for i, sensor in sensors)  # on a busy machine, not all of it
    assert joules(account.energy.measured_kwh) == pytest.approx(measured_j, rel=2e-3)
    assert account.accelerator_hours.value == pytest.approx(8 * lasted_s / 3600)


@pytest.mark.usefixtures("read_at_once")
def test_windows_may_overlap_and_are_added_by_name(tmp_path):
    meter = tonne.track("windows", folder=tmp_path, interval_s=0.05, open_sensors=opening()).start()
    clocked = {"inner": Clocked(), "outer": Clocked()}
    outer = clocked["outer"](meter.window("outer").open)
    for _ in range(3):
        inner = clocked["inner"](meter.window("inner").open)
        time.sleep(0.05)
        clocked["inner"](inner.close)
    clocked["outer"](outer.close)
    meter.stop()
    counts = meter.windows()
    assert counts["inner"][0] == 3
    assert counts["outer"][0] == 1
    for name in ("inner", "outer"):
        account = meter.account(window=name)
        assert account.duration_s.value == pytest.approx(counts[name][1])
        away_j = WATTS * (5e-3 * counts[name][1] + clocked[name].took_s)
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * counts[name][1], abs=away_j)


@pytest.mark.usefixtures("read_at_once")
def test_a_window_that_ends_while_the_thread_reads_ends_then_and_not_when_that_is_done(tmp_path):
    reads = threading.Event()

    class Slow(Constant):
        def read(self):
            reads.set()
            time.sleep(0.1)
            return super().read()

    sensor = Slow()
    with tonne.track("slow", folder=tmp_path, interval_s=0.4, open_sensors=opening(sensor)) as meter:
        wait_for_readings(sensor, count=3)
        with meter.window("first"):  # from then on, sums are kept for windows
            pass
        for _ in range(3):
            wait_for_readings(sensor, count=1)
            with meter.window("ends while it is read"):
                reads.clear()
                assert reads.wait(60)
        account = meter.account(window="ends while it is read")
    # Three windows of 0.3 s each; each would have had 0.1 s too much.
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.05)


@pytest.mark.usefixtures("read_at_once")
def test_an_unknown_window_and_an_unknown_view_name_those_that_are(tmp_path):
    with tonne.track("w", folder=tmp_path, open_sensors=opening()) as meter, meter.window("epoch"):
        pass
    with pytest.raises(MeasurementError, match=r"no window of the name 'epochs'.*There are: epoch"):
        meter.account(window="epochs")
    with pytest.raises(DescriptionError, match=r"view='mine' is none\. Use 'node', 'job' or 'others'"):
        meter.account("mine")


@pytest.mark.usefixtures("read_at_once")
def test_decorated_calls_are_counted_and_what_lies_between_is_not(tmp_path):
    inside, outside = Clocked(), Clocked()

    @tonne.track("calls", folder=tmp_path, interval_s=0.05, open_sensors=opening())
    def double(x: int) -> int:
        inside(time.sleep, 0.02)
        return 2 * x

    assert outside(double, 1) == 2
    time.sleep(0.2)
    assert outside(double, x=4) == 8
    account = double.meter.account()
    assert inside.took_s <= account.duration_s.value <= outside.took_s  # two calls, without the pause
    away_j = WATTS * (0.01 * account.duration_s.value + outside.took_s - inside.took_s)
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, abs=away_j)
    double.meter.stop()


def test_a_decorator_without_brackets_takes_the_functions_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.measure.meter._open_sensors", opening())

    @tonne.track
    def train() -> str:
        return "done"

    assert train() == "done"
    assert train.meter.name == "train"
    train.meter.stop()


@pytest.mark.usefixtures("read_at_once")
def test_a_coroutine_is_measured_until_it_is_done(tmp_path):
    @tonne.track("async", folder=tmp_path, open_sensors=opening())
    async def wait() -> str:
        await asyncio.sleep(0.05)
        return "done"

    assert asyncio.run(wait()) == "done"
    assert wait.meter.account().duration_s.value >= 0.05
    wait.meter.stop()


def test_an_exception_goes_on_and_the_run_has_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), tonne.track("fails", folder=tmp_path, open_sensors=opening()):
        1 / 0  # noqa: B018  # the error is the test
    assert status_of(str(tmp_path)) == "failed"
    assert lines_of(tmp_path)[-1]["error"] == "ZeroDivisionError"


def test_an_interrupt_by_the_user_has_stopped_the_run(tmp_path):
    with pytest.raises(KeyboardInterrupt), tonne.track("stopped", folder=tmp_path, open_sensors=opening()):
        raise KeyboardInterrupt
    assert status_of(str(tmp_path)) == "stopped"


def test_start_and_stop_may_be_called_twice_and_a_run_goes_on_after_a_pause(tmp_path):
    sensor, second = Constant(), Clocked()
    meter = tonne.track("pause", folder=tmp_path, interval_s=0.05, open_sensors=opening(sensor)).start()
    assert meter.start() is meter
    wait_for_readings(sensor)
    meter.stop()
    meter.stop()
    first_s = meter.account().duration_s.value
    time.sleep(0.2)
    second(meter.start)
    second(time.sleep, 0.05)
    second(meter.stop)
    account = meter.account()
    assert first_s + 0.05 <= account.duration_s.value <= first_s + second.took_s  # the pause is not in it
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=5e-3)


def test_an_account_before_the_start_says_what_to_do():
    with pytest.raises(MeasurementError, match=r"'early' has not been measured\. Call start\(\)"):
        tonne.track("early").account()


@pytest.mark.usefixtures("read_at_once")
def test_without_a_place_there_is_energy_alone(tmp_path):
    with tonne.track("nowhere", folder=tmp_path, open_sensors=opening()) as meter:
        time.sleep(0.01)
    account = meter.account()
    assert account.carbon.operational_location_kgco2e is None
    assert account.energy.facility_kwh is not None
    assert any("no place given" in note for note in account.notes)


def test_a_place_gives_carbon_by_its_factor_and_pue(tmp_path):
    site = {"grid_gco2e_per_kwh": 50.0, "pue": 1.2, "usd_per_kwh": 0.1}
    sensor = Constant("node")
    sensor.error_fraction = 0.01
    with tonne.track("placed", site=site, folder=tmp_path, open_sensors=opening(sensor)) as meter:
        wait_for_readings(sensor)
    account = meter.account()
    kwh = WATTS * account.duration_s.value / 3.6e6
    assert account.energy.it_kwh.value == pytest.approx(kwh, rel=5e-3)
    assert account.energy.facility_kwh.value == pytest.approx(1.2 * kwh, rel=5e-3)
    assert account.carbon.operational_location_kgco2e.value == pytest.approx(1.2 * kwh * 0.05, rel=5e-3)
    assert set(account.uncertainty) <= {  # as a forecast names them: reports and comparisons look them up by these
        "energy.it_kwh", "energy.facility_kwh", "carbon.operational_location_kgco2e",
        "carbon.operational_market_kgco2e", "carbon.embodied_kgco2e", "water_l", "water_on_site_l", "water_off_site_l",
        "cost_usd", "energy_cost_usd",
    }  # fmt: skip
    assert set(account.uncertainty["energy.facility_kwh"]) == {"servers_kwh"}  # the PUE was given
    assert account.energy_cost_usd.value == pytest.approx(1.2 * kwh * 0.1, rel=5e-3)
    assert account.energy.coverage == pytest.approx(counted_s(tmp_path) / account.duration_s.value, abs=5e-3)


def test_the_journal_names_neither_machine_nor_arguments(tmp_path):
    with tonne.track("private", folder=tmp_path, open_sensors=opening()):
        pass
    text = (tmp_path / "journal.jsonl").read_text()
    assert os.uname().nodename not in text
    assert not any(argument in text for argument in sys.argv[1:] if len(argument) > 3)


def test_drivers_that_fail_leave_a_run_without_sensors(tmp_path, caplog):
    def fails():
        raise OSError("the driver is broken")

    with caplog.at_level(logging.WARNING), tonne.track("broken", folder=tmp_path, open_sensors=fails) as meter:
        wait_for(lambda: "the driver is broken" in caplog.text)
    account = meter.account()
    assert account.energy.measured_kwh.value == 0.0
    assert account.energy.cpu_kwh.value > 0.0  # a model, never a bare zero
    assert account.energy.cpu_kwh.basis != "measured"


def test_a_sensor_that_raises_is_reported_once_and_the_program_goes_on(tmp_path, caplog):
    sensor = Constant()
    with caplog.at_level(logging.WARNING):
        meter = tonne.track("raises", folder=tmp_path, interval_s=0.01, open_sensors=opening(sensor)).start()
        sensor.instead = ValueError("bad number")
        wait_for(lambda: "bad number" in caplog.text)
        with meter.window("w"):
            pass
        meter.stop()
    assert len([r for r in caplog.records if "goes on with a gap" in r.message]) <= 1


def test_a_reading_that_is_no_number_is_a_marked_gap_and_never_in_the_total(tmp_path):
    sensor = Constant()
    meter = tonne.track("nan", folder=tmp_path, interval_s=0.02, open_sensors=opening(sensor)).start()
    for instead in (None, float("nan"), None):
        sensor.instead = instead
        wait_for_readings(sensor, count=4)
    meter.stop()
    account = meter.account()
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
    assert "NaN" not in (tmp_path / "journal.jsonl").read_text()


def test_a_driver_that_hangs_holds_up_neither_start_nor_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(collector_module, "PATIENCE_S", 0.05)

    def hangs():
        time.sleep(30)
        return [], []

    begun = time.process_time()
    meter = tonne.track("hangs", folder=tmp_path, open_sensors=hangs).start()
    meter.stop()
    assert time.process_time() - begun < 5
    assert status_of(str(tmp_path)) == "finished"
    assert meter.account().energy.cpu_kwh.basis != "measured"


def test_a_sensor_that_hangs_while_it_is_read_holds_up_nothing(tmp_path):
    class Hangs(Constant):
        def read(self):
            never.wait(20)
            return super().read()

    never = threading.Event()
    meter = tonne.track("hangs", folder=tmp_path, open_sensors=opening(Hangs())).start()
    with meter.window("w"):
        pass
    meter.flush()
    meter.stop()
    assert not never.is_set()  # all of it returned although the driver never did
    account = meter.account()
    never.set()
    assert account.energy.cpu_kwh.basis != "measured"
    assert measured(str(tmp_path)).windows == {"w": 1}


@pytest.mark.usefixtures("read_at_once")
def test_a_run_ends_when_stop_is_called_and_not_when_a_slow_sensor_has_been_read(tmp_path):
    class Late(Constant):
        """It takes 0.1 s to read, and from then on the part draws ten times as much."""

        late_from_ns = 0

        def read(self):
            if self.late_from_ns:
                time.sleep(0.1)
            read = super().read()
            more_j = 9 * self.watts * (read.time_ns - (self.late_from_ns or read.time_ns)) / 1e9
            return Reading(read.time_ns, read.value + more_j)

    sensor = Late()
    meter = tonne.track("late", folder=tmp_path, interval_s=0.05, open_sensors=opening(sensor)).start()
    time.sleep(0.4)
    sensor.late_from_ns = called_ns = time.monotonic_ns()
    meter.stop()
    lines = lines_of(tmp_path)
    begun_ns, ended_ns = (next(line["t"] for line in lines if line.get("kind") == kind) for kind in ("start", "leave"))
    account = meter.account()
    assert account.duration_s.value == pytest.approx((ended_ns - begun_ns) / 1e9)
    # of the step in which it ended, as much as goes by time
    read = [(line["t"] + 1000 * line["o"][0], line["v"][0]) for line in lines if "v" in line]
    before, after = next((a, b) for a, b in pairwise(read) if a[0] <= ended_ns < b[0])
    assert called_ns <= ended_ns <= after[0] - 100_000_000
    step_j = (after[1] - before[1]) * (ended_ns - before[0]) / (after[0] - before[0])
    expected_j = WATTS * (before[0] - begun_ns) / 1e9 + step_j
    assert joules(account.energy.cpu_kwh) == pytest.approx(expected_j, rel=1e-3)


@pytest.mark.usefixtures("read_at_once")
def test_a_window_ends_when_it_ends_and_not_when_a_slow_sensor_has_been_read(tmp_path):
    class Late(Constant):
        late_s = 0.0

        def read(self):
            time.sleep(self.late_s)
            return super().read()

    sensor = Late()
    meter = tonne.track("late", folder=tmp_path, interval_s=10.0, open_sensors=opening(sensor)).start()
    wait_for_readings(sensor, count=2)
    for late_s in (0.0, 0.1):
        window = meter.window(f"{late_s}").open()
        time.sleep(0.2)
        sensor.late_s = late_s
        window.close()
        sensor.late_s = 0.0
    meter.stop()
    for name, (_, lasted_s) in meter.windows().items():
        assert joules(meter.account(window=name).energy.cpu_kwh) == pytest.approx(WATTS * lasted_s, rel=1e-3), name


def test_a_folder_that_cannot_be_made_keeps_the_account_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        sensor, folder = Constant(), tmp_path / "file" / "run"
        meter = tonne.track("memory", folder=folder, interval_s=0.05, open_sensors=opening(sensor)).start()
        wait_for_readings(sensor)
        meter.stop()
    account = meter.account()
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=5e-3)
    assert caplog.text.count("its account stays in memory") == 1


def test_a_disk_that_fills_up_loses_nothing_of_the_account(tmp_path, monkeypatch):
    real, full = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        if full and len(data) > 3:
            if full == ["once"]:
                full.append("since")
                return real(descriptor, data[:3])  # a part of a line still fits
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    sensor = Constant()
    meter = tonne.track("full", folder=tmp_path, interval_s=0.05, open_sensors=opening(sensor)).start()
    wait_for_readings(sensor)
    full.append("once")
    wait_for_readings(sensor, count=4)
    during = meter.account()
    full.clear()
    wait_for_readings(sensor)
    meter.stop()
    after = meter.account()
    assert joules(during.energy.cpu_kwh) == pytest.approx(WATTS * during.duration_s.value, rel=5e-3)
    assert joules(after.energy.cpu_kwh) == pytest.approx(WATTS * after.duration_s.value, rel=5e-3)
    assert status_of(str(tmp_path)) == "finished"


LIGHT = f"""
import sys
sockets = []
sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith("socket.") else None)
import tonne
meter = tonne.track("light", folder=sys.argv[1])
meter.start()
with meter.window("w"):
    pass
meter.progress(1, 10)
meter.flush()
meter.stop()
print([name for name in {HEAVY!r} if name in sys.modules], sockets)
"""


def test_up_to_the_last_sample_nothing_heavy_is_loaded_and_no_socket_is_opened(tmp_path):
    assert finished(program(LIGHT, str(tmp_path))).strip() == "[] []"


def test_a_place_that_is_none_is_told_while_the_run_goes_on(tmp_path, caplog):
    with tonne.track("x", site="Frnce", interval_s=0.02, folder=tmp_path, open_sensors=opening()) as meter:
        end = time.monotonic() + 20.0
        while not caplog.text and time.monotonic() < end:
            time.sleep(0.02)
    assert "site='Frnce' is no place that is known" in caplog.text
    assert f"tonne runs show {meter.run_id} --site ZONE" in caplog.text
    assert len(caplog.records) == 1  # once
    assert account_of(measured(str(tmp_path)), site="FR").carbon.operational_location_kgco2e is not None


def test_a_second_run_in_one_process_is_a_run_of_its_own(tmp_path):
    ids = set()
    for _ in range(3):
        with tonne.track("again", open_sensors=opening()) as meter:
            pass
        ids.add(meter.run_id)
    assert len(ids) == 3


def test_a_folder_whose_run_finished_is_not_added_to(tmp_path):
    for _ in range(2):
        took = Clocked()
        meter = tonne.track("same", folder=tmp_path, open_sensors=opening())
        took(meter.start)
        took(time.sleep, 0.05)
        took(meter.stop)
    assert 0.05 <= meter.account().duration_s.value <= took.took_s  # the second one's alone
    assert meter.folder != str(tmp_path)


@pytest.mark.usefixtures("read_at_once")
def test_a_site_file_is_kept_as_what_was_in_it(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("[site]\ngrid_gco2e_per_kwh = 100.0\npue = 1.5\n")
    with tonne.track("placed", site=str(file), folder=tmp_path / "run", open_sensors=opening()) as meter:
        time.sleep(0.05)
    file.unlink()
    site = measured(str(tmp_path / "run")).site
    assert site == {"grid_gco2e_per_kwh": 100.0, "pue": 1.5}
    account = account_of(measured(meter.folder))
    carbon = account.carbon.operational_location_kgco2e.value
    assert carbon == pytest.approx(account.energy.it_kwh.value * 1.5 * 0.1)


def test_runs_of_long_names_do_not_share_a_lock(tmp_path):
    name = "a-name-that-is-much-longer-than-any-folder-should-have"
    sensors = [Constant(), Constant()]
    meters = [tonne.track(name, open_sensors=opening(sensor)).start() for sensor in sensors]
    wait_for_readings(*sensors)
    for meter in meters:
        meter.stop()
        assert joules(meter.account().energy.cpu_kwh) > 0
        assert meter.account().energy.measured_kwh.value > 0


@pytest.mark.usefixtures("read_at_once")
def test_a_run_begins_when_start_returns_and_not_when_its_drivers_were_read_first(tmp_path):
    class Slow(Constant):
        """Of the time that start() waits for the first reading it takes some."""

        def read(self):
            time.sleep(0 if self.reads else SLOW_NS / 1e9)
            return super().read()

    called_ns = time.monotonic_ns()
    meter = tonne.track("r", folder=tmp_path, interval_s=0.05, open_sensors=opening(Slow())).start()
    returned_ns = time.monotonic_ns()
    with meter.window("early"):
        time.sleep(0.15)
    meter.stop()
    lines = lines_of(tmp_path)
    begun_ns = next(line["t"] for line in lines if line.get("kind") == "start")
    ended_ns = next(line["t"] for line in lines if line.get("kind") == "leave")
    assert called_ns + SLOW_NS < begun_ns <= returned_ns
    for account in (meter.account(), meter.account(window="early")):
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=1e-3)
    assert meter.account().duration_s.value == pytest.approx((ended_ns - begun_ns) / 1e9, abs=1e-3)
