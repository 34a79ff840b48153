"""What a word means that names runs: a plan file, a run of the ledger, or a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tonne.cli import own
from tonne.cli.moments import unix_s
from tonne.cli.options import is_config, plan_from
from tonne.count.parameters import active_parameters, parameters
from tonne.describe.architecture import Architecture
from tonne.describe.presets import preset_ids
from tonne.describe.start import Start
from tonne.errors import DescriptionError, LedgerError
from tonne.forecasting.modification import original_training_flop
from tonne.ledger.book import Ledger
from tonne.ledger.lenses.history import parents
from tonne.ledger.records import FORECAST, Run, Work
from tonne.ledger.rows import Filter, matches

WHOLE_LEDGER, NO_PROJECT = "the ledger", "runs of no project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A word that may name anything, or a project, and a time; nothing: the whole ledger.

    ``own_runs``: whether a plan is forecast with the user's own calibration.
    """

    word: str | None = None
    project: str | None = None
    since: str | None = None
    until: str | None = None
    own_runs: bool = True

    @property
    def names_all(self) -> bool:
        """Whether the whole ledger is meant."""
        return self.word is None and self.project is None


def runs_of(named: Named, *, with_presets: bool = False) -> tuple[str, tuple[Run, ...]]:
    """The name of what is meant, and its runs; a plan is forecast.

    Args:
        named: What the user wrote.
        with_presets: Whether a published model, of which the work is known and nothing else, will do.

    Raises:
        DescriptionError: Both a word and a project are given, or a time is none.
        LedgerError: Nothing is called so, or the ledger cannot be read.
    """
    if named.word is not None and named.project is not None:
        raise DescriptionError(f"{named.word!r} and --project {named.project!r} both name runs. Give one of them.")
    if named.word is not None and _is_plan(named.word):
        run = _forecast(named.word, own_runs=named.own_runs)
        return run.name, (run,)
    with Ledger.open() as ledger:
        if named.word is None:
            runs = _of_project(ledger, named.project, named)
            return named.project or (runs[0].name if len(runs) == 1 else WHOLE_LEDGER), runs
        return _of_word(ledger, named.word, named, with_presets=with_presets)


def before(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs of the ledger that trained the weights that some runs start from, through all generations."""
    found = {run.id: run for run in runs}
    asked, waiting = set(found), [parent for run in found.values() for parent in parents(run)]
    if not waiting:
        return ()
    with Ledger.open() as ledger:
        while waiting:
            parent = waiting.pop()
            with suppress(LedgerError):  # trained elsewhere
                run = ledger.run(parent)
                if parent in (run.id, run.name) and run.id not in found:
                    found[run.id] = run
                    waiting += parents(run)
    return tuple(run for name, run in found.items() if name not in asked)


def by_project(runs: Iterable[Run]) -> Mapping[str, tuple[Run, ...]]:
    """Runs by their project: those of several projects are not of one model."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.project or NO_PROJECT, []).append(run)
    return {project: tuple(of_it) for project, of_it in found.items()}


def _is_plan(word: str) -> bool:
    path = Path(word)
    if path.is_dir():  # a project's folder often has the project's name
        return (path / "config.json").is_file()
    return path.suffix == ".toml" or is_config(word) or path.is_file()


def _forecast(word: str, *, own_runs: bool) -> Run:
    from tonne.forecasting import forecast  # noqa: PLC0415 - only plans are forecast
    from tonne.ledger.lenses.forecasts import run_of_forecast  # noqa: PLC0415 - as above

    return run_of_forecast(forecast(plan_from(word, {}), own.calibration(own=own_runs)))


def _of_project(ledger: Ledger, project: str | None, named: Named) -> tuple[Run, ...]:
    """Runs that happened; where there are none, forecasts."""
    found = _kept(ledger, project, named)
    if not found and (named.since or named.until):
        asked = [f"--{option} {text}" for option, text in (("since", named.since), ("until", named.until)) if text]
        of = "" if project is None else f" of the project {project!r}"
        raise LedgerError(f"no run{of} began in the time of {' '.join(asked)}. `tonne runs` lists when each began.")
    if not found and project is not None:
        raise LedgerError(f"no run belongs to the project {project!r}. `tonne runs` lists runs with their projects.")
    if not found:
        raise LedgerError("the ledger has no run yet. Measure one: tonne run -- python train.py, or name a plan file.")
    return found


def _kept(ledger: Ledger, project: str | None, named: Named) -> tuple[Run, ...]:
    """Runs that happened, those that go on with them: a sum says that more is to come; else forecasts."""
    since, until = unix_s(named.since, "since"), unix_s(named.until, "until")
    which = Filter(project=project, since_unix_s=since, until_unix_s=until)
    ended = {run.id: run for run in ledger.whole(which)}
    unread = [row for row in ledger.unread() if matches(row, which)]
    going = {row.id: ledger.run(row.id) for row in unread}
    return tuple((going | ended | going).values()) or tuple(ledger.whole(replace(which, kinds=(FORECAST,))))


def _of_word(ledger: Ledger, word: str, named: Named, *, with_presets: bool) -> tuple[str, tuple[Run, ...]]:
    """The run or the project of that name; else the published model."""
    try:
        found = run_or_project(ledger, word, named)
    except LedgerError as error:
        if word.strip().lower() not in preset_ids():
            raise LedgerError(f"{error} Nor is there such a project, or a plan file.") from None
        if not with_presets:
            raise DescriptionError(
                f"{word} is a published model, of which no run is known. Give a plan file that says how it is trained."
            ) from None
        return word, (_published(word),)
    return (found.name, (found,)) if isinstance(found, Run) else (word, found)


def run_or_project(ledger: Ledger, word: str, named: Named = Named()) -> Run | tuple[Run, ...]:
    """The run of that id or name; else all runs of the project; else the run whose id begins so.

    Args:
        ledger: That is asked.
        word: What the user wrote.
        named: The time in which runs of a project count.

    Raises:
        LedgerError: There is neither, or no run of the project in that time.
    """
    try:
        run = ledger.run(word)
    except LedgerError:
        if not _kept(ledger, word, Named()):
            raise
        return _of_project(ledger, word, named)
    if word in (run.id, run.name) or not _kept(ledger, word, Named()):
        return run
    return _of_project(ledger, word, named)


def _published(preset: str) -> Run:
    """A published model with the work of its training, as far as its row tells."""
    notes: list[str] = []
    flop = original_training_flop(Start.model_validate({"from": preset}), notes)
    architecture = Architecture.preset(preset.strip().lower())
    work = Work(
        parameters=parameters(architecture),
        active_parameters=active_parameters(architecture),
        training_flop=None if flop is None else flop.value,
    )
    return Run(id=preset, name=preset, kind=FORECAST, status=FORECAST, begun_unix_s=0.0, work=work, notes=tuple(notes))
