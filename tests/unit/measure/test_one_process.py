"""Several meters, windows and functions of one process: each is told by itself, and nothing twice."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import time
from pathlib import Path

import pytest

import tonne
from tonne.errors import DescriptionError
from tonne.measure.accounting import account_of
from tonne.measure.journal import Journal, lines
from tonne.measure.replay import measured
from tonne.measure.windows import main_window

sys.path.insert(0, str(Path(__file__).parent))
from metered import WATTS, Clocked, finished, joules, opening, program

pytestmark = pytest.mark.usefixtures("read_at_once")


def meter_of(name: str, **options):
    return tonne.track(name, interval_s=0.05, open_sensors=opening(), **options)


@pytest.fixture
def given(monkeypatch, tmp_path) -> Path:
    """The folder of a run that somebody outside has begun, as `tonne run` does."""
    monkeypatch.setenv("TONNE_RUN", "given")
    monkeypatch.setenv("TONNE_RUN_FOLDER", str(tmp_path / "given"))
    return tmp_path / "given"


def took(meter, window: str) -> tuple[float, float]:
    """Time [s] and energy [J] of a window."""
    account = meter.account(window=window)
    return account.duration_s.value, joules(account.energy.cpu_kwh)


def test_a_meter_within_another_of_one_run_is_a_part_of_it(given):
    outer, inner = meter_of("outer"), meter_of("inner")
    clocked = {"outer": Clocked(), "inner": Clocked()}
    clocked["outer"](outer.start)
    clocked["inner"](inner.start)
    time.sleep(0.2)
    clocked["inner"](inner.stop)
    time.sleep(0.4)
    clocked["outer"](outer.stop)
    assert [path.name for path in given.iterdir()] == ["journal.jsonl"]
    assert outer.account().duration_s.value == pytest.approx(inner.account().duration_s.value)
    for name, least_s in (("outer", 0.6), ("inner", 0.2)):
        lasted_s, energy_j = took(outer, name)
        assert lasted_s >= least_s
        assert energy_j == pytest.approx(WATTS * lasted_s, abs=WATTS * (0.01 * lasted_s + clocked[name].took_s))


def test_meters_of_one_run_that_overlap_end_by_themselves(given):
    first, second = meter_of("first").start(), meter_of("second").start()
    first.stop()
    time.sleep(0.3)
    second.stop()
    assert took(second, "second")[0] >= 0.3
    assert second.account().duration_s.value >= 0.3
    kinds = [line.get("kind") for line in lines(str(given / "journal.jsonl"))]
    assert (kinds.count("start"), kinds.count("leave"), kinds[-1]) == (1, 1, "leave")


def test_parts_of_a_run_that_follow_one_another_are_added_up(given):
    clocked = Clocked()
    for _ in range(3):
        fold = meter_of("fold")
        clocked(fold.start)
        time.sleep(0.1)
        clocked(fold.stop)
    lasted_s, energy_j = took(fold, "fold")
    assert lasted_s >= 0.3
    assert energy_j == pytest.approx(WATTS * lasted_s, abs=WATTS * (0.01 * lasted_s + clocked.took_s))
    assert measured(str(given)).windows["fold"] == 3


def test_two_functions_in_a_run_have_an_account_each(given):
    short, long = (meter_of(name)(time.sleep) for name in ("short", "long"))
    short(0.1)
    long(0.3)
    short(0.1)
    lasted = [one.meter.account().duration_s.value for one in (short, long)]
    assert lasted[0] >= 0.2
    assert lasted[1] >= 0.3
    assert lasted[0] != lasted[1]
    assert measured(str(given)).windows == {"short": 2, "long": 1}
    assert main_window(str(given)) is None  # the run is the command, not the calls


CUT = """
import os, signal, sys, time, tonne
from metered import Constant, opening, wait_for_readings

sensor = Constant()

@tonne.track("main", interval_s=0.05, folder=sys.argv[1], open_sensors=opening(sensor))
def main():
    wait_for_readings(sensor, count=4)
    os.kill(os.getpid(), signal.SIGKILL)

main()
"""


def test_a_function_that_is_killed_in_its_first_call_keeps_its_account(tmp_path):
    program(CUT, str(tmp_path)).communicate(timeout=60)
    account = account_of(measured(str(tmp_path), window=main_window(str(tmp_path))))
    assert account.duration_s.value > 0.1
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)


def test_meters_leave_no_file_open():
    code = (
        "import os, threading, time, tonne\nfrom metered import opening\n"
        "def meters(count):\n"
        "    for _ in range(count):\n"
        "        with tonne.track('x', interval_s=0.05, open_sensors=opening()):\n"
        "            pass\n"
        "    while threading.active_count() > 1:\n"
        "        time.sleep(0.01)\n"
        "    return len(os.listdir('/proc/self/fd'))\n"
        "print(meters(1), meters(10))"
    )
    once, often = finished(program(code)).split()
    assert once == often


def test_a_window_stands_still_while_the_run_does(tmp_path):
    meter, clocked = meter_of("paused", folder=tmp_path).start(), Clocked()
    time.sleep(0.3)
    begun = time.monotonic()
    window = clocked(meter.window("open").open)
    time.sleep(0.3)
    clocked(meter.stop)
    time.sleep(0.3)
    clocked(meter.start)
    time.sleep(0.1)
    clocked(window.close)
    most_s = time.monotonic() - begun - 0.3
    clocked(meter.window("left").open)
    time.sleep(0.2)
    clocked(meter.stop)
    for name, least_s in (("open", 0.4), ("left", 0.2)):
        lasted_s, energy_j = took(meter, name)
        assert lasted_s >= least_s
        assert energy_j == pytest.approx(WATTS * lasted_s, abs=WATTS * (0.01 * lasted_s + clocked.took_s))
        assert meter.windows()[name][0] == 1
    assert took(meter, "open")[0] <= most_s


def test_one_window_may_be_open_twice(tmp_path):
    with meter_of("twice", folder=tmp_path) as meter:
        window = meter.window("recurs")
        with window:
            with window:
                time.sleep(0.1)
            time.sleep(0.1)
    count, lasted_s = meter.windows()["recurs"]
    assert count == 2
    assert lasted_s >= 0.3


def test_windows_of_many_threads_are_all_counted(tmp_path):
    def work():
        for _ in range(300):
            with meter.window("step"):
                pass

    with meter_of("threads", folder=tmp_path) as meter:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert meter.windows()["step"][0] == 2400
    assert measured(str(tmp_path)).windows["step"] == 2400


def test_a_generator_is_measured_until_it_is_done(tmp_path):
    @meter_of("count", folder=tmp_path)
    def count(to: int):
        for i in range(to):
            time.sleep(0.1)
            got = yield i
            assert got == "sent"
        return "end"

    steps, clocked = count(3), Clocked()
    assert [clocked(next, steps), clocked(steps.send, "sent"), clocked(steps.send, "sent")] == [0, 1, 2]
    with pytest.raises(StopIteration, match="end"):
        clocked(steps.send, "sent")
    account = count.meter.account()
    lasted_s = account.duration_s.value
    assert lasted_s >= 0.3
    away_j = WATTS * (0.01 * lasted_s + clocked.took_s - 0.3)  # three sleeps of it are no way to or from a sensor
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * lasted_s, abs=away_j)


def test_an_asynchronous_generator_is_measured_and_gets_what_is_sent_and_thrown(tmp_path):
    seen = []

    @meter_of("ticks", folder=tmp_path)
    async def ticks():
        try:
            for i in range(9):
                await asyncio.sleep(0.1)
                try:
                    seen.append((yield i))
                except KeyError:
                    seen.append("thrown")
        finally:
            seen.append("closed")

    async def use():
        one = ticks()
        got = [await anext(one), await one.asend("sent"), await one.athrow(KeyError())]
        await one.aclose()
        return got + [i async for i in ticks() if i > 6]

    assert asyncio.run(use()) == [0, 1, 2, 7, 8]
    assert seen[:3] == ["sent", "thrown", "closed"]
    assert ticks.meter.account().duration_s.value >= 1.2


def test_whatever_can_be_called_can_be_measured(tmp_path):
    class Adder:
        def __call__(self, a, b):
            return a + b

    class Holder:
        @tonne.track
        @staticmethod
        def double(a):
            return 2 * a

        @tonne.track
        @classmethod
        def name(cls):
            return cls.__name__

    async def later(a):
        await asyncio.sleep(0.1)
        return a

    assert meter_of("built in", folder=tmp_path / "a")(max)(1, 2) == 2
    assert meter_of("partial", folder=tmp_path / "b")(functools.partial(max, 5))(2) == 5
    assert meter_of("object", folder=tmp_path / "c")(Adder())(1, 2) == 3
    assert (Holder.double(3), Holder().double(4), Holder.name()) == (6, 8, "Holder")
    awaited = meter_of("awaited", folder=tmp_path / "d")(functools.partial(later, 7))
    assert asyncio.run(awaited()) == 7
    assert awaited.meter.account().duration_s.value >= 0.1


def test_a_class_cannot_be_measured_and_stays_what_it_is():
    with pytest.raises(DescriptionError, match=r"Model is a class, .* above its methods"):

        @tonne.track
        class Model:
            pass


FORKS = """
import os, sys, time, tonne
from metered import opening
meter = tonne.track("forks", interval_s=0.05, folder=sys.argv[1], open_sensors=opening()).start()
time.sleep(0.2)
if sys.argv[2] == "stopped":
    meter.stop()
child = os.fork()
if child == 0:
    meter.start()
    time.sleep(0.1)
    meter.stop()
    os._exit(0)
os.waitpid(child, 0)
meter.start()
time.sleep(0.4)
meter.stop()
print(meter.account().duration_s.value)
"""


@pytest.mark.parametrize("before", ["running", "stopped"])
def test_a_child_that_starts_its_parents_meter_writes_a_file_of_its_own(before, tmp_path):
    assert float(finished(program(FORKS, str(tmp_path), before))) >= 0.7
    assert len(list(tmp_path.glob("journal*.jsonl"))) == 2
    headers = [line for path in tmp_path.iterdir() for line in lines(str(path)) if line.get("kind") == "run"]
    assert sorted(line["forked"] for line in headers) == [False, True]


CALLS = """
import os, sys, time, tonne
from metered import opening
work = tonne.track("work", interval_s=0.05, folder=sys.argv[1], open_sensors=opening())(lambda: time.sleep(0.05))
work()
while work.meter._running:
    time.sleep(0.05)
for _ in range(2):
    if os.fork() == 0:
        work()
        work()
        sys.exit(0)
    os.wait()
work()
"""


def test_calls_in_forked_children_are_counted_beside_their_parents(tmp_path):
    finished(program(CALLS, str(tmp_path)))
    assert measured(str(tmp_path), window="calls").windows == {"calls": 6}


FORKED_WHILE_IT_ENDS = """
import os, sys, time, threading, tonne
from metered import ended, opening
from tonne.measure.attendance import Attendance
work = tonne.track("work", interval_s=0.05, folder=sys.argv[1], open_sensors=opening())(lambda: time.sleep(0.05))
leave, ends, may_go_on = Attendance.leave, threading.Event(), threading.Event()

def slow(*given):  # in the thread, which has the meter's lock
    ends.set()
    may_go_on.wait(60)
    leave(*given)

Attendance.leave = slow
work()
assert ends.wait(60)
pid = os.fork()
if pid == 0:
    Attendance.leave = leave
    work()
    sys.exit(0)
code = ended(pid)
may_go_on.set()
sys.exit(code)
"""


def test_a_child_that_is_forked_while_its_parents_meter_ends_does_not_hang(tmp_path):
    finished(program(FORKED_WHILE_IT_ENDS, str(tmp_path)))
    assert measured(str(tmp_path), window="calls").windows == {"calls": 2}


FORKED_WHILE_IT_IMPORTS = """
import os, sys, threading, tonne
from metered import ended
sys.path.insert(0, sys.argv[1])
begun = threading.Event()

def opened():  # in the thread, as drivers' bindings are imported
    begun.set()
    import drivers
    return (), ()

with tonne.track("x", folder=sys.argv[1] + "/run", open_sensors=opened):
    assert begun.wait(60)
    pid = os.fork()
    if pid == 0:
        import drivers
        os._exit(drivers.LOADED)
    sys.exit(ended(pid) - 7)
"""


def test_a_fork_waits_for_what_the_meter_imports(tmp_path):
    """The child would wait for ever for a module that is half loaded, by a thread that it has not got."""
    (tmp_path / "drivers.py").write_text("import time\ntime.sleep(0.3)\nLOADED = 7\n")
    finished(program(FORKED_WHILE_IT_IMPORTS, str(tmp_path)))


def test_lines_that_a_full_disk_took_are_not_written_again(tmp_path, monkeypatch):
    journal, room = Journal(str(tmp_path), "stamp"), [30]
    true_write = os.write

    def write(descriptor, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = true_write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    for i in range(500):
        journal.add({"kind": "n", "i": i})  # 19 bytes: the second is cut after 11
    assert len(journal.kept) == 499
    room[0] = 1 << 20
    journal.add({"kind": "n", "i": 500})
    journal.close()
    assert journal.kept == []
    assert [line["i"] for line in lines(journal.path)] == list(range(501))


def test_a_full_disk_is_not_asked_to_take_all_that_waits_once_a_tick(tmp_path, monkeypatch):
    journal, asked = Journal(str(tmp_path), "stamp"), []

    def refuse(_, data):
        asked.append(len(data))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    for i in range(3000):
        journal.add({"kind": "n", "i": i})
    assert max(asked) < 3000
    assert len(journal.kept) == 3000


AWAY = """
import os, sys, time, tonne
from metered import opening
os.makedirs("away")
with tonne.track("x", interval_s=0.05, open_sensors=opening()) as meter:
    os.chdir("away")
    child = os.fork()
    if child == 0:
        meter.progress(1)
        os._exit(0)
    os.wait()
print(meter.folder, len(os.listdir(meter.folder)))
os.rmdir(os.getcwd())
with tonne.track("y", folder="gone", open_sensors=opening()):
    print("goes on")
"""


def test_a_program_that_changes_its_folder_keeps_its_journal_and_one_whose_folder_is_gone_goes_on(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder, files, *rest = finished(program(AWAY, TONNE_HOME="home")).split()
    assert Path(folder).parent == tmp_path / "home" / "runs"
    assert (files, rest) == ("2", ["goes", "on"])
