"""The fastest layout found is as fast as the fastest that was measured of the same model, batch and machine."""

from __future__ import annotations

import math

import pytest

from tonne.calibrate.measured_steps import measured_steps
from tonne.describe.training import Training
from tonne.forecasting import forecast
from tonne.reference.table import table
from tonne.validation.statistics import quantile

pytestmark = pytest.mark.slow


def fastest_measured():
    """Of each source, model, chip, number, precision and length the row with most tokens a second; slices left out."""
    best = {}
    for step in measured_steps(table("throughput")):
        plan = step.plan
        if "SimuMax" in step.source:  # cut models on eight chips: no run would be laid out so
            continue
        key = (step.source, step.model, plan.cluster.record.id, step.accelerators, step.precision,
               plan.data.sequence_length)  # fmt: skip
        speed = plan.training.global_batch_sequences / step.step_time_s
        if key not in best or speed > best[key][0]:
            best[key] = (speed, step)
    return [step for _, step in best.values()]


@pytest.fixture(scope="module")
def errors():
    """ln(found / measured) by (kind, 16-bit or low)."""
    found = {}
    for step in fastest_measured():
        training = Training(
            global_batch_sequences=step.plan.training.global_batch_sequences, precision=step.plan.training.precision
        )
        searched = forecast(step.plan.model_copy(update={"parallelism": None, "training": training}))
        if searched.layout is not None:
            group = (step.kind, "16-bit" if step.precision == "16-bit" else "low")
            found.setdefault(group, []).append(math.log(searched.layout.chosen.step_time_s / step.step_time_s))
    return found


@pytest.mark.parametrize(
    ("group", "rows", "median", "p90"),
    [(("dense", "16-bit"), 80, 0.08, 0.25), (("dense", "low"), 30, 0.10, 0.30), (("moe", "low"), 15, 0.25, 0.60)],
)
def test_found_layouts_are_as_fast_as_the_fastest_measured(errors, group, rows, median, p90):
    sizes = [abs(error) for error in errors[group]]
    assert len(sizes) >= rows
    assert quantile(sizes, 0.5) <= median
    assert quantile(sizes, 0.9) <= p90


def test_found_layouts_are_neither_faster_nor_slower_on_the_whole(errors):
    assert abs(quantile(errors["dense", "16-bit"], 0.5)) <= 0.05
