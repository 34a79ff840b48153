"""What a report is about: one run, a forecast, or the runs of a project."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.errors import TonneError
from tonne.estimate import Estimate
from tonne.ledger.lenses.forecasts import run_of_forecast
from tonne.ledger.lenses.totals import sum_of
from tonne.ledger.records import FORECAST, Run
from tonne.report.page.quantities import estimate_at

if TYPE_CHECKING:
    from tonne.forecasting import Forecast
    from tonne.reference.calibration import Calibration

ADDED = ("duration_s", "accelerator_hours", "water_l", "water_on_site_l", "water_off_site_l", "cost_usd")
ADDED_ENERGY = tuple(f.name for f in dataclasses.fields(EnergyUse) if f.name not in {"coverage", "left_out"})
ADDED_CARBON = tuple(f.name for f in dataclasses.fields(Carbon))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is reported.

    ``known``: of a project's sums, of how many runs each figure is known; empty for one run. ``calibration``: by which
    its plan, and changes of it, are forecast.
    """

    name: str
    runs: tuple[Run, ...]
    account: Account | None
    forecast: Forecast | None = None
    is_project: bool = False
    known: dict[str, int] = field(default_factory=dict)
    calibration: Calibration | None = None

    @property
    def run(self) -> Run:
        """The run, where there is one."""
        return self.runs[0]

    @property
    def is_forecast(self) -> bool:
        """Whether nothing was measured."""
        return all(run.kind == FORECAST for run in self.runs)

    @property
    def counted(self) -> tuple[Run, ...]:
        """The runs that the account is of: of a project, those that happened, where any did."""
        happened = tuple(run for run in self.runs if run.kind != FORECAST)
        return happened or self.runs


def of_run(run: Run, calibration: Calibration | None = None) -> Subject:
    """One run, with the forecast of its plan where it can still be made."""
    made = _forecast_of(run, calibration)
    return Subject(name=run.name, runs=(run,), account=run.account, forecast=made, calibration=calibration)


def of_forecast(forecast: Forecast, commands: Sequence[str] = (), calibration: Calibration | None = None) -> Subject:
    """A plan's forecast as a run that has not happened."""
    from tonne import __version__  # noqa: PLC0415 - the package's names are resolved late

    run = run_of_forecast(forecast)
    run = replace(run, evidence=replace(run.evidence, tonne_version=__version__, commands=tuple(commands)))
    return Subject(name=run.name, runs=(run,), account=run.account, forecast=forecast, calibration=calibration)


def of_project(name: str, runs: Sequence[Run]) -> Subject:
    """The runs of a project, the oldest first; forecasts among them are listed, and added only where all are such."""
    ordered = tuple(sorted(runs, key=lambda run: run.begun_unix_s))
    found = Subject(name=name, runs=ordered, account=None, is_project=True)
    account, known = _sum(found.counted)
    return replace(found, account=account, known=known)


def _forecast_of(run: Run, calibration: Calibration | None) -> Forecast | None:
    """The forecast of the plan that a run was run by; None where there is none, or it can be forecast no more."""
    if run.plan is None:
        return None
    from tonne.forecasting import forecast  # noqa: PLC0415 - only runs that have a plan pay for it

    try:
        plan = run.training_plan()
        return None if plan is None else forecast(plan, calibration)
    except TonneError:
        return None


def _sum(runs: Sequence[Run]) -> tuple[Account | None, dict[str, int]]:
    """The sum of what is known of each figure, and of how many runs it is known.

    Ends of intervals are added: runs of a project share grid, PUE and boards, whose errors do not cancel, and how much
    of each interval these are is not kept.
    """
    accounts = [run.account for run in runs if run.account is not None]
    if not accounts:
        return None, {}
    known: dict[str, int] = {}

    def added(path: str) -> Estimate | None:
        found = [one for one in (estimate_at(account, path) for account in accounts) if one is not None]
        known[path] = len(found)
        return sum_of(found) if found else None

    use = {name: added(f"energy.{name}") for name in ADDED_ENERGY}
    left_out = tuple(dict.fromkeys(part for account in accounts for part in account.energy.left_out))
    measured, it_kwh = use["measured_kwh"], use["it_kwh"]
    every = len(accounts) == known["energy.measured_kwh"] == known["energy.it_kwh"]
    share = measured.value / it_kwh.value if every and measured is not None and it_kwh and it_kwh.value else None
    return Account(
        **{name: added(name) for name in ADDED},
        throughput=Throughput(),
        energy=EnergyUse(**use, coverage=None if share is None else min(share, 1.0), left_out=left_out),
        carbon=Carbon(**{name: added(f"carbon.{name}") for name in ADDED_CARBON}),
        development=None,
        uncertainty={},
        data_version=", ".join(dict.fromkeys(account.data_version for account in accounts)),
        notes=tuple(dict.fromkeys(note for account in accounts for note in account.notes)),
        energy_cost_usd=added("energy_cost_usd"),
    ), known
