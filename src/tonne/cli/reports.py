"""`tonne report`: finds what is meant, makes the page, and writes it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tonne.cli import own
from tonne.cli.options import plan_from
from tonne.errors import DescriptionError, LedgerError, RunFolderError
from tonne.ledger.records import Run
from tonne.report.page.formats import format_named, save_charts, text_of
from tonne.report.page.language import words_of
from tonne.report.page.subject import Subject, of_forecast, of_project, of_run

BROWSER = "TONNE_BROWSER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command."""

    format: str | None = None
    language: str = "en"
    output: str | None = None
    charts: str | None = None
    own_runs: bool = True  # whether plans are forecast with the user's own calibration


def run(name: str, asked: Asked) -> None:
    """Write the report of what is named.

    Raises:
        TonneError: Nothing of that name is known, or the report cannot be made or written as asked.
    """
    form = format_named(asked.format, asked.output)
    words_of(asked.language)
    program = _browser(asked) if form == "pdf" else ""
    subject = subject_named(name, own_runs=asked.own_runs)
    text = text_of(subject, form, asked.language)
    if asked.output is None:
        sys.stdout.write(text)
    else:
        _write(text, Path(asked.output), program)
        print(f"Written: {asked.output}", file=sys.stderr)
    if asked.charts is not None:
        _write_charts(subject, asked.charts, asked.language)


def _browser(asked: Asked) -> str:
    """The browser that prints; looked for first, so that nobody waits for a report that cannot be printed."""
    from tonne.report.page.pdf import browser  # noqa: PLC0415 - only for PDF

    if asked.output is None:
        raise DescriptionError("--format pdf writes a file: name it with --output report.pdf.")
    return browser(os.environ.get(BROWSER))


def _write(text: str, path: Path, program: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if program:
            from tonne.report.page.pdf import pdf  # noqa: PLC0415 - only for PDF

            pdf(text, path, program)
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}. Give another --output.") from None


def _write_charts(subject: Subject, folder: str, language: str) -> None:
    try:
        paths = save_charts(subject, Path(folder), language)
    except OSError as error:
        raise RunFolderError(f"{folder} cannot hold charts: {error.strerror}. Give another --charts.") from None
    print(f"Written: {len(paths)} files of charts in {folder}", file=sys.stderr)


def subject_named(name: str, *, own_runs: bool = True) -> Subject:
    """What a name means: a plan file, a document of a run or a forecast, a run of the ledger, or a project of it.

    Args:
        name: That the user wrote.
        own_runs: Whether plans are forecast with the user's own calibration.

    Raises:
        TonneError: It is none of these.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return _of_plan(name, own_runs=own_runs)
    if path.suffix == ".json" or path.is_file():
        return _of_document(path, own_runs=own_runs)
    return _of_ledger(name, own_runs=own_runs)


def _of_plan(name: str, *, own_runs: bool) -> Subject:
    from tonne.forecasting import forecast  # noqa: PLC0415 - reports of runs that are measured go without

    calibration = own.calibration(own=own_runs)
    command = f"tonne forecast {name}" if own_runs else f"tonne forecast {name} --no-own-calibration"
    return of_forecast(forecast(plan_from(name, {}), calibration), [command], calibration)


def _of_document(path: Path, *, own_runs: bool) -> Subject:
    """The document that `tonne report --format json`, `tonne export --as json` or `tonne forecast --json` wrote."""
    from tonne.report.document import from_document  # noqa: PLC0415 - as above
    from tonne.report.page.figures import runs_of  # noqa: PLC0415 - as above

    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionError(
            f"{path} cannot be read: {error.strerror}. Give a run, a project or a plan file."
        ) from None
    except ValueError as error:
        raise DescriptionError(f"{path} is no JSON document: {error}. Give a run, a project or a plan file.") from None
    if not isinstance(fields, dict):
        raise DescriptionError(f"{path} holds no document of a run. Write one: tonne report RUN --format json.")
    if "plan" in fields and "account" in fields:
        return of_forecast(from_document(fields), [f"tonne report {path}"], own.calibration(own=own_runs))
    runs = runs_of(fields)
    if "project" in fields:
        return of_project(str(fields["project"]), runs)
    name = str(fields.get("name", runs[0].name))
    if len(runs) == 1 and name in {runs[0].name, runs[0].id}:  # another name is that of a project of one run
        return _of_run(runs[0], own_runs=own_runs)
    return of_project(name, runs[::-1])  # exports begin with the newest


def _of_ledger(name: str, *, own_runs: bool) -> Subject:
    """The run or the project of that name."""
    from tonne.cli.subjects import run_or_project  # noqa: PLC0415 - plans and documents go without
    from tonne.ledger.book import Ledger  # noqa: PLC0415 - as above

    with Ledger.open() as ledger:
        try:
            found = run_or_project(ledger, name)
        except LedgerError as error:
            raise LedgerError(f"{error} Nor is there such a project, or a plan file.") from None
    return _of_run(found, own_runs=own_runs) if isinstance(found, Run) else of_project(name, found[::-1])


def _of_run(run: Run, *, own_runs: bool) -> Subject:
    """One run; a calibration file that is broken is no matter to one without a plan."""
    return of_run(run, own.calibration(own=own_runs and run.plan is not None))
