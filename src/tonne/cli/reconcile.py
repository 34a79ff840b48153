"""`tonne reconcile` and `tonne calibration`: forecasts beside what was measured, and what is learnt from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tonne.calibrate.own_rows import Rows, keep, rows_of, taken_out
from tonne.cli import own
from tonne.describe.plan import TrainingPlan
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import CalibrationError, MeasurementError
from tonne.forecasting import forecast as forecast_of
from tonne.ledger.book import Ledger
from tonne.ledger.records import FORECAST, FORETOLD_BY, Run
from tonne.ledger.rows import Filter
from tonne.measure import inbox
from tonne.reconcile import Coverage, Reconciliation, coverage_of, reconciled_run
from tonne.reference.own_runs import OwnRun, own_runs
from tonne.report.reconcile_text import calibration_lines, coverage_lines, kept_lines, lines

MOST_RUNS = 200  # the newest that were foretold: a second, and what older versions forecast says little of this one
OFF = "own calibration is off (TONNE_CALIBRATION=off)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A run with the forecast that it is compared with: its id or file, and whether the run had begun by then.

    ``is_news``: the run carried no forecast, and this one was made before it began: the ledger shall know of it.
    """

    run: Run
    forecast: str | None
    after_the_fact: bool = False
    is_news: bool = False


def run(name: str, *, forecast: str | None, calibrate: bool, as_json: bool = False) -> None:
    """Print the comparison of a run with its forecast, and keep the run as calibration."""
    with Ledger.open() as ledger:
        measured = ledger.run(name)
        matched = _matched(measured, forecast, ledger)
        found = reconciled_run(matched.run, after_the_fact=matched.after_the_fact)
        if matched.is_news:
            inbox.put("work", {"run": measured.id, "forecast_id": matched.forecast})
            ledger.take_in()
        coverage = coverage_of(_foretold(ledger))
    rows, file = Rows(rows=(), reasons=()), own.path() if calibrate else None
    if calibrate:
        rows = rows_of(matched.run) if file is not None else Rows(rows=(), reasons=(OFF,))
    if file is not None and rows.rows:
        keep(file, rows.rows)
    if as_json:
        _print(_document(matched, found, coverage, rows, file))
        return
    text = [*lines(matched.run, found), *coverage_lines(coverage)]
    print("\n".join([*text, *(kept_lines(rows.rows, rows.reasons, file) if calibrate else [])]))


def show_coverage(*, as_json: bool = False) -> None:
    """Print how often what was measured lay inside what was forecast, over all runs of the ledger."""
    with Ledger.open() as ledger:
        coverage = coverage_of(_foretold(ledger))
    if as_json:
        _print({"coverage": plain(coverage)})
    elif coverage:
        print("\n".join(coverage_lines(coverage)))
    else:
        print(
            "No run was forecast before it began, measured, and finished. Forecast and measure one: tonne train "
            "CONFIG, or compare a run with its plan: tonne reconcile RUN --forecast plan.toml",
            file=sys.stderr,
        )


def show_calibration(*, as_json: bool = False) -> None:
    """Print the own runs that forecasts use."""
    file = own.path()
    rows: Iterable[OwnRun] = () if file is None else own_runs(file)
    if as_json:
        _print({"calibration": {"path": file, "rows": plain(tuple(rows))}})
    elif rows:
        print("\n".join(calibration_lines(tuple(rows))))
    else:
        print(f"{OFF if file is None else f'{file} holds no run'}. Keep one: tonne reconcile RUN", file=sys.stderr)


def delete(name: str) -> None:
    """Take a run out of the calibration."""
    file = own.path()
    if file is None:
        raise CalibrationError(f"{OFF}: there is nothing to take a run out of. Unset TONNE_CALIBRATION.")
    count = taken_out(file, name)
    print(f"{count} row{'s' if count > 1 else ''} taken out of {file}")


def _matched(run: Run, asked: str | None, ledger: Ledger) -> Matched:
    """The run with the forecast that was asked for, else the one it carries, else the one it is linked to."""
    if run.kind == FORECAST:
        raise MeasurementError(
            f"{run.id} is a forecast, not a run. Name the run: tonne reconcile RUN --forecast {run.id}"
        )
    if asked is not None:
        is_plan = asked.endswith(".toml") or Path(asked).is_file()
        return _with_plan(run, asked) if is_plan else _with_forecast(run, ledger.run(asked))
    linked = next((link.to for link in run.links if link.kind == FORETOLD_BY), None)
    if run.forecast is None and linked is not None:
        return _with_forecast(run, ledger.run(linked))
    return Matched(run=run, forecast=linked)


def _with_plan(run: Run, path: str) -> Matched:
    """The run with a forecast that is made now; the run itself is kept out of it."""
    plan = TrainingPlan.from_toml(path)
    made = forecast_of(plan, own.calibration(but=run.id))
    known = replace(run, forecast=made.account, forecast_inputs=made.inputs, plan=plain(plan))
    return Matched(run=known, forecast=path, after_the_fact=True)


def _with_forecast(run: Run, made: Run) -> Matched:
    """The run with a forecast of the ledger.

    Raises:
        MeasurementError: It is none.
    """
    if made.kind != FORECAST or made.account is None:
        raise MeasurementError(
            f"{made.id} is no forecast. Name one that `tonne forecast` made, or give the plan: "
            f"tonne reconcile {run.id} --forecast plan.toml"
        )
    known = replace(run, forecast=made.account, forecast_inputs=made.forecast_inputs, plan=made.plan or run.plan)
    late = made.begun_unix_s > run.begun_unix_s
    return Matched(run=known, forecast=made.id, after_the_fact=late, is_news=run.forecast is None and not late)


def _foretold(ledger: Ledger) -> Iterable[Run]:
    """The newest runs that were forecast before they began."""
    return ledger.whole(Filter(is_foretold=True, limit=MOST_RUNS))


def _document(
    matched: Matched, found: Reconciliation, coverage: tuple[Coverage, ...], rows: Rows, file: str | None
) -> dict[str, Any]:
    run = matched.run
    return {
        "run": {"id": run.id, "name": run.name, "status": run.status, "forecast": matched.forecast},
        "reconciliation": plain(found),
        "coverage": plain(coverage),
        "calibration": {
            "path": file if rows.rows else None,
            "rows": plain(rows.rows),
            "reasons": list(rows.reasons),
        },
    }


def _print(fields: dict[str, Any]) -> None:
    print(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, indent=2, allow_nan=False, ensure_ascii=False))
