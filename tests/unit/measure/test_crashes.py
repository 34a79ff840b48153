"""Runs that end badly: killed, terminated, raised, forked. The journal is readable, and the program was not harmed."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

import tonne
from tonne.errors import MeasurementError
from tonne.measure import journal, status
from tonne.measure.accounting import account_of
from tonne.measure.journal import Journal
from tonne.measure.recover import known_runs, listed, recover, run_named
from tonne.measure.replay import measured
from tonne.measure.status import status_of

sys.path.insert(0, str(Path(__file__).parent))
from metered import WATTS, Clocked, Constant, finished, joules, opening, program, wait_for_readings

INTERVAL_S = 0.05
VICTIM = """
import sys, time, tonne
from metered import Constant, opening, wait_for_readings
sensor = Constant()
meter = tonne.track("victim", interval_s=0.05, folder=sys.argv[1], open_sensors=opening(sensor)).start()
if len(sys.argv) > 3:
    wait_for_readings(sensor, count=int(sys.argv[3]))
print("started", flush=True)
sys.stdin.readline()
if sys.argv[2] == "raise":
    raise RuntimeError("boom")
time.sleep(60)
"""


def victim(folder: Path, how: str, after_s: float, readings: int | None = None) -> float:
    """Start a run, end it so after that time; how long it went on at most, by the clock that does not jump [s].

    ``readings`` are waited for first, however late they come on a busy machine.
    """
    process = program(VICTIM, str(folder), how, *([] if readings is None else [str(readings)]))
    assert process.stdout.readline() == "started\n"
    begun = time.monotonic()
    time.sleep(after_s)
    if how == "raise":
        process.stdin.write("\n")
        process.stdin.flush()
    else:
        process.send_signal(getattr(signal, how))
    ended = time.monotonic()
    process.communicate(timeout=60)
    return ended - begun


def every_line_is_whole(folder: Path) -> bool:
    """All but a last line that was cut."""
    return all(
        journal.parsed(text.encode()) is not None
        for path in folder.glob("journal*.jsonl")
        for text in path.read_text().split("\n")[:-1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "raise"])
def test_a_run_that_ends_badly_loses_at_most_an_interval(how, tmp_path):
    instants = random.Random(20261127)
    for i in range(3):
        folder = tmp_path / str(i)
        lasted_s = victim(folder, how, 0.2 + 0.3 * instants.random(), readings=2)
        account = account_of(measured(str(folder)))
        assert every_line_is_whole(folder)
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
        # the thread may come late on a machine that is busy: ten intervals say that no more than a tick was lost
        assert account.duration_s.value >= lasted_s - 10 * INTERVAL_S
        assert status_of(str(folder)) == ("failed" if how == "raise" else "interrupted")


@pytest.mark.slow
def test_two_hundred_random_instants_leave_no_unreadable_file(tmp_path):
    instants = random.Random(8)
    for i in range(200):
        how = instants.choice(["SIGKILL", "SIGTERM", "raise"])
        victim(tmp_path / str(i), how, 0.15 * instants.random())
        assert every_line_is_whole(tmp_path / str(i))
        whole = measured(str(tmp_path / str(i)))
        assert whole.status in {"failed", "interrupted"}
        account_of(whole)


def test_a_run_that_was_killed_is_listed_and_recovered():
    folder = Path(os.environ["TONNE_HOME"]) / "runs" / "victim"
    victim(folder, "SIGKILL", 0.0, readings=4)
    (found,) = known_runs()
    assert (found.name, found.status) == ("victim", "interrupted")
    assert recover(found.folder)
    (found,) = known_runs()
    assert found.status == "recovered"
    assert not recover(found.folder)
    before = account_of(measured(found.folder))
    assert joules(before.energy.cpu_kwh) == pytest.approx(WATTS * before.duration_s.value, rel=0.01)


def test_a_torn_last_line_is_passed_over_and_recovery_begins_a_new_one(tmp_path):
    victim(tmp_path, "SIGKILL", 0.0, readings=2)
    path = tmp_path / "journal.jsonl"
    whole = path.read_text().rsplit("\n", 1)[0] + "\n"
    path.write_text(whole + '{"t": 123, "v": [1')
    assert status_of(str(tmp_path)) == "interrupted"
    assert recover(str(tmp_path))
    assert path.read_text().startswith(whole + '{"t": 123, "v": [1\n{"kind":"recovered"')
    assert status_of(str(tmp_path)) == "recovered"


def test_a_job_that_was_cut_off_goes_on_as_the_same_run(tmp_path):
    victim(tmp_path, "SIGKILL", 0.0, readings=4)
    run, first = measured(str(tmp_path)).run, account_of(measured(str(tmp_path)))
    sensor, took = Constant(), Clocked()
    meter = tonne.track("victim", folder=tmp_path, interval_s=INTERVAL_S, open_sensors=opening(sensor))
    took(meter.start)
    took(wait_for_readings, sensor)
    took(time.sleep, 0.1)
    took(meter.stop)
    account = meter.account()
    assert meter.run_id == run
    assert status_of(str(tmp_path)) == "finished"
    assert 0.1 <= account.duration_s.value - first.duration_s.value <= took.took_s
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)


def test_another_run_does_not_take_the_place_of_one_that_was_cut_off(tmp_path):
    victim(tmp_path, "SIGKILL", 0.1)
    with tonne.track("another", folder=tmp_path, open_sensors=opening()) as meter:
        pass
    assert meter.folder == str(tmp_path / meter.run_id)
    assert status_of(str(tmp_path)) == "interrupted"


def test_a_run_is_found_by_its_id_its_beginning_its_name_or_its_folder():
    with tonne.track("first", open_sensors=opening()) as meter:
        pass
    for text in (meter.run_id, meter.run_id[:-2], "first", meter.folder):
        assert run_named(text).id == meter.run_id
    with pytest.raises(MeasurementError, match=r"no run 'second' is known\. The newest are: .*first"):
        run_named("second")
    assert listed(os.environ["TONNE_HOME"]) is None


def test_lines_that_a_full_disk_refused_are_written_once_it_takes_them(tmp_path, monkeypatch):
    book = Journal(str(tmp_path), "stamp")
    book.add({"a": 1})
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    book.add({"b": 2})
    assert book.kept == [{"b": 2}]
    monkeypatch.undo()
    book.add({"c": 3})
    assert list(journal.lines(str(tmp_path / "journal.jsonl"))) == [{"a": 1}, {"b": 2}, {"c": 3}]
    book.close()


def test_memory_does_not_grow_for_ever_while_the_disk_refuses(tmp_path):
    (tmp_path / "file").write_text("in the way")
    book = Journal(str(tmp_path / "file"), "stamp")
    book.add({"kind": "run"})
    for t in range(journal.MOST_KEPT * 2):
        book.kept.append({"t": t})
        if t % 5000 == 0:
            book.add({"t": t})
    assert len(book.kept) <= journal.MOST_KEPT + 5001
    assert book.kept[0] == {"kind": "run"}
    assert book.kept[-1]["t"] == journal.MOST_KEPT * 2 - 1


def test_two_writers_of_one_folder_never_meet(tmp_path):
    one, other = Journal(str(tmp_path), "one"), Journal(str(tmp_path), "other")
    one.add({"n": 1})
    other.add({"n": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal-other.jsonl", "journal.jsonl"]
    one.close()
    other.close()


DAEMON = """
import os, sys, time, tonne
from metered import opening
meter = tonne.track("daemon", interval_s=0.05, folder=sys.argv[1], open_sensors=opening()).start()
time.sleep(0.2)
os.closerange(3, 200)
files = [os.open(f"{sys.argv[2]}/{n}", os.O_RDWR | os.O_CREAT) for n in range(8)]
for file in files:
    os.write(file, b"theirs")
time.sleep(0.5)
meter.stop()
for file in files:
    os.fstat(file)  # raises where the meter closed it
"""


def test_a_program_that_closes_every_descriptor_keeps_its_next_files_to_itself(tmp_path):
    folder, own = tmp_path / "run", tmp_path / "own"
    own.mkdir()
    process = program(DAEMON, str(folder), str(own))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert {file.read_bytes() for file in own.iterdir()} == {b"theirs"}
    assert every_line_is_whole(folder)
    run = measured(str(folder))
    assert run.status == "finished"
    assert run.lasted_s > 0.6


FORKS = """
import os, sys, time, tonne
from metered import Constant, opening, wait_for_readings
sensor = Constant()
meter = tonne.track("forks", interval_s=0.002, folder=sys.argv[1], open_sensors=opening(sensor)).start()
for i in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        if i % 2:
            with meter.window("in a child"):
                pass
        meter.stop()
        os._exit(0)
    end = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            print("hangs", flush=True)
            sys.exit(1)
        time.sleep(0.001)
wait_for_readings(sensor)
meter.stop()
"""


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_forks_after_the_start_neither_hang_nor_count_twice(count, tmp_path):
    finished(program(FORKS, str(tmp_path), str(count)))
    account = account_of(measured(str(tmp_path)))
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
    assert status_of(str(tmp_path)) == "finished"


def test_a_program_that_ends_without_stop_is_closed_at_its_end(tmp_path):
    code = "import sys, tonne\nfrom metered import opening\n" + (
        "tonne.track('open', folder=sys.argv[1], open_sensors=opening()).start()"
    )
    finished(program(code, str(tmp_path)))
    assert status_of(str(tmp_path)) == "finished"
    last = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "leave"


def test_nothing_of_the_meter_outlives_the_program(tmp_path):
    code = VICTIM.replace("sys.stdin.readline()", "import os; print(os.getpid(), flush=True)")
    process = program(code, str(tmp_path), "raise")
    process.communicate(timeout=60)
    assert process.returncode == 1  # its own error, its own exit status
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_jump_of_the_wall_clock_does_not_matter(tmp_path, monkeypatch):
    sensor, took = Constant(), Clocked()
    meter = tonne.track("clock", folder=tmp_path, interval_s=INTERVAL_S, open_sensors=opening(sensor))
    took(meter.start)
    took(wait_for_readings, sensor)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600.0)
    took(wait_for_readings, sensor)
    took(meter.stop)
    account = meter.account()
    assert account.duration_s.value <= took.took_s
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)


@pytest.mark.parametrize("last", ["x", "x" * 100_000])
def test_the_end_of_a_long_file_is_its_last_lines(tmp_path, last):
    path = tmp_path / "journal.jsonl"
    book = journal.Journal(str(tmp_path), "s")
    book.add(*({"t": n} for n in range(5000)), {"kind": last})
    assert status.tail(str(path))[-1] == {"kind": last}
    assert status.tail(str(path), 100)[-1] == {"kind": last}


IN_A_WINDOW = """
import sys, time, tonne
from metered import opening
meter = tonne.track("victim", interval_s=0.05, folder=sys.argv[1], open_sensors=opening()).start()
for _ in range(2):
    with meter.window("epoch"):
        time.sleep(0.3)
window = meter.window("epoch").open()
if sys.argv[2] == "paused":
    time.sleep(0.3)
    meter.stop()
    meter.start()
begun = time.monotonic()
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["straight", "paused"])
def test_a_window_that_is_open_when_the_run_is_killed_counts_up_to_then(how, tmp_path):
    process = program(IN_A_WINDOW, str(tmp_path), how)
    assert process.stdout.readline() == "open\n"
    time.sleep(0.6)
    process.kill()
    process.communicate(timeout=60)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    last_ns = max(line["t"] for line in lines if "v" in line)
    name, begun_ns, is_new = next(line for line in reversed(lines) if line.get("kind") == "open")["windows"][0]
    assert (name, is_new) == ("epoch", how == "straight")
    ended_s = [line for line in lines if line.get("kind") == "windows"][-1]["windows"]["epoch"][1]
    for _ in range(2):
        use = measured(str(tmp_path), window="epoch")
        assert use.windows == {"epoch": 3}
        account = account_of(use)
        lasted_s = ended_s + (last_ns - begun_ns) / 1e9
        assert account.duration_s.value == pytest.approx(lasted_s, abs=2e-3)
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * lasted_s, rel=0.01)
        recover(str(tmp_path))  # changes nothing of it


def test_windows_that_are_open_while_the_run_goes_on_are_not_counted_before_they_end(tmp_path):
    meter = tonne.track("r", interval_s=0.02, folder=tmp_path, open_sensors=opening()).start()
    with meter.window("epoch"):
        time.sleep(0.2)
        with pytest.raises(MeasurementError, match="no window of the name 'epoch' has ended"):
            meter.account(window="epoch")
    meter.stop()
    assert measured(str(tmp_path)).windows == {"epoch": 1}
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    told = [line["windows"] for line in lines if line.get("kind") == "open"]
    assert [len(one) for one in told] == [1, 0]


def test_a_run_that_went_on_later_is_listed_without_the_time_between(tmp_path):
    """10 s on the first day, of which the second process saw the last 4 s and 2 s more; 5 s a day later."""
    second = 1_000_000_000
    for name, begun_s, lasted_s in (("journal", 1000, 10), ("journal-b", 1006, 6), ("journal-c", 87_400, 5)):
        header = {"kind": "run", "run": "one", "name": "n", "unix_s": begun_s, "t": 7 * second, "node": "x", "pid": 1}
        ended = [{"t": (7 + lasted_s) * second}, {"kind": "leave", "status": "finished", "t": (7 + lasted_s) * second}]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [header, *ended]))
    found = listed(str(tmp_path))
    assert (found.status, found.begun_unix_s, found.ended_unix_s) == ("finished", 1000.0, 87_405.0)
    assert found.duration_s == 12 + 5
