"""Does a measured run make the forecast of the next one better?

Every published step of the time model's table is forecast by a fit that did not see its model ("known": the fit saw the
stack) or its source ("own": it did not, as with a stack of one's own), alone and with other rows of the same source,
chip, framework and precision as own runs. Errors are |ln(forecast / measured)|.

    python benchmarks/own_calibration.py

Measured on 27 November 2026, data 2026.11; median error, its 90th percentile, coverage of the 90 % interval, and the
width of the interval over what it was before. How far runs differ was taken from pairs of these same rows, so that the
coverage is that of the rows it was set by; the errors are not.

own stack, one run of another model
    dense, 16-bit   126 rows   4.9 -> 4.2 %   18.0 -> 12.0 %   91.3 -> 93.7 %   x0.68
    dense, low      113 rows   5.0 -> 5.0 %   15.9 -> 15.9 %   92.9 -> 92.9 %   x1.00
    moe, 16-bit      16 rows   9.3 -> 9.2 %   37.7 -> 34.4 %   87.5 -> 87.5 %   x0.90
    moe, low         99 rows   10.3 -> 10.3 %   30.0 -> 30.0 %   90.9 -> 90.9 %   x1.00
own stack, all runs of other models
    dense, 16-bit   126 rows   4.9 -> 3.6 %   18.0 -> 11.4 %   91.3 -> 94.4 %   x0.84
    moe, 16-bit      16 rows   9.3 -> 11.5 %   37.7 -> 34.4 %   87.5 -> 87.5 %   x0.82
    (dense and moe in low precision: unchanged)
own stack, the same model on fewer accelerators
    dense, 16-bit    23 rows   4.0 -> 2.3 %   17.3 -> 6.0 %   95.7 -> 95.7 %   x0.38
    dense, low       13 rows   4.4 -> 4.4 %   6.9 -> 6.9 %   100.0 -> 100.0 %   x1.00
known stack, runs of other models: nothing in common is left, and nothing is changed
known stack, the same model on fewer accelerators
    dense, 16-bit    23 rows   3.7 -> 2.1 %   11.9 -> 6.4 %   95.7 -> 95.7 %   x0.49
    dense, low       13 rows   4.0 -> 4.0 %   8.2 -> 8.2 %   100.0 -> 100.0 %   x1.00
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean, median

from tonne.calibrate.measured_steps import measured_steps
from tonne.estimate import Basis, Estimate
from tonne.forecasting.own import Marks, combined
from tonne.reference import DATA_VERSION
from tonne.reference.own_runs import SPEED, OwnRun
from tonne.reference.step_residuals import step_residuals
from tonne.reference.table import table
from tonne.reference.time_stacks import log_half_width

RESIDUALS = {residual.id: residual for residual in step_residuals()}
FITS = {"own": "unseen", "known": "known"}
PICKS = {
    "one run of another model": lambda step, others: [o for o in others if o.model != step.model][:1],
    "all runs of other models": lambda step, others: [o for o in others if o.model != step.model],
    "the same model on fewer accelerators": lambda step, others: [
        o
        for o in others
        if (o.model, o.sequence_length) == (step.model, step.sequence_length) and o.accelerators < step.accelerators
    ][:1],
}


def stacks():
    groups = defaultdict(list)
    for step in measured_steps(table("throughput")):
        software = step.plan.software
        release = software.released if step.kind == "moe" else None
        if step.id in RESIDUALS:
            stack = (step.source, software.framework, step.plan.cluster.record.id, step.recipe, step.kind, release)
            groups[stack].append(step)
    return groups.values()


def faster(step, stack):
    """Measured speed over that of the fit."""
    return RESIDUALS[step.id].predicted_s(FITS[stack]) / step.step_time_s


def own_run(step, stack):
    ratio = faster(step, stack)
    return OwnRun(
        run=step.id, made="", quantity=SPEED, accelerator="", accelerators=step.accelerators, framework="",
        precision=step.plan.training.precision, kind=step.kind, model=step.model, configuration=step.id,
        measured=ratio, low=ratio, high=ratio, modelled=1.0, data_version=DATA_VERSION, basis="measured", source="",
    )  # fmt: skip


def forecasts(step, rows, stack):
    """Before and after, and the speed that was measured, all over that of the fit."""
    plan = step.plan
    half = log_half_width(step.kind, plan.training.precision, FITS[stack])
    before = Estimate(value=1.0, low=math.exp(-half), high=math.exp(half), basis=Basis.MODELLED)
    kind = "moe" if step.kind == "moe" else "dense-decoder"
    framework = plan.software.framework if stack == "known" else "own"
    names = (plan.cluster.record.id, framework, plan.training.precision, kind)
    marks = Marks(stack=names, model=step.model, configuration=step.id, accelerators=step.accelerators)
    return before, combined(before, [own_run(row, stack) for row in rows], marks), faster(step, stack)


def scores(stack, pick):
    found = defaultdict(list)
    for members in stacks():
        for step in members:
            rows = pick(step, members)
            if rows:
                found[RESIDUALS[step.id].group].append(forecasts(step, rows, stack))
    return found


def line(group, cases):
    errors = [sorted(abs(math.log(case[i].value / case[2])) for case in cases) for i in (0, 1)]
    held = [fmean(case[i].low <= case[2] <= case[i].high for case in cases) for i in (0, 1)]
    width = fmean(math.log(a.high / a.low) / math.log(b.high / b.low) for b, a, _ in cases)
    at = [(100 * median(e), 100 * e[int(0.9 * len(e))], 100 * h) for e, h in zip(errors, held, strict=True)]
    words = "   ".join(f"{b:.1f} -> {a:.1f} %" for b, a in zip(*at, strict=True))
    return f"    {', '.join(group):<14}{len(cases):>5} rows   {words}   x{width:.2f}"


if __name__ == "__main__":
    for stack in FITS:
        for name, pick in PICKS.items():
            print(f"{stack} stack, {name}")
            for group, cases in sorted(scores(stack, pick).items()):
                print(line(group, cases))
