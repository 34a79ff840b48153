"""What a word means that names runs: a plan file, a run of the ledger, or a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tonne.cli.options import is_config, plan_from
from tonne.count.parameters import active_parameters, parameters
from tonne.describe.architecture import Architecture
from tonne.describe.presets import preset_ids
from tonne.describe.start import Start
from tonne.errors import DescriptionError, LedgerError
from tonne.forecasting.modification import original_training_flop
from tonne.ledger.book import Ledger
from tonne.ledger.records import FORECAST, Run, Work
from tonne.ledger.rows import Filter

WHOLE_LEDGER = "the ledger"


@dataclass(frozen=True, slots=True)
class Named:
    """A word that may name anything, or a project; neither: the whole ledger."""

    word: str | None = None
    project: str | None = None


def runs_of(named: Named, *, with_presets: bool = False) -> tuple[str, tuple[Run, ...]]:
    """The name of what is meant, and its runs; a plan is forecast.

    Args:
        named: What the user wrote.
        with_presets: Whether a published model, of which the work is known and nothing else, will do.

    Raises:
        DescriptionError: Both are given.
        LedgerError: Nothing is called so, or the ledger cannot be read.
    """
    if named.word is not None and named.project is not None:
        raise DescriptionError(f"{named.word!r} and --project {named.project!r} both name runs. Give one of them.")
    if named.word is not None and _is_plan(named.word):
        run = _forecast(named.word)
        return run.name, (run,)
    with Ledger.open() as ledger:
        if named.word is None:
            runs = _of_project(ledger, named.project)
            return named.project or (runs[0].name if len(runs) == 1 else WHOLE_LEDGER), runs
        return _of_word(ledger, named.word, with_presets=with_presets)


def _is_plan(word: str) -> bool:
    path = Path(word)
    return path.suffix == ".toml" or is_config(word) or path.is_file()


def _forecast(word: str) -> Run:
    from tonne.forecasting import forecast  # noqa: PLC0415 - only plans are forecast
    from tonne.ledger.lenses.forecasts import run_of_forecast  # noqa: PLC0415 - as above

    return run_of_forecast(forecast(plan_from(word, {})))


def _of_project(ledger: Ledger, project: str | None) -> tuple[Run, ...]:
    """Runs that happened; where there are none, forecasts."""
    found = tuple(ledger.whole(Filter(project=project)))
    found = found or tuple(ledger.whole(Filter(project=project, kinds=(FORECAST,))))
    if not found and project is not None:
        raise LedgerError(f"no run belongs to the project {project!r}. `tonne runs` lists runs with their projects.")
    if not found:
        raise LedgerError("the ledger has no run yet. Measure one: tonne run -- python train.py, or name a plan file.")
    return found


def _of_word(ledger: Ledger, word: str, *, with_presets: bool) -> tuple[str, tuple[Run, ...]]:
    """The run of that id or name; else the project; else the published model."""
    try:
        run = ledger.run(word)
    except LedgerError as error:
        in_project = tuple(ledger.whole(Filter(project=word))) or tuple(
            ledger.whole(Filter(project=word, kinds=(FORECAST,)))
        )
        if in_project:
            return word, in_project
        if word.strip().lower() not in preset_ids():
            raise LedgerError(f"{error} Nor is there such a project, or a plan file.") from None
        if not with_presets:
            raise DescriptionError(
                f"{word} is a published model, of which no run is known. Give a plan file that says how it is trained."
            ) from None
        return word, (_published(word),)
    return run.name, (run,)


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
