"""Runs whose ticks between milestones are not read: the account is that of all ticks."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import pytest

import tonne
from tonne.measure import collector, replay
from tonne.measure.integration import SILENT, Integral
from tonne.measure.milestones import line_of
from tonne.measure.models.load import Load
from tonne.measure.sensors.protocol import Description, Reading

sys.path.insert(0, str(Path(__file__).parent))
from metered import Constant, opening

S = 1_000_000_000
COUNTER = Description(name="c", part="cpu", kind="counter", unit="J", wrap_j=5000.0, ceiling_w=400.0)
POWER = Description(name="p", part="memory", kind="power", unit="W", ceiling_w=400.0)


def header(pid: int, begin_s: float) -> dict:
    process = {"pid": pid, "started": 1, "parents": [[1, 1]], "session": 1, "namespace": ""}
    fields = {"kind": "run", "run": "r", "name": "n", "site": None, "interval_s": 1.0, "t": int(begin_s * S)}
    return {**fields, "unix_s": begin_s, "node": "node", "process": process, "stamp": f"{pid}", "cpus": 4}


def watts(t: float) -> float:
    return 100.0 + 50.0 * math.sin(t / 7.0)


def joules(t: float) -> float:
    """Integral of `watts` from 0."""
    return 100.0 * t + 350.0 * (1.0 - math.cos(t / 7.0))


def written(path: Path, begin: int, end: int, every: int, extra=lambda t: []) -> None:
    """The file of a process that read a second apart, NaN for ten seconds of each 97, from one second to another."""
    sensors, load = [COUNTER, POWER], Load()
    integrals = [Integral(of, 3.0, begin * S) for of in sensors]
    of = [one.as_dict() for one in sensors]
    lines = [header(begin + 1, begin), {"kind": "start", "t": begin * S, "unix_s": begin}]
    lines += [{"kind": "sensors", "t": begin * S, "sensors": of, "missing": [], "facts": {"threads": 4}}]
    for t in range(begin, end + 1):
        silent = t % 97 < 10
        values = [None if silent else joules(t) % 5000.0, None if silent else watts(t)]
        for one, value in zip(integrals, values, strict=True):
            one.add(Reading(t * S, value, SILENT if silent else None))
        busy = [t + 0.25 * (t % 3), 4.0 * t]
        lines.append({"t": t * S, "p": [0.5 * t, 1], "v": values, "o": [0, 0], "c": busy})
        if t > begin:
            load.add(1.0, (1.0 + 0.25 * (t % 3 - (t - 1) % 3)) / 4.0)
        lines += extra(t)
        if (t - begin) % every == every - 1:
            lines += [{"kind": "windows", "windows": {"w": [t, float(t), None, None]}}, line_of(t * S, integrals, load)]
    lines.append({"kind": "leave", "t": end * S, "unix_s": end, "status": "finished"})
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def readings(whole: replay.Measured) -> int:
    return sum(len(times) for n in whole.nodes for m in n.members for s in m.sections for times in s.times_ns)


def both(folder: Path, monkeypatch, **asked) -> tuple[replay.Measured, replay.Measured]:
    """A run as it is read, and as it is read without milestones."""
    quick = replay.measured(str(folder), **asked)
    monkeypatch.setattr(replay, "_needed_lines", replay._all_lines)
    return quick, replay.measured(str(folder), **asked)


def assert_same(quick: replay.Measured, slow: replay.Measured) -> None:
    for one, other in zip(quick.nodes, slow.nodes, strict=True):
        assert (one.lasted_s, one.busy_cpu_s) == (other.lasted_s, other.busy_cpu_s)
        assert [m.cpu_s for m in one.members] == [m.cpu_s for m in other.members]
        assert one.load.seconds == pytest.approx(other.load.seconds)
        assert one.load.busy == pytest.approx(other.load.busy)
        for a, b in zip(one.sensors, other.sensors, strict=True):
            assert a.total.as_dict() == {
                name: pytest.approx(value) if isinstance(value, float) else value
                for name, value in b.total.as_dict().items()
            }


def test_a_run_of_many_milestones_has_the_account_of_all_of_its_ticks(tmp_path, monkeypatch):
    written(tmp_path / "journal.jsonl", 100, 3000, 200)
    quick, slow = both(tmp_path, monkeypatch)
    assert_same(quick, slow)
    assert readings(slow) == 2 * 2901
    # up to the first milestone 200, of the 13 after it their own two ticks at most, and 101 after the last one
    assert readings(quick) <= 2 * (200 + 13 * 2 + 101)
    # the counter holds what went on while it was silent; its first reading is at 107 s (100 to 106 are 3 to 9 of 97)
    energy_j = quick.nodes[0].sensors[0].total.energy_j
    assert energy_j == pytest.approx(joules(3000) - joules(107) + 7 * 113.8, rel=1e-3)


def test_one_reader_after_another(tmp_path, monkeypatch):
    written(tmp_path / "journal.jsonl", 200, 1400, 100)
    written(tmp_path / "journal-b.jsonl", 1403, 2900, 100)
    quick, slow = both(tmp_path, monkeypatch)
    assert_same(quick, slow)
    assert readings(quick) < readings(slow) / 3


def test_two_readers_at_once_have_all_ticks_read(tmp_path, monkeypatch):
    written(tmp_path / "journal.jsonl", 200, 1400, 100)
    written(tmp_path / "journal-b.jsonl", 700, 1900, 100)
    quick, slow = both(tmp_path, monkeypatch)
    assert_same(quick, slow)
    assert readings(quick) == readings(slow)


def test_a_window_without_sums_has_all_ticks_read(tmp_path, monkeypatch):
    def loose(t):
        line = {"kind": "loose", "windows": {"x": [1, 50.0, None, [50.0, 550 * S, 600 * S]]}}
        return [line] if t == 600 else []

    written(tmp_path / "journal.jsonl", 200, 1400, 100, loose)
    quick, slow = both(tmp_path, monkeypatch, window="x")
    assert [use.total for use in quick.nodes[0].sensors] == [use.total for use in slow.nodes[0].sensors]
    # 582 to 591 s are silent (6 x 97 = 582): the counter holds them
    assert quick.nodes[0].sensors[0].total.energy_j == pytest.approx(joules(600) - joules(550), rel=1e-3)


def test_what_was_cut_off_after_a_milestone_is_read(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    written(path, 200, 1250, 100)
    path.write_bytes(path.read_bytes()[:-100])
    quick, slow = both(tmp_path, monkeypatch)
    assert_same(quick, slow)
    assert quick.nodes[0].lasted_s >= 1048.0


@pytest.mark.usefixtures("read_at_once")
def test_a_meter_writes_milestones(tmp_path, monkeypatch):
    monkeypatch.setattr(collector, "EVERY_TICKS", 10)
    with tonne.track("m", interval_s=0.01, folder=tmp_path, open_sensors=opening(Constant())) as meter:
        end = time.monotonic() + 60.0
        while (tmp_path / "journal.jsonl").read_text().count("milestone") < 4 and time.monotonic() < end:
            with meter.window("w"):
                time.sleep(0.02)
    quick, slow = both(tmp_path, monkeypatch)
    assert "milestone" in (tmp_path / "journal.jsonl").read_text()
    assert readings(quick) < readings(slow)
    assert quick.windows == slow.windows
    assert quick.nodes[0].sensors[0].total.energy_j == pytest.approx(100.0 * quick.nodes[0].lasted_s, rel=1e-4)
    assert meter.account(window="w").duration_s.value == pytest.approx(meter.windows()["w"][1])
