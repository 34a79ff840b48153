"""Published sweeps, each apart, and rows that no fit ever saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tonne.reference.step_outside import OutsideStep, outside_steps
from tonne.reference.step_residuals import StepResidual
from tonne.reference.step_sweeps import SweepRecord, sweep_records
from tonne.validation.statistics import quantile

SEEN = {"unseen": "without any row of the source", "known": "without any row of the model"}
NEVER = "never fitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One row of a sweep. ``error``: predicted over measured, less one."""

    id: str
    label: str
    measured_s: float
    predicted_s: float

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted_s / self.measured_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One sweep: sizes of its errors, and what another tool's authors print of theirs on the same source."""

    name: str
    n: int
    seen: str
    mean: float
    median: float
    p90: float
    bias: float
    peer: str
    peer_mean: float | None
    note: str
    rows: tuple[SweepRow, ...]


def sweeps(rows: Iterable[StepResidual], outside: Sequence[OutsideStep] | None = None) -> tuple[Sweep, ...]:
    """Every sweep of the table that has rows, then the checks from outside.

    Args:
        rows: Residuals.
        outside: Rows that were never fitted; left out: those that the calibration wrote.
    """
    residuals = tuple(rows)
    found = [_of_residuals(record, [r for r in residuals if record.holds(r)]) for record in sweep_records()]
    never = outside_steps() if outside is None else outside
    names = dict.fromkeys(step.check for step in never)
    checks = [_of_outside(name, [step for step in never if step.check == name]) for name in names]
    return tuple(sweep for sweep in (*found, *checks) if sweep is not None)


def _of_residuals(record: SweepRecord, members: Sequence[StepResidual]) -> Sweep | None:
    ordered = sorted(members, key=lambda r: (getattr(r, record.label), r.id))
    rows = [
        SweepRow(
            id=r.id,
            label=str(getattr(r, record.label)),
            measured_s=r.measured_s,
            predicted_s=r.predicted_s(record.stack),
        )
        for r in ordered
    ]
    return _sweep(record.name, SEEN[record.stack], rows, record) if rows else None


def _of_outside(name: str, members: Sequence[OutsideStep]) -> Sweep:
    rows = [
        SweepRow(
            id=step.id,
            label=f"{step.model}, {step.accelerators:,}: {step.layout}",
            measured_s=step.measured_s,
            predicted_s=step.predicted_s,
        )
        for step in members
    ]
    return _sweep(name, NEVER, rows, None)


def _sweep(name: str, seen: str, rows: Sequence[SweepRow], record: SweepRecord | None) -> Sweep:
    sizes = [abs(row.error) for row in rows]
    return Sweep(
        name=name,
        n=len(rows),
        seen=seen,
        mean=sum(sizes) / len(sizes),
        median=quantile(sizes, 0.5),
        p90=quantile(sizes, 0.9),
        bias=quantile([row.error for row in rows], 0.5),
        peer=record.peer if record is not None else "",
        peer_mean=record.peer_mean if record is not None else None,
        note=record.note if record is not None else "",
        rows=tuple(rows),
    )
