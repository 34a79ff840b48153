"""Where a run will end, and where it stands to its limits."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import tonne
from tonne.errors import DescriptionError
from tonne.estimate import Estimate
from tonne.measure.accounting import account_of
from tonne.measure.limits import Limits, require_known, standings
from tonne.measure.progress import Expected, expected, rest_factor
from tonne.measure.replay import measured

sys.path.insert(0, str(Path(__file__).parent))
from metered import opening


def steady(steps: int, each: float, warm_up: float = 0.0, noise: float = 0.0) -> list[tuple[float, float]]:
    """Points of a run whose first step takes longer."""
    draw, points, taken = random.Random(1), [], warm_up
    for step in range(1, steps + 1):
        taken += each * (1 + noise * draw.gauss(0, 1))
        points.append((float(step), taken))
    return points


def test_an_even_run_without_a_warm_up_ends_where_its_steps_say():
    grown, _ = rest_factor(steady(10, 2.0), 1000)
    assert 20.0 * grown == pytest.approx(2000.0)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_after_one_hundredth_of_the_steps_the_end_is_within_five_percent(noise):
    each, total, warm_up = 3.0, 10_000, 500.0
    points = steady(100, each, warm_up, noise)
    grown, spread = rest_factor(points, total)
    end = points[-1][1] * grown
    assert end == pytest.approx(warm_up + each * total, rel=0.05)
    assert 0.05 <= spread < 0.3


def test_the_interval_shrinks_as_the_run_goes_on():
    widths = []
    for done in (50, 500, 5000, 9900):
        points = steady(done, 1.0, 20.0, 0.1)
        grown, spread = rest_factor(points, 10_000)
        widths.append((grown - 1.0) / grown * spread)  # of the whole, to first order
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01


def test_steps_that_say_no_rate_forecast_nothing():
    assert rest_factor([], 10) is None
    assert rest_factor([(1.0, 5.0)], 10) is None
    assert rest_factor([(1.0, 5.0), (1.0, 6.0)], 10) is None


def test_few_steps_widen_the_interval():
    _, spread = rest_factor([(1.0, 1.0), (2.0, 2.0)], 10)
    assert spread == 0.3


def test_a_meter_that_was_told_steps_forecasts_the_end(tmp_path):
    meter = tonne.track("steps", folder=tmp_path, interval_s=0.02, open_sensors=opening()).start()
    assert meter.expected() is None
    for step in range(1, 11):
        time.sleep(0.03)
        meter.progress(step, 100, tokens=step * 1000)
    found = meter.expected()
    account = meter.account()
    meter.stop()
    assert (found.step, found.total_steps) == (10, 100)
    assert found.duration_s.value == pytest.approx(10 * account.duration_s.value, rel=0.35)
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


def test_nodes_side_by_side_lasted_together(tmp_path):
    file_of(tmp_path, "journal", "a", 1e9, range(101))
    file_of(tmp_path, "journal-b", "b", 1e9 + 1, range(100))
    whole = measured(str(tmp_path))
    assert whole.lasted_s == 100.0
    assert len(whole.progress) == 101
