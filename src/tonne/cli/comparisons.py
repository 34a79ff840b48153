"""`tonne compare`: which runs and plans are meant, and what later ones take beside the first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from tonne.cli import options, own
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError, LedgerError, PlanFileError
from tonne.forecasting import Forecast, forecast
from tonne.ledger.book import Ledger
from tonne.ledger.records import Run
from tonne.planning import Comparison, Scenario, compare, scenario_of
from tonne.planning.comparison import LETTERS, MOST, Pair
from tonne.planning.scenario import QUANTITIES
from tonne.report.comparison_text import comparison_lines
from tonne.report.document import from_document

BAD_USAGE: Any = typer.BadParameter.__bases__[0]  # UsageError, of click or of typer's own copy of it
NOT_COMPARED = ("json", "explain", "inference", "no_ledger", "project", "tag")


def run(sides: Sequence[str], shared: str, *, as_json: bool = False) -> None:
    """Print the comparison of what is named."""
    if not 2 <= len(sides) <= MOST:
        raise DescriptionError(
            f"{len(sides)} of them cannot be compared. Name two to {MOST}; the first is the measure."
            f" A run beside what was forecast of it: tonne reconcile RUN."
        )
    found = compare(*(side_of(text, shared) for text in sides))
    if as_json:
        print(json.dumps(_document(found), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(comparison_lines(found)))


def side_of(text: str, shared: str = "") -> Scenario:
    """What one argument means: a document, a plan with options, or a run of the ledger.

    Raises:
        TonneError: It is none of these.
    """
    words = _words(text)
    name = words[0]
    if name.endswith(".json") and len(words) == 1:
        return scenario_of(_document_in(name), name=text)
    if len(words) > 1 or _is_plan(name):
        return scenario_of(_forecast([*words, *shlex.split(shared)]), name=text)
    run = _run(name)
    return scenario_of(run, name=run.id if run.name in run.id else f"{run.name}, {run.id}")


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DescriptionError(f"{text!r} cannot be read: {error}. Close the quotes inside it.") from None
    if not words:
        raise DescriptionError("'' names nothing to compare. Give a run's id, a plan file, or a model with options.")
    return words


def _is_plan(name: str) -> bool:
    """Whether this is a file, or a folder with a model's description; a run's folder is the ledger's to find."""
    path = Path(name)
    return name.endswith(".toml") or path.is_file() or (path / "config.json").is_file()


def _forecast(words: list[str]) -> Forecast:
    """What `tonne forecast` would print of the same words."""
    try:
        given = _forecast_command().make_context("forecast", words).params
    except BAD_USAGE as error:
        raise DescriptionError(f"{shlex.join(words)!r}: {error.format_message()} See tonne forecast --help.") from None
    except typer.Exit:
        raise DescriptionError(f"{shlex.join(words)!r} asks for help, which names nothing to compare.") from None
    other = [name for name in NOT_COMPARED if given.get(name)]
    if other:
        flag = other[0].replace("_", "-")
        raise DescriptionError(f"--{flag} has no meaning inside {shlex.join(words)!r}: leave it out.")
    place = options.Place(
        site=given["site"], grid=given["grid"], region=given["region"], gco2e_per_kwh=given["grid_gco2e_per_kwh"]
    )
    fields = {name: value for name, value in given.items() if name in options.FIELD_OF and value is not None}
    plan = options.plan_from(given["plan"], fields, given["accelerators"], place)
    return forecast(plan, own.calibration(own=given["own_calibration"]))


@cache  # all commands are built for it
def _forecast_command() -> Any:  # noqa: ANN401 - a command of typer's
    from tonne.cli.main import app  # noqa: PLC0415 - it registers this command

    return get_command(app).commands["forecast"]  # type: ignore[attr-defined]


def _document_in(name: str) -> Forecast:
    path = Path(name)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanFileError(
            f"{path} cannot be read: {error.strerror}. Make it: tonne forecast PLAN --json > {path}"
        ) from None
    except ValueError as error:
        raise PlanFileError(f"{path} is not JSON: {error}. Make it: tonne forecast PLAN --json > {path}") from None
    if not isinstance(fields, dict) or "account" not in fields:
        raise PlanFileError(f"{path} holds no forecast. Make it: tonne forecast PLAN --json > {path}")
    return from_document(fields)


def _run(name: str) -> Run:
    try:
        with Ledger.open() as ledger:
            return ledger.run(name)
    except LedgerError as error:
        raise LedgerError(
            f"{error} A plan is meant by its file, or by a model with options in quotes: "
            f"'gpt-3-175b --tokens 300B --accelerators 1024xA100-80GB'."
        ) from None


def _document(found: Comparison) -> dict[str, Any]:
    """The comparison as built-in types; keys of quantities are paths of an account, units in their names."""
    return {
        "schema_version": SCHEMA_VERSION,
        "scenarios": [_side(letter, side) for letter, side in zip(LETTERS, found.scenarios, strict=False)],
        "pairs": [_pair(letter, pair) for letter, pair in zip(LETTERS[1:], found.pairs, strict=False)],
        "notes": list(found.notes),
    }


def _side(letter: str, side: Scenario) -> dict[str, Any]:
    estimates = {path: plain(side.estimate(path)) for path in QUANTITIES}
    return {"letter": letter, "name": side.name, "kind": side.kind, "quantities": estimates, "facts": dict(side.facts)}


def _pair(letter: str, pair: Pair) -> dict[str, Any]:
    return {"of": letter, "beside": LETTERS[0], **plain(pair)}
