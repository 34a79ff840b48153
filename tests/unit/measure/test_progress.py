"""Where a run will end, and where it stands to its limits."""

from __future__ import annotations

import json
import math
import random
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import tonne
from tonne.errors import DescriptionError
from tonne.estimate import Estimate
from tonne.measure.accounting import account_of
from tonne.measure.limits import Limits, require_known, standings
from tonne.measure.progress import Expected, expected, expected_by, pace_of
from tonne.measure.replay import measured

sys.path.insert(0, str(Path(__file__).parent))
from metered import WATTS, opening


def steady(steps: int, each: float, warm_up: float = 0.0, noise: float = 0.0) -> list[tuple[float, float]]:
    """Points of a run whose first step takes longer."""
    draw, points, taken = random.Random(1), [], warm_up
    for step in range(1, steps + 1):
        taken += each * (1 + noise * draw.gauss(0, 1))
        points.append((float(step), taken))
    return points


def run_of(lasted_s: float, kwh: float | None = None) -> SimpleNamespace:
    """An account of a run so far."""
    of = lambda value: None if value is None else Estimate.exact(value)  # noqa: E731
    return SimpleNamespace(
        duration_s=of(lasted_s),
        energy=SimpleNamespace(facility_kwh=of(kwh)),
        carbon=SimpleNamespace(operational_location_kgco2e=None),
        cost_usd=of(kwh),
        energy_cost_usd=of(kwh),
    )


def end_of(points: list[tuple[float, float]], total: int) -> Estimate:
    """Duration of a run whose last step was told just now."""
    return expected_by(points, (), total, run_of(points[-1][1])).duration_s


def half_width(end: Estimate) -> float:
    return (end.high - end.low) / 2 / end.value


def test_an_even_run_without_a_warm_up_ends_where_its_steps_say():
    assert end_of(steady(10, 2.0), 1000).value == pytest.approx(2000.0)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_after_one_hundredth_of_the_steps_the_end_is_within_five_percent(noise):
    each, total, warm_up = 3.0, 10_000, 500.0
    end = end_of(steady(100, each, warm_up, noise), total)
    assert end.value == pytest.approx(warm_up + each * total, rel=0.05)
    assert 0.05 <= half_width(end) < 0.3


def test_the_interval_shrinks_as_the_run_goes_on():
    widths = [half_width(end_of(steady(done, 1.0, 20.0, 0.1), 10_000)) for done in (50, 500, 5000, 9900)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01


def test_steps_that_say_no_rate_forecast_nothing():
    assert pace_of([]) is None
    assert pace_of([(1.0, 5.0)]) is None
    assert pace_of([(1.0, 5.0), (1.0, 6.0)]) is None


def test_few_steps_widen_the_interval():
    assert pace_of([(1.0, 1.0), (2.0, 2.0)]).spread == pytest.approx(math.hypot(0.3, 0.08))


def test_a_second_of_steps_says_little_of_an_hour():
    end = end_of([(step, 0.1 * step) for step in range(1, 12)], 36_000)
    assert end.value == pytest.approx(3600.0)
    assert end.high > 7000.0  # one second and ten steps were seen: by 1 + 1/1 + 1/10 either way
    assert end.low < 1800.0


def test_a_beginning_that_is_slower_than_the_rest_does_not_count():
    slow = [(float(step), 5.0 * step) for step in range(1, 31)]  # 150 s for the first 30 of 100 steps
    even = [(float(step), 150.0 + (step - 30)) for step in range(31, 101)]
    assert end_of(slow + even, 10_000).value == pytest.approx(150 + 9970, rel=1e-3)


def test_a_pause_that_comes_again_counts():
    points = [(float(step), step + 10.0 * (step // 20)) for step in range(1, 101)]  # an evaluation each 20 steps
    assert end_of(points, 10_000).value == pytest.approx(10_000 + 10 * 500, rel=0.05)


def test_steps_that_were_gone_back_behind_count_once():
    points = [(float(step), float(step)) for step in range(1, 41)]
    again = [(float(step), step + 20.0) for step in range(21, 61)]  # back to 20 after 40
    assert end_of(points + again, 60).value == pytest.approx(80.0)
    assert pace_of(points + again).per_step == pytest.approx(73 / 53)  # from step 7, a tenth, at 7 s to 60 at 80 s


def test_the_time_before_the_first_step_counts_once():
    points = [(float(step), 600.0 + step) for step in range(1, 101)]
    assert end_of(points, 10_000).value == pytest.approx(600 + 10_000)


def test_time_since_the_last_step_is_that_of_the_next_one():
    points = [(1.0, 100.0), (2.0, 200.0)]
    assert expected_by(points, (), 10, run_of(290.0)).duration_s.value == pytest.approx(1000.0)
    late = expected_by(points, (), 10, run_of(340.0)).duration_s.value  # the third step is 40 s late
    assert late == pytest.approx(340.0 + 700.0)


def test_steps_told_ten_at_a_time_are_not_late():
    points = [(10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]
    assert expected_by(points, (), 1000, run_of(39.0)).duration_s.value == pytest.approx(1000.0)


def test_energy_before_the_first_step_is_not_that_of_the_steps():
    times = [(float(step), 100.0 + step) for step in range(1, 101)]
    energies = [(float(step), 1000.0 + 300.0 * step) for step in range(1, 101)]  # 10 W, then 300 W
    found = expected_by(times, energies, 10_000, run_of(200.0, kwh=31_000 / 3.6e6))
    assert found.facility_kwh.value * 3.6e6 == pytest.approx(1000 + 300 * 10_000)
    assert found.energy_cost_usd.value == pytest.approx(found.facility_kwh.value)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_nine_of_ten_runs_end_within_their_interval(share):
    """Runs of an hour, of steps that vary, a load that comes and goes, evaluations and a first step that compiles."""
    inside, draw = 0, random.Random(7)
    for _ in range(200):
        points = uneven(draw, each=2.0, steps=1800)
        done = points[: round(share * len(points))]
        told = [done[0], *(b for a, b in pairwise(done) if b[1] >= done[0][1] and a[1] // 1 != b[1] // 1)]
        end = end_of(told, len(points))
        inside += end.low <= points[-1][1] <= end.high
    assert inside / 200 >= 0.85


def uneven(draw: random.Random, each: float, steps: int) -> list[tuple[float, float]]:
    """Points of a run whose steps differ: each by itself, with a load that lasts a minute, and by evaluations."""
    noise, load, drift = draw.uniform(0.01, 0.15), draw.uniform(0.02, 0.08), draw.uniform(-0.05, 0.05)
    period, pause = draw.randint(20, 600), draw.uniform(0.01, 0.08)
    keeps, state = math.exp(-each / 60.0), load * draw.gauss(0, 1)
    points, taken = [], draw.uniform(0.5, 15.0)
    for step in range(1, steps + 1):
        state = keeps * state + load * math.sqrt(1 - keeps**2) * draw.gauss(0, 1)
        taken += max(each * (1 + noise * draw.gauss(0, 1)), 0.1) * math.exp(state) * (1 + drift * step / steps)
        taken += each * period * pause if step % period == 0 else 0.0
        points.append((float(step), taken))
    return points


@pytest.mark.usefixtures("read_at_once")
def test_a_meter_that_was_told_steps_forecasts_the_end(tmp_path):
    meter = tonne.track("steps", folder=tmp_path, interval_s=0.02, open_sensors=opening()).start()
    assert meter.expected() is None
    told_s = []  # just before and just after
    for step in range(1, 11):
        time.sleep(0.03)
        before_s = time.monotonic()
        meter.progress(step, 100, tokens=step * 1000)
        told_s.append((before_s, time.monotonic()))
        if not step % 3:
            meter.flush()  # a thread that stands still may tell only the last one
    found = meter.expected()
    account = meter.account()
    meter.stop()
    assert (found.step, found.total_steps) == (10, 100)
    # Whatever steps it goes by, each of the 90 that are left takes no less than the shortest, no more than the longest.
    shortest_s = min(later[0] - earlier[1] for earlier, later in pairwise(told_s))
    longest_s = max(later[1] - earlier[0] for earlier, later in pairwise(told_s))
    last_s = told_s[-1][0] - meter.collector.begun_ns / 1e9
    assert last_s + 90 * shortest_s <= found.duration_s.value <= account.duration_s.value + 90 * longest_s
    assert found.facility_kwh.low < found.facility_kwh.value < found.facility_kwh.high
    assert found.operational_location_kgco2e is None
    assert account.throughput.tokens_per_s.value == pytest.approx(1000 / account.throughput.step_time_s.value)


def account(kwh: float, kgco2e: float | None = None, usd: float | None = None) -> SimpleNamespace:
    of = lambda value: None if value is None else Estimate.exact(value)  # noqa: E731
    return SimpleNamespace(
        energy=SimpleNamespace(facility_kwh=of(kwh)),
        carbon=SimpleNamespace(operational_location_kgco2e=of(kgco2e)),
        energy_cost_usd=of(usd),
    )


def test_a_limit_is_exceeded_when_more_was_taken():
    (kwh,) = standings(Limits(kwh=2.0), account(2.5), None)
    assert kwh.exceeded
    assert not kwh.will_exceed
    (kwh,) = standings(Limits(kwh=3.0), account(2.5), None)
    assert not kwh.exceeded


def test_a_limit_may_yet_hold_where_the_interval_of_the_rest_reaches_below_it():
    fields = {"step": 1, "total_steps": 2, "duration_s": Estimate.exact(1.0), "operational_location_kgco2e": None}
    fields |= {"facility_kwh": Estimate.exact(5.0), "cost_usd": None, "energy_cost_usd": Estimate.exact(5.0)}
    limits = Limits(kwh=4.0, usd=4.0)
    unsure = standings(limits, account(2.5, usd=2.5), Expected(**fields, rest_spread=math.log(2.0)))
    assert [one.least for one in unsure] == [3.75, 3.75]
    assert not any(one.will_exceed for one in unsure)
    assert all(one.will_exceed for one in standings(limits, account(2.5, usd=2.5), Expected(**fields, rest_spread=0.1)))


def test_a_limit_will_be_exceeded_when_the_end_is_beyond_it():
    end = Expected(
        step=1,
        total_steps=2,
        duration_s=Estimate.exact(1.0),
        facility_kwh=Estimate.exact(5.0),
        operational_location_kgco2e=Estimate.exact(0.5),
        cost_usd=None,
    )
    kwh, carbon = standings(Limits(kwh=4.0, kgco2e=1.0), account(2.5, 0.25), end)
    assert kwh.will_exceed
    assert not carbon.will_exceed


def test_what_cannot_be_known_cannot_be_limited():
    with pytest.raises(DescriptionError, match=r"--max-kgco2e 2 cannot be watched: no place.*--site FR"):
        require_known(Limits(kgco2e=2.0), place=False, price=False)
    with pytest.raises(DescriptionError, match=r"--max-cost 5 cannot be watched: no price.*--usd-per-kwh"):
        require_known(Limits(usd=5.0), place=True, price=False)
    require_known(Limits(kwh=1.0), place=False, price=False)


def test_nothing_told_is_nothing_expected():
    assert expected(SimpleNamespace(progress=()), account(1.0)) is None


def file_of(folder, name: str, node: str, at_s: float, steps: range, total: int = 200) -> None:
    """A process that takes a step a second, of 10 J each, and tells each of them; its node was started at zero."""
    header = {"kind": "run", "schema": 1, "run": "r", "name": "r", "role": "rank", "site": None, "interval_s": 1.0}
    header |= {"t": 0, "unix_s": at_s, "node": node, "stamp": name, "cpus": 4, "cpus_allowed": 4, "devices": None}
    header |= {"process": {"pid": 1, "started": 1, "parents": [], "session": 1, "namespace": node}}
    sensor = {"name": "own:plug", "part": "node", "kind": "counter", "unit": "J", "covers": ["node"]}
    lines = [header, {"kind": "start", "t": 0}, {"kind": "sensors", "t": 0, "sensors": [sensor], "missing": []}]
    for n, step in enumerate(steps):
        t = n * 10**9
        lines += [{"t": t, "p": [0.0, 1], "v": [10.0 * n], "o": [0]}]
        lines += [{"kind": "progress", "t": t, "step": step, "total": total, "j": 10.0 * n}]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_run_that_was_cut_off_and_went_on_elsewhere_is_forecast_from_both_parts(tmp_path):
    file_of(tmp_path, "journal", "a", 1e9, range(101))  # up to step 100
    file_of(tmp_path, "journal-b", "b", 1e9 + 500, range(91, 151))  # from what was saved after step 90 up to 150
    whole = measured(str(tmp_path))
    account = account_of(whole, site={"grid": "FR", "pue": 1.0})
    assert account.duration_s.value == pytest.approx(100 + 59)  # the 400 s between are nobody's
    assert whole.progress[-1]["step"] == 150
    assert [line["step"] for line in whole.progress] == [*range(91), *range(91, 151)]
    assert (whole.progress[-1]["s"], whole.progress[-1]["j"]) == (159.0, 1590.0)
    end = expected(whole, account)
    # from step 15 (a tenth of 150) at 15 s: 144 s for 135 steps; 50 more take 53.3 s
    assert end.duration_s.value == pytest.approx(159 + 50 * 144 / 135)
    assert end.facility_kwh.value * 3.6e6 == pytest.approx(1590 + 50 * 1440 / 135, rel=1e-6)


@pytest.mark.usefixtures("read_at_once")
def test_a_step_that_was_told_between_two_readings_has_the_energy_of_its_time(tmp_path):
    meter = tonne.track("steps", folder=tmp_path, interval_s=0.5, open_sensors=opening()).start()
    for step in range(1, 4):
        time.sleep(0.3)
        meter.progress(step, 10)
    time.sleep(0.6)
    meter.stop()
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    begun_ns = next(line["t"] for line in lines if line.get("kind") == "start")
    told = [line for line in lines if line.get("kind") == "progress"]
    assert told
    for line in told:  # its counter is the clock's
        assert line["j"] == pytest.approx(WATTS * (line["t"] - begun_ns) / 1e9, abs=0.001)


def test_steps_of_a_program_inside_a_command_go_with_what_the_command_read(tmp_path):
    """As `tonne run -- python train.py`: 100 s at 10 W until the program tells steps, of 1 s and 300 W each."""
    header = {"kind": "run", "schema": 1, "run": "r", "name": "r", "site": None, "interval_s": 1.0, "node": "a"}
    header |= {"cpus": 4, "cpus_allowed": 4, "devices": None}
    process = {"started": 1, "parents": [], "session": 1, "namespace": "a"}
    sensor = {"name": "own:plug", "part": "node", "kind": "counter", "unit": "J", "covers": ["node"]}
    read = [header | {"role": "watcher", "t": 0, "unix_s": 1e9, "stamp": "w", "process": process | {"pid": 1}}]
    read += [{"kind": "start", "t": 0}, {"kind": "sensors", "t": 0, "sensors": [sensor], "missing": []}]
    read += [
        {"t": s * 10**9, "p": [0, 1], "v": [10 * min(s, 100) + 300 * max(s - 100, 0)], "o": [0]} for s in range(201)
    ]
    told = [header | {"role": "rank", "t": 10**11, "unix_s": 5e9, "stamp": "c", "process": process | {"pid": 2}}]
    told += [{"kind": "start", "t": 10**11}]  # its clock was set to another year meanwhile
    told += [
        {"kind": "progress", "t": (100 + step) * 10**9, "step": step, "total": 10_000, "j": None}
        for step in range(1, 101)
    ]
    for name, lines in (("journal", read), ("journal-c", told)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    whole = measured(str(tmp_path))
    assert (whole.progress[-1]["s"], whole.progress[-1]["j"]) == (pytest.approx(200.0), pytest.approx(31_000.0))
    end = expected(whole, account_of(whole, site={"pue": 1.0}))
    assert end.duration_s.value == pytest.approx(100 + 10_000)
    assert end.facility_kwh.value * 3.6e6 == pytest.approx(1000 + 300 * 10_000)


def test_nodes_side_by_side_lasted_together(tmp_path):
    file_of(tmp_path, "journal", "a", 1e9, range(101))
    file_of(tmp_path, "journal-b", "b", 1e9 + 1, range(100))
    whole = measured(str(tmp_path))
    assert whole.lasted_s == 100.0
    assert len(whole.progress) == 101
