"""What the user's own measured runs say of a forecast: by how much, and how sure they make it.

A run differs from what the model says of it by what its stack, its model and its configuration do, and by what no run
repeats. Runs that share some of these tell of one another by as much as they share.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tonne.count.masks import maximum, minimum
from tonne.estimate import Z_90, Basis, Estimate, Number
from tonne.forecasting.kinds import kind_of
from tonne.reference.own_runs import (
    ACCELERATOR_W,
    HOST_W,
    SERVER_W,
    SPEED,
    OwnRun,
    model_log_half_width,
    scale_log_half_width,
)
from tonne.reference.time_stacks import KNOWN, remeasured_log_half_width, stack_of

if TYPE_CHECKING:
    from tonne.describe.plan import TrainingPlan
    from tonne.forecasting.inputs import Collected

MOST_FRACTION = 0.95  # of the peak
MARK = 12  # hexadecimal digits
WEIGHT_OF_PUBLISHED = 4  # runs: so much do the published spreads count beside what own runs differ
MODULE, ADAPTERS = "module", "adapters"
WORDS = {SPEED: "speed", ACCELERATOR_W: "accelerator power", HOST_W: "host power", SERVER_W: "server power"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Squares of the half-widths, in logarithms, of what the model is off for a run: by what brings it.

    ``stack`` is common to all runs of a stack, ``model`` to those of a model on it, ``configuration`` to those of a
    configuration; ``run`` is a run's alone.
    """

    stack: Number
    model: Number
    configuration: Number
    run: Number

    @property
    def whole(self) -> Number:
        """All of it."""
        return self.stack + self.model + self.configuration + self.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """By what a run is known: its stack, its model and its configuration."""

    stack: tuple[str, str, str, str]
    model: str
    configuration: str
    accelerators: Number = field(default=1)


def marks_of(plan: TrainingPlan) -> Marks:
    """By what the runs of a plan are known."""
    training, described = plan.training, plan.workload or plan.architecture
    kind = MODULE if plan.workload is not None else kind_of(plan)
    partial = training.lora is not None or bool(training.frozen_layers)
    model = _mark(described)
    lengths = (
        None if plan.data is None else (plan.data.sequence_length, plan.data.source_length, plan.data.target_length)
    )
    how = [training.global_batch_sequences, training.micro_batch_sequences, training.recomputation, training.objective]
    what = [model, lengths, how, training.lora, training.frozen_layers, plan.parallelism, plan.software]
    return Marks(
        stack=(
            plan.cluster.record.id,
            plan.software.framework.lower(),
            training.precision,
            f"{kind}, {ADAPTERS}" if partial else kind,
        ),
        model=model,
        configuration=_mark([*what, plan.cluster.accelerators, plan.cluster.accelerators_per_node]),
        accelerators=1 if plan.cluster.accelerators is None else plan.cluster.accelerators,
    )


def _mark(value: Any) -> str:  # noqa: ANN401 - any description
    text = json.dumps(value, sort_keys=True, default=_described)
    return hashlib.sha256(text.encode()).hexdigest()[:MARK]


def _described(value: Any) -> Any:  # noqa: ANN401 - as above
    """A description as built-in types; an array as text, so that no single run has the same mark."""
    return value.model_dump() if hasattr(value, "model_dump") else repr(value)


def add_own_runs(plan: TrainingPlan, own: Sequence[OwnRun], found: Collected) -> None:
    """Move the speed and the watts of a forecast to what own runs of its stack showed, and narrow their intervals.

    What the plan gives itself is left as it is.
    """
    if not own:
        return
    marks = marks_of(plan)
    of_stack = [row for row in own if row.stack == marks.stack]
    old = {row.run for row in of_stack if not row.is_current}
    if old:
        found.notes.append(
            f"own calibration: {', '.join(sorted(old))} stood beside other tables than these, and is not used: "
            f"`tonne reconcile RUN` compares it anew."
        )
    for quantity in _free(plan, found):
        rows = [row for row in of_stack if row.is_current and row.quantity == quantity]
        if rows:
            _move(quantity, rows, marks, found)


def _free(plan: TrainingPlan, found: Collected) -> list[str]:
    """Quantities that the model gave, and not the user."""
    schedule, cluster = plan.schedule, plan.cluster
    told = schedule.step_utilisation, schedule.measured_step_s, schedule.measured_step
    free = [] if any(one is not None for one in told) else [SPEED]
    free += [ACCELERATOR_W] if cluster.accelerator_power_w is None else []
    free += [HOST_W] if cluster.host_power_w is None else []
    return [name for name in (*free, SERVER_W) if name in found.factors]


def _move(quantity: str, rows: Sequence[OwnRun], marks: Marks, found: Collected) -> None:
    """One quantity; of the speed, what was allowed for layouts that are not known goes into it."""
    factors, before = found.factors, found.factors[quantity]
    laid_out = quantity != SPEED or "pace" not in factors
    if not laid_out:
        before = _product(before, factors["pace"])
    after = combined(before, rows, marks, laid_out=laid_out)
    if after is before:
        return
    if not laid_out:
        del factors["pace"]
        found.notes[:] = [note for note in found.notes if not note.startswith("pace:")]
    if quantity == SPEED:
        value = minimum(after.value, MOST_FRACTION)
        high = maximum(value, minimum(after.high, MOST_FRACTION))
        after = Estimate(value=value, low=after.low, high=high, basis=after.basis, sources=after.sources)
    factors[quantity] = after
    found.notes.append(_note(quantity, rows, before, after))


def combined(before: Estimate, rows: Sequence[OwnRun], marks: Marks, *, laid_out: bool = True) -> Estimate:
    """What the model says of a run, and own runs of its stack.

    Equation: ln(x / x_0) ~ normal(k' K^-1 y, (v - k' K^-1 k) max(1, (4 + z^2 y' K^-1 y) / (4 + n))), with y =
    ln(measured / modelled) of n own runs; K and k = what two runs, and a run and this one, have in common: the part of
    the stack, plus that of the model where it is the same, plus that of the configuration where it is; on the diagonal
    also that of a run and of its measurement. v = all of it, the model's own, of which these are parts; all are squares
    of half-widths, each z = 1.645 standard deviations. Each side of the interval is narrowed by one factor.

    Args:
        before: The model's.
        rows: Of the stack and quantity; at least one.
        marks: Of the run that is forecast.
        laid_out: Whether its layout is known.

    Returns:
        The number, moved and narrowed; the very same where no row has anything in common with the run. The last factor
        widens it where own runs differ by more than is known of others.
    """
    down, up = _log(before.value / before.low), _log(before.high / before.value)
    variance = (down * down + up * up) / 2.0
    if isinstance(variance, float) and variance == 0.0:
        return before
    parts = parts_of(variance, rows, marks, laid_out=laid_out)
    ours = [_common(parts, row.model == marks.model, row.configuration == marks.configuration) for row in rows]
    if all(isinstance(k, int | float) and k == 0 for k in ours):
        return before
    among = [
        [
            _common(parts, a.model == b.model, a.configuration == b.configuration)
            + (parts.run + a.log_half_width**2 if a is b else 0.0)
            for b in rows
        ]
        for a in rows
    ]
    y = [row.log_ratio for row in rows]
    weighted, explained = solved(among, y), solved(among, ours)
    shift = sum(k * w for k, w in zip(ours, weighted, strict=True))
    left = (parts.whole - sum(k * e for k, e in zip(ours, explained, strict=True))) / parts.whole
    seen = Z_90**2 * sum(a * b for a, b in zip(y, weighted, strict=True))
    wider = maximum((WEIGHT_OF_PUBLISHED + seen) / (WEIGHT_OF_PUBLISHED + len(rows)), 1.0)
    narrowed = (maximum(left, 0.0) * wider) ** 0.5
    value = before.value * math.e**shift
    names = ", ".join(dict.fromkeys(row.run for row in rows))
    return Estimate(
        value=value,
        low=value * math.e ** (-down * narrowed),
        high=value * math.e ** (up * narrowed),
        basis=Basis.MODELLED,
        sources=(*before.sources, f"own calibration: {names}"),
    )


def parts_of(variance: Number, rows: Sequence[OwnRun], marks: Marks, *, laid_out: bool = True) -> Parts:
    """What the model's variance is made of, by measured steps of published stacks.

    Equation: v_run = r^2, v_configuration = s^2 / 2 - r^2, v_model = (m^2 - s^2) / 2, v_stack = the rest, with r =
    half-width of a configuration measured again, s = of two scales of a model, m = of two models of a stack, each
    difference that of two runs; none below zero, and together no more than all. A stack that the time model was fitted
    on has nothing of its own left: there the rest is the model's.

    Args:
        variance: Of the model's forecast: the square of its half-width in logarithms.
        rows: Own runs.
        marks: Of the run that is forecast.
        laid_out: Whether its layout is known; else m is that of runs without one, and a fitted stack is as any.
    """
    accelerator, framework, precision, kind_of_model = marks.stack
    kind = "moe" if kind_of_model.startswith("moe") else "dense"
    scale = max(_scale(marks.accelerators, row.accelerators) for row in rows)
    r, s = remeasured_log_half_width(), scale_log_half_width(kind, precision, scale)
    between_models = model_log_half_width(kind, precision, laid_out=laid_out)
    run = minimum(r * r, variance)
    configuration = minimum(max(s * s / 2.0 - r * r, 0.0), variance - run)
    rest = variance - run - configuration
    fitted = laid_out and stack_of(framework, accelerator) == KNOWN
    model = rest if between_models is None or fitted else minimum(max((between_models**2 - s * s) / 2.0, 0.0), rest)
    return Parts(stack=maximum(rest - model, 0.0), model=model, configuration=configuration, run=run)


def _scale(accelerators: Number, others: int) -> float:
    """How many times more or fewer accelerators; of an array, the farthest."""
    ratio = accelerators / others
    found = maximum(ratio, 1.0 / ratio)
    return float(found if isinstance(found, int | float) else found.max())


def _common(parts: Parts, same_model: bool, same_configuration: bool) -> Number:
    return parts.stack + parts.model * same_model + parts.configuration * same_configuration


def solved(matrix: Sequence[Sequence[Number]], right: Sequence[Number]) -> list[Number]:
    """X of A x = b, for a positive definite A: few rows, whose elements may be arrays.

    Args:
        matrix: A (n, n).
        right: b (n).
    """
    n = len(right)
    a = [[*matrix[i], right[i]] for i in range(n)]
    for i in range(n):
        a[i] = [value / a[i][i] for value in a[i]]
        for j in range(n):
            if j != i:
                a[j] = [mine - a[j][i] * pivot for mine, pivot in zip(a[j], a[i], strict=True)]
    return [row[n] for row in a]


def _product(a: Estimate, b: Estimate) -> Estimate:
    """Two independent factors."""
    value = a.value * b.value
    down = (_log(a.value / a.low) ** 2 + _log(b.value / b.low) ** 2) ** 0.5
    up = (_log(a.high / a.value) ** 2 + _log(b.high / b.value) ** 2) ** 0.5
    return Estimate(
        value=value,
        low=value * math.e**-down,
        high=value * math.e**up,
        basis=max(a.basis, b.basis, key=list(Basis).index),
        sources=tuple(dict.fromkeys(a.sources + b.sources)),
    )


def _log(value: Number) -> Number:
    if isinstance(value, int | float):
        return math.log(value)
    import numpy as np  # noqa: PLC0415 - one plan needs none

    return np.log(value)


def _named(framework: str) -> str:
    return "framework unknown" if framework == "unknown" else framework


def _note(quantity: str, rows: Sequence[OwnRun], before: Estimate, after: Estimate) -> str:
    names = ", ".join(dict.fromkeys(row.run for row in rows))
    accelerator, framework, precision, kind = rows[0].stack
    text = (
        f"own calibration: {WORDS[quantity]} by {len(rows)} measured run{'s' if len(rows) > 1 else ''} ({names}) of "
        f"{kind} in {precision} on {accelerator}, {_named(framework)}"
    )
    if not isinstance(after.value, int | float):
        return f"{text}."
    widths = [_log(one.high / one.low) / 2.0 for one in (before, after)]
    return (
        f"{text}: x{after.value / before.value:.2f}, its interval from a factor of {math.exp(widths[0]):.2f} to "
        f"{math.exp(widths[1]):.2f} either way."
    )
