"""A measured run as rows of the user's own calibration file; the file, written and cut."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tonne.errors import CalibrationError, UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.forecasting import Forecast, forecast
from tonne.forecasting.own import Marks, marks_of
from tonne.ledger.records import Run
from tonne.ledger.stepping import stepping_s
from tonne.reference import DATA_VERSION
from tonne.reference.accelerators import accelerator
from tonne.reference.own_runs import ACCELERATOR_W, COLUMNS, HOST_W, SERVER_W, SPEED, OwnRun, own_runs

if TYPE_CHECKING:
    from tonne.describe.plan import TrainingPlan

LEAST_STEPS = 10  # fewer are mostly start: compiling, filling caches
WATTS_PER_KILOWATT = 1e3
PARTS = {ACCELERATOR_W: "accelerators_kwh", HOST_W: "hosts_kwh", SERVER_W: "servers_kwh"}
GIVEN_SPEED = ("step_utilisation", "measured_step_s", "measured_step", "accelerator_hours")
GIVEN_WATTS = ("accelerator_power_w", "host_power_w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows that a run gives, and why it gives no others."""

    rows: tuple[OwnRun, ...]
    reasons: tuple[str, ...]


def rows_of(run: Run) -> Rows:
    """What a run says of its stack, beside what the shipped model says of its plan.

    Args:
        run: Measured, with the plan that it was run by.

    Returns:
        Rows of its speed and of the watts that sensors read; where one cannot be made, the reason.
    """
    plan = run.training_plan()
    refused = _refused(run, plan)
    if refused is not None or plan is None:
        return Rows(rows=(), reasons=(refused or "",))
    modelled = forecast(_left_to_the_model(plan))  # as shipped: own runs are not compared with what they moved
    marks = marks_of(plan)
    rows: list[OwnRun] = []
    reasons: list[str] = []
    for quantity in (SPEED, *PARTS):
        pair = _speed(run, modelled) if quantity == SPEED else _watts(run, modelled, quantity)
        if isinstance(pair, str):
            reasons.append(pair)
        elif pair is not None:
            rows.append(_row(run, quantity, marks, *pair))
    return Rows(rows=tuple(rows), reasons=tuple(reasons))


def _left_to_the_model(plan: TrainingPlan) -> TrainingPlan:
    """The plan without what it says itself of its speed and its watts."""
    schedule = plan.schedule.model_copy(update=dict.fromkeys(GIVEN_SPEED))
    cluster = plan.cluster.model_copy(update=dict.fromkeys(GIVEN_WATTS))
    return plan.model_copy(update={"schedule": schedule, "cluster": cluster})


def _refused(run: Run, plan: TrainingPlan | None) -> str | None:
    """Why a run says nothing of any stack."""
    if plan is None:
        return "its plan is not known"
    if not plan.trains or (plan.workload is None and (plan.architecture is None or plan.data is None)):
        return "its plan holds no model and data"
    if run.account is None:
        return "nothing of it was measured"
    ran_on = {_id_of(name): count for name, count in run.hardware.items()}
    planned = plan.cluster.record.id
    if planned not in ran_on:
        return f"it ran on {', '.join(run.hardware) or 'hardware that nobody named'}, its plan is for {planned}"
    if ran_on[planned] != plan.cluster.accelerators:
        return f"it ran on {ran_on[planned]} accelerators, its plan is for {plan.cluster.accelerators}"
    return None


def _id_of(name: str) -> str:
    try:
        return accelerator(name).record.id
    except UnknownReferenceError:
        return name


def _speed(run: Run, modelled: Forecast) -> tuple[Estimate, float] | str:
    """The share of the peak that its steps reached, and that of the model; or why it has none."""
    assert run.account is not None
    inputs, work = modelled.inputs, run.work
    took_s = stepping_s(run.account, work, run.stages)
    flop = work.training_flop
    if flop is None and work.tokens is not None and "tokens" in inputs:
        flop = work.tokens * float(inputs["training_flop"].value / inputs["tokens"].value)
    if took_s is None or flop is None or flop <= 0:
        return "no speed: it did not tell its steps, tokens or FLOP"
    if work.steps is not None and work.steps < LEAST_STEPS:
        return f"no speed: {work.steps} steps are mostly its start; at least {LEAST_STEPS} are wanted"
    reached = flop / (took_s * inputs["accelerators"].value * inputs["peak_flop_per_s"].value)
    if reached > 1.0:
        return f"no speed: it would have reached {reached:.2f} of the peak: its tokens or accelerators are wrong"
    pace = inputs.get("pace")
    stepping = modelled.account.throughput.achieved_peak_fraction  # under the plan's power cap, as the run was
    assert stepping is not None
    expected = stepping.value * (1.0 if pace is None else pace.value)
    return Estimate.exact(float(reached), Basis.MEASURED, run.id), float(expected)


def _watts(run: Run, modelled: Forecast, quantity: str) -> tuple[Estimate, float] | str | None:
    """Mean watts of an accelerator, or of its share of a server, while held; None where the model has no such watts."""
    assert run.account is not None
    if quantity not in modelled.inputs:
        return None
    if "power_cap_w" in modelled.inputs:
        return f"no {quantity}: its power was capped" if quantity == ACCELERATOR_W else None
    part = PARTS[quantity]
    measured, expected = getattr(run.account.energy, part), getattr(modelled.account.energy, part)
    hours, planned = run.account.accelerator_hours, modelled.account.accelerator_hours
    if measured is None or measured.basis is not Basis.MEASURED or measured.low <= 0:
        return f"no {quantity}: no sensor read it"
    if not hours or hours.value <= 0 or expected is None or planned is None or expected.value <= 0:
        return f"no {quantity}: its accelerator-hours are not known"
    per_hour = WATTS_PER_KILOWATT / hours.value
    watts = Estimate(
        value=measured.value * per_hour,
        low=measured.low * per_hour,
        high=measured.high * per_hour,
        basis=measured.basis,
    )
    return watts, float(expected.value / planned.value * WATTS_PER_KILOWATT)


def _row(run: Run, quantity: str, marks: Marks, measured: Estimate, modelled: float) -> OwnRun:
    chip, framework, precision, kind = marks.stack
    ended = run.begun_unix_s if run.ended_unix_s is None else run.ended_unix_s
    return OwnRun(
        run=run.id,
        made=time.strftime("%Y-%m-%d", time.gmtime(ended)),
        quantity=quantity,
        accelerator=chip,
        accelerators=int(marks.accelerators),
        framework=framework,
        precision=precision,
        kind=kind,
        model=marks.model,
        configuration=marks.configuration,
        measured=float(measured.value),
        low=float(measured.low),
        high=float(measured.high),
        modelled=modelled,
        data_version=DATA_VERSION,
        basis=Basis.MEASURED.value,
        source=f"run {run.id}",
    )


def keep(path: str | Path, rows: Sequence[OwnRun]) -> None:
    """Put the rows of a run into a calibration file, in place of what the file holds of it.

    Raises:
        CalibrationError: The file is none, or cannot be written.
    """
    runs = {row.run for row in rows}
    _write(path, [*(row for row in own_runs(path) if row.run not in runs), *rows])


def taken_out(path: str | Path, run: str) -> int:
    """How many rows of a run were taken out of a calibration file.

    Args:
        path: Of the file.
        run: Its id, or the beginning of one that no other run has.

    Raises:
        CalibrationError: The file holds no such run, or several.
    """
    rows = own_runs(path)
    known = list(dict.fromkeys(row.run for row in rows))
    meant = [run] if run in known else [one for one in known if one.startswith(run)]
    if len(meant) != 1:
        what = f"holds no run {run!r}" if not meant else f"holds several runs that begin with {run!r}"
        raise CalibrationError(f"{path} {what}. It holds: {', '.join(known) or 'none'}. Give one of these.")
    kept = [row for row in rows if row.run != meant[0]]
    _write(path, kept)
    return len(rows) - len(kept)


def _write(path: str | Path, rows: Iterable[OwnRun]) -> None:
    """The file written whole, and put in its place at once: who reads it meanwhile reads the old one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, column)) for column in COLUMNS] for row in rows)
    part = f"{path}.{os.getpid()}.part"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(part).write_text(text.getvalue(), encoding="utf-8")
        Path(part).replace(path)
    except OSError as error:
        raise CalibrationError(
            f"{path} cannot be written: {error.strerror}. Mend its permissions, or name another with TONNE_CALIBRATION."
        ) from None


def _cell(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)
