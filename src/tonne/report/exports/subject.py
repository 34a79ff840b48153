"""What is exported: runs, what was declared beside them, and how lenses see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.ledger.lenses import View, lens_named, view
from tonne.ledger.lenses.amounts import amount
from tonne.ledger.lenses.totals import sum_of
from tonne.ledger.lenses.view import MADE_THE_MODEL
from tonne.ledger.records import FORECAST, Run
from tonne.units import SECONDS_PER_HOUR

HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What no meter knows: who reports, and whose hardware it is (owned, cloud, colo). None: not declared."""

    organisation: str | None = None
    contact: str | None = None
    control: str | None = None
    cloud_provider: str | None = None
    version: str | None = None
    released: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Runs under one name. ``lens`` is the one that was asked for, in place of a format's own.

    ``before`` are the runs that trained the weights that these start from; rules of history count them.
    """

    name: str
    runs: tuple[Run, ...]
    declared: Declared = Declared()
    lens: str | None = None
    before: tuple[Run, ...] = ()

    def __post_init__(self) -> None:
        if not self.runs:
            raise DescriptionError(f"{self.name} has no run to export. `tonne runs` lists those that there are.")

    @property
    def estimated(self) -> bool:
        """Whether nothing of it was measured: forecasts alone."""
        return all(run.kind == FORECAST for run in self.runs)

    @property
    def main(self) -> Run:
        """The run that describes the model: of those that made it the one with the most work."""
        candidates = [run for run in self.runs if run.purpose in MADE_THE_MODEL] or list(self.runs)
        real = [run for run in candidates if run.kind != FORECAST] or candidates
        return max(real, key=_size)

    def seen(self, lens: str) -> View:
        """The runs through a lens, or through the one that was asked for."""
        return view(lens_named(self.lens or lens), self.runs, self.before)

    def counted(self, seen: View) -> tuple[Run, ...]:
        """The runs that a view counts."""
        return tuple(run for run in (*self.runs, *self.before) if run.id in seen.counted)


def _size(run: Run) -> tuple[float, float]:
    flop, hours = amount(run, "training_flop"), amount(run, "duration_s")
    return (float(flop.value) if flop else 0.0, float(hours.value) if hours else 0.0)


def wall_clock_s(runs: Sequence[Run]) -> Estimate | None:
    """Time in which at least one of the runs went on [s]; of forecasts, which have no dates, their sum."""
    each = [amount(run, "duration_s") for run in runs]
    known = [one for one in each if one is not None]
    if not known or len(known) != len(each):
        return None
    if len(known) == 1 or all(run.kind == FORECAST for run in runs):
        return sum_of(known)
    spans = sorted((run.begun_unix_s, run.begun_unix_s + one.value) for run, one in zip(runs, known, strict=True))
    covered, until = 0.0, spans[0][0]
    for begun, ended in spans:
        covered += max(ended - max(begun, until), 0.0)
        until = max(until, ended)
    return Estimate.exact(covered, Basis.MEASURED, "begin and end of the runs")


def hardware_days(runs: Sequence[Run]) -> Estimate | None:
    """Accelerators times days that they were held [d]; None where that is unknown, or there were none."""
    each = [amount(run, "accelerator_hours") for run in runs]
    known = [one for one in each if one is not None and one.value > 0]
    if not known or len(known) != len(each):
        return None
    hours = sum_of(known)
    return Estimate(
        value=hours.value / HOURS_PER_DAY,
        low=hours.low / HOURS_PER_DAY,
        high=hours.high / HOURS_PER_DAY,
        basis=hours.basis,
        sources=hours.sources,
    )


def node_days(runs: Sequence[Run]) -> Estimate | None:
    """Servers times days [d], for runs without accelerators; None where either is unknown."""
    if any(run.nodes is None for run in runs) or any(amount(run, "duration_s") is None for run in runs):
        return None
    days = sum(
        float(found.value) * (run.nodes or 0) / (HOURS_PER_DAY * SECONDS_PER_HOUR)
        for run in runs
        if (found := amount(run, "duration_s")) is not None
    )
    return Estimate.exact(days, Basis.MEASURED, "begin and end of the runs")
