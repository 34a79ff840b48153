"""One run or forecast as the ledger keeps it. All of it survives `documents.plain` and `documents.rebuilt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tonne.account import Account
from tonne.describe.given import GIVEN
from tonne.estimate import Estimate
from tonne.measure.purposes import (
    ABLATION,
    AUXILIARY,
    EVALUATION,
    FAILED,
    FINAL,
    FINE_TUNING,
    IDLE,
    PUBLIC_SYNTHETIC,
    PURPOSES,
    REINFORCEMENT,
    SWEEP,
    SYNTHETIC,
    TEACHER,
)
from tonne.showing import Shown

if TYPE_CHECKING:
    from tonne.describe.plan import TrainingPlan

MEASURED, FORECAST, IMPORTED = "measured", "forecast", "imported"
KINDS = (MEASURED, FORECAST, IMPORTED)

CONTINUES, INITIALISED_FROM, DISTILS, FORETOLD_BY, MERGED_FROM = (
    "continues", "initialised-from", "distils", "foretold-by", "merged-from",
)  # fmt: skip
LINKS = (CONTINUES, INITIALISED_FROM, DISTILS, FORETOLD_BY, MERGED_FROM)

__all__ = [
    "ABLATION", "AUXILIARY", "CONTINUES", "DISTILS", "EVALUATION", "FAILED", "FINAL", "FINE_TUNING", "FORECAST",
    "FORETOLD_BY", "IDLE", "IMPORTED", "INITIALISED_FROM", "KINDS", "LINKS", "MEASURED", "MERGED_FROM",
    "PUBLIC_SYNTHETIC", "PURPOSES", "REINFORCEMENT", "SWEEP", "SYNTHETIC", "TEACHER",
    "Evidence", "Link", "Run", "Series", "Stage", "Work",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """This run `kind` the run `to`, such as continues or foretold-by. `to` need not be in this ledger."""

    kind: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was worked, as far as it is known; what is unknown is None.

    ``training_flop`` is model FLOP of what was executed by this run, recomputation left out.
    """

    parameters: int | None = None
    active_parameters: int | None = None
    tokens: int | None = None
    steps: int | None = None
    training_flop: float | None = None
    recomputed_flop: float | None = None
    loss: float | None = None
    held_out_loss: float | None = None
    bits_per_byte: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A named part of a run's time: stepping, evaluation, checkpoints, lost work, waiting."""

    name: str
    duration_s: float
    it_kwh: Estimate | None = None
    count: int | None = None  # how often it came


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A run over time, thinned to at most some hundred points; each tuple is one column of equal length.

    ``power_w``: part -> watts at ``time_s`` after the begin; a part that no sensor told of is modelled from how busy it
    was, and its basis is that of its energy in the account. ``steps`` to ``step_kwh`` are columns of the loss: the
    last one holds facility energy so far, where it is known. ``grid_time_s``, ``grid_gco2e_per_kwh``: of the place.
    """

    time_s: tuple[float, ...] = ()
    power_w: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    step_time_s: tuple[float, ...] = ()
    step_tokens: tuple[int, ...] = ()
    step_loss: tuple[float, ...] = ()
    step_kwh: tuple[float | None, ...] = ()
    grid_time_s: tuple[float, ...] = ()
    grid_gco2e_per_kwh: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What proves it: versions, hashes, and the commands that make it again."""

    tonne_version: str | None = None
    data_version: str | None = None
    python: str | None = None
    platform: str | None = None
    journal_sha256: str | None = None
    journal_lines: int | None = None
    journal_stamps: tuple[str, ...] = ()  # of the processes that wrote it
    plan_sha256: str | None = None
    weights_sha256: str | None = None
    entry_sha256: str | None = None  # of the ledger's chain
    source: str | None = None  # of an import: what it was read from
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Shown):
    """A run, measured or imported, or a forecast: what it is for, its account, and all that is known beside it.

    ``status`` is that of a run, or "forecast". ``purpose`` None: nobody said. ``plan`` is the document of a
    TrainingPlan; ``forecast`` the account that was forecast for this run before it began, ``forecast_inputs`` the
    factors that it was made of (names as in `Forecast.inputs`).
    """

    id: str
    name: str
    kind: str
    status: str
    begun_unix_s: float
    ended_unix_s: float | None = None
    purpose: str | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()
    account: Account | None = None
    plan: Mapping[str, Any] | None = None
    work: Work = Work()
    forecast: Account | None = None
    forecast_inputs: Mapping[str, Estimate] = field(default_factory=dict)
    site: Mapping[str, Any] | None = None
    hardware: Mapping[str, int] = field(default_factory=dict)  # accelerator's or processor's name -> how many
    nodes: int | None = None
    stages: tuple[Stage, ...] = ()
    series: Series = Series()
    evidence: Evidence = Evidence()
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()

    def training_plan(self) -> TrainingPlan | None:
        """The plan that it was run by, what it left open still open.

        Returns:
            None where none is known, or where it left the machine to whoever trained it.

        Raises:
            DescriptionError: The plan was kept by a version that described plans otherwise.
        """
        if self.plan is None or not self.plan.get("cluster"):
            return None
        from tonne.describe.plan import TrainingPlan  # noqa: PLC0415 - a quarter of a second, and not always asked for

        plan = TrainingPlan.from_fields(dict(self.plan))
        return plan if GIVEN in self.plan else plan.from_fields(_no_defaults(plan))


def _no_defaults(plan: TrainingPlan) -> dict[str, Any]:
    """The fields of a plan whose document does not say which were given: those that are no defaults."""
    fields = plan.model_dump(mode="json", exclude_defaults=True)
    if plan.architecture is not None:  # a default of a field may be no default of the shape that others make
        fields["architecture"] = plan.architecture.model_dump(mode="json")
    return fields
