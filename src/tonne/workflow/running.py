"""Forecast, train, meter, ledger: a plan run from start to end, in that order."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.account import Account
from tonne.describe.start import Trained as Described
from tonne.errors import TrainingError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import FINAL, FINE_TUNING, MEASURED, Run, Stage
from tonne.measure import status
from tonne.measure.environment import home as tonne_home
from tonne.reconcile import Reconciliation, reconciled
from tonne.train.ahead import STEPPING
from tonne.workflow.asked import Asked
from tonne.workflow.durations import START, STEP, TIMED_AS
from tonne.workflow.foretelling import Foretold, for_work
from tonne.workflow.kept import Kept, kept_in, run_that_made
from tonne.workflow.machine import watts_of
from tonne.workflow.metering import Metering
from tonne.workflow.paces import Pace, keep_pace
from tonne.workflow.record import Origin, Recorded, evidence_of, plan_of, tell_ledger, work_of

if TYPE_CHECKING:
    from tonne.describe.finetuning import FinetuningRecipe
    from tonne.describe.recipe import Recipe
    from tonne.train.fitting import Fitted, Session
    from tonne.train.job import Job

LEAST_STEPS = 5  # whose mean time says something of the next run
STORES, PREPARED = "data", "prepared"
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a run ended, what was forecast of it, and what it took.

    ``run`` is as the ledger has it; None where nothing was measured, and on all processes but the first. ``forecast``:
    what was forecast for the steps that were made, be they fewer than planned, and ``reconciliation`` what came of it.
    ``over``: a limit was passed that is enforced.
    """

    fitted: Fitted
    foretold: Foretold | None = None
    forecast: Account | None = None
    account: Account | None = None
    reconciliation: Reconciliation | None = None
    run: Run | None = None
    over: bool = False


def train(
    plan: Recipe | str | Path,
    output: str | Path,
    *,
    asked: Asked | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    session: Session | None = None,
) -> Trained:
    """Pre-train by a plan: forecast before the first step, measured, kept in the ledger.

    Args:
        plan: The plan, or its file.
        output: The run's folder.
        asked: Where it is, what it is for, what it may take.
        max_steps: Number of the last step to make; the schedule stays that of the whole run.
        resume: Go on with the run in the folder.
        session: Device and screen.

    Raises:
        TonneError: As of ``tonne.train.fit``; what is asked makes no sense.
    """
    from tonne.describe.recipe import Recipe  # noqa: PLC0415 - with pydantic
    from tonne.train.job import job_of, store_folder  # noqa: PLC0415 - importing the room loads no torch

    recipe = plan if isinstance(plan, Recipe) else Recipe.from_toml(plan)
    started = _started(recipe, plan, output, asked, session)
    job = job_of(recipe, store_folder(recipe, started.home / STORES))
    return started.run(job, max_steps=max_steps, resume=resume)


def finetune(
    plan: FinetuningRecipe | str | Path,
    output: str | Path,
    *,
    asked: Asked | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    session: Session | None = None,
) -> Trained:
    """Teach a pre-trained model a task by a plan; a model that has to be trained first is a run of its own.

    Where that first run was stopped at a limit, it is what is returned.

    Args:
        plan: As of `train`.
        output: As of `train`.
        asked: As of `train`; limits hold for each of the two runs.
        max_steps: As of `train`.
        resume: As of `train`.
        session: As of `train`.

    Raises:
        TonneError: As of ``tonne.train.finetune``; what is asked makes no sense.
    """
    from tonne.describe.finetuning import FinetuningRecipe  # noqa: PLC0415 - as above
    from tonne.train.finetuning import finetuning_job  # noqa: PLC0415 - as above
    from tonne.train.origin import origin_folder  # noqa: PLC0415 - as above

    recipe = plan if isinstance(plan, FinetuningRecipe) else FinetuningRecipe.from_toml(plan)
    started = _started(recipe, plan, output, asked, session)
    first = First(started)
    try:
        folder = origin_folder(recipe, started.home, started.session, trainer=first)
    except TrainingError:
        if first.trained is not None and first.trained.over:
            return first.trained
        raise
    job = finetuning_job(recipe, started.home, started.session)
    return replace(started, model_of=run_that_made(folder)).run(job, max_steps=max_steps, resume=resume)


def _started(
    recipe: Recipe, plan: Recipe | str | Path, output: str | Path, asked: Asked | None, session: Session | None
) -> Started:
    from tonne.train.fitting import Session  # noqa: PLC0415 - as above

    asked = (asked or Asked()).checked()
    asked.place(recipe.site)
    home = writable_home(asked.home or Path(tonne_home()), Path(output))
    return Started(
        recipe=recipe,
        output=Path(output),
        asked=replace(asked, home=home),
        plan_file=Path(plan) if isinstance(plan, str | Path) else None,
        session=replace(session or Session(), home=home),
        home=home,
    )


def writable_home(home: Path, output: Path) -> Path:
    """Where tonne can keep its files: TONNE_HOME, or where that refuses a folder in the run's own, with a warning."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError as error:
        own = output / PREPARED
        LOG.warning(
            "%s cannot be written (%s): what is prepared for this run is kept in %s.", home, error.strerror, own
        )
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A plan about to be run; ``model_of``: the run whose model it starts from."""

    recipe: Recipe
    output: Path
    asked: Asked
    plan_file: Path | None
    session: Session
    home: Path
    model_of: str | None = None

    def run(self, job: Job, *, max_steps: int | None, resume: bool) -> Trained:
        """The run itself."""
        from tonne.train.fitting import fit  # noqa: PLC0415 - as above

        earlier = kept_in(self.output) if resume else None
        goes_on = earlier is not None and earlier.goes_on and self.asked.measured
        metering = Metering(
            self.asked,
            self.output,
            self.asked.name or (earlier.name if earlier is not None and goes_on else job.name),
            site=self.asked.place(self.recipe.site),
            labels=self._labels(),
            before=earlier if goes_on else None,
        )
        origin = Origin(model_of=self.model_of, continues=None if earlier is None or goes_on else earlier.run)
        try:
            fitted = fit(
                job, self.output, max_steps=max_steps, resume=resume, observers=[metering], session=self.session
            )
        except BaseException:
            if metering.begun_unix_s and metering.first:
                tell_ledger(self._recorded(metering, origin, None), _ending(metering, None))
            raise
        metering.end(_ending(metering, fitted))
        if not fitted.first:
            return Trained(fitted=fitted)
        return self._told(metering, origin, fitted)

    def _told(self, metering: Metering, origin: Origin, fitted: Fitted) -> Trained:
        """The end of a run: its account, its line for the ledger, its pace for the next forecast."""
        account = metering.account()
        if account is not None:
            metering.check(account)
        recorded = self._recorded(metering, origin, fitted)
        kept = tell_ledger(recorded, _ending(metering, fitted))
        pace = pace_of(metering, account)
        if pace is not None:
            keep_pace(self.home, pace)
        run = None if kept is None else run_of(recorded, kept, account)
        forecast, inputs = _forecast(metering, kept)
        compared = None
        if run is not None and account is not None and forecast is not None:
            compared = reconciled(forecast, account, inputs, run.work, run.stages)
        return Trained(
            fitted=fitted,
            foretold=metering.foretold,
            forecast=forecast,
            account=account,
            reconciliation=compared,
            run=run,
            over=metering.over is not None and self.asked.enforce,
        )

    def _labels(self) -> dict[str, Any]:
        return self.asked.labels(FINAL if self.recipe.task is None else FINE_TUNING)

    def _recorded(self, metering: Metering, origin: Origin, fitted: Fitted | None) -> Recorded:
        return Recorded(
            metering=metering,
            recipe=self.recipe,
            plan_file=self.plan_file,
            output=self.output,
            asked=self.asked,
            labels=self._labels(),
            origin=origin,
            fitted=fitted,
        )


class First:
    """Trains the model that another run starts from, measured as a run of its own."""

    def __init__(self, started: Started) -> None:
        """Of the run that starts from it."""
        self._started = started
        self.trained: Trained | None = None

    def __call__(self, job: Job, output: Path, *, resume: bool, session: Session) -> Fitted:
        """As ``tonne.train.fit``."""
        from tonne.describe.recipe import Recipe  # noqa: PLC0415 - as above

        then, origin = self._started, self._started.recipe.start.origin
        assert isinstance(origin, Described)
        asked = replace(then.asked, name=None, purpose=None, commands=())
        file = Path(origin.train)
        recipe = Recipe.from_toml(file)
        own = Started(recipe=recipe, output=output, asked=asked, plan_file=file, session=session, home=then.home)
        self.trained = own.run(job, max_steps=None, resume=resume)
        return self.trained.fitted


def run_of(told: Recorded, kept: Kept, account: Account | None) -> Run:
    """The run as the ledger will have it, as far as the program that trained it knows."""
    plan, notes = plan_of(told)
    return Run(
        id=kept.run,
        name=kept.name,
        kind=MEASURED,
        status=_ending(told.metering, told.fitted),
        begun_unix_s=kept.begun_unix_s or told.metering.begun_unix_s,
        ended_unix_s=told.metering.ended_unix_s,
        **told.labels,
        account=account,
        plan=plan,
        work=work_of(told, kept),
        forecast=kept.forecast,
        forecast_inputs=kept.forecast_inputs,
        stages=tuple(Stage(name=name, duration_s=seconds) for name, seconds in kept.stages_s.items()),
        series=kept.series,
        evidence=evidence_of(told),
        links=told.origin.links(),
        notes=notes,
    )


def _forecast(metering: Metering, kept: Kept | None) -> tuple[Account | None, Mapping[str, Estimate]]:
    """What was forecast for the steps that all parts of the run made, and its inputs; None where nothing was."""
    ahead, found = metering.ahead, metering.foretold
    if ahead is None or found is None:
        return None, {}
    if kept is None or not kept.forecast_inputs:
        return found.account, found.inputs
    return for_work(kept.forecast_inputs, ahead, kept.steps, kept.counts)


def _ending(metering: Metering, fitted: Fitted | None) -> str:
    """How a run ended, as the ledger has it."""
    if fitted is None:
        return status.STOPPED if isinstance(metering.error, KeyboardInterrupt) else status.FAILED
    return status.STOPPED if fitted.stopped_by in {"observer", "signal"} else status.FINISHED


def pace_of(metering: Metering, account: Account | None) -> Pace | None:
    """How fast the machine was in this part of the run; None where it was too short to say."""
    ahead, found = metering.ahead, metering.foretold
    if ahead is None or found is None or metering.steps < LEAST_STEPS:
        return None
    stepping_s = metering.all_stages_s()[STEPPING]
    step_s = (stepping_s - metering.first_step_s) / (metering.steps - 1)
    if not step_s > 0 or not math.isfinite(step_s):
        return None
    tried = {STEP: found.timed.step_s, **{stage: getattr(found.timed, name) for stage, name in TIMED_AS.items()}}
    means = {stage: metering.stages_s[stage] / metering.counts[stage] for stage in metering.stages_s}
    use = None if account is None or metering.before is not None else account.energy
    lasted = None if account is None or account.duration_s is None else float(account.duration_s.value)
    watts = watts_of(use, lasted * ahead.processes / ahead.processes_here) if use is not None and lasted else {}
    return Pace(
        machine=ahead.machine,
        shape=ahead.shape,
        steps=metering.steps,
        tried={name: seconds for name, seconds in tried.items() if seconds is not None},
        measured={STEP: step_s, START: max(0.0, metering.first_step_s - step_s), **means},
        watts={part: (one.value, one.low, one.high) for part, one in watts.items()},
        tried_slowness=found.timed.slowness,
        slowness=metering.slowness(),
        measured_parts=tuple(part for part, one in watts.items() if one.basis is Basis.MEASURED),
    )
