"""The report as data: the whole record as JSON, and every figure as a row of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain, rebuilt
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.ledger.records import Run
from tonne.report.labels import no_formula
from tonne.report.page.coefficients import factors_behind, unit_of_input
from tonne.report.page.quantities import EVERY, estimate_at, unit_of
from tonne.report.page.subject import Subject

COLUMNS = ("run", "quantity", "value", "low", "high", "unit", "basis", "source")
SEPARATOR = "; "


def document(subject: Subject) -> dict[str, Any]:
    """The record of a run, or those of a project with their sum, as built-in types.

    Returns:
        schema_version and run; of a project schema_version, project, account (the sum), known (of how many runs each
        figure is known) and runs.
    """
    if not subject.is_project:
        return {"schema_version": SCHEMA_VERSION, "run": plain(subject.run)}
    return {
        "schema_version": SCHEMA_VERSION,
        "project": subject.name,
        "account": plain(subject.account),
        "known": dict(subject.known),
        "runs": [plain(run) for run in subject.runs],
    }


def runs_of(fields: Mapping[str, Any]) -> list[Run]:
    """The runs of a document, equal to those it was made from.

    Raises:
        DescriptionError: It is of another version, or holds no run.
    """
    version = fields.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DescriptionError(
            f"schema_version={version!r} cannot be read. This version of tonne reads {SCHEMA_VERSION!r}."
        )
    kept = fields["runs"] if "runs" in fields else [fields["run"]] if "run" in fields else []
    try:
        found = [rebuilt(Run, one) for one in kept]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DescriptionError(f"the document holds a run that cannot be read ({error}). Write it again.") from None
    if not found:
        raise DescriptionError("the document holds neither a run nor runs. Write one: tonne report RUN --format json.")
    return found


def table(subject: Subject) -> str:
    """Every known figure and coefficient as CSV, a row each; of a project, its sum first, under its name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(subject))
    return text.getvalue()


def _rows(subject: Subject) -> Iterator[tuple[Any, ...]]:
    if subject.is_project:
        for quantity in EVERY:
            yield from _row(subject.name, quantity.path, estimate_at(subject.account, quantity.path))
    for run in subject.runs:
        for quantity in EVERY:
            yield from _row(run.id, quantity.path, estimate_at(run.account, quantity.path))
        for quantity in EVERY:
            path = quantity.path
            yield from _row(run.id, f"forecast.{path}", estimate_at(run.forecast, path), unit_of(path))
        for name, estimate in factors_behind(run).items():
            yield from _row(run.id, f"input.{name}", estimate, unit_of_input(name) or "1")


def _row(run: str, quantity: str, estimate: Estimate | None, unit: str | None = None) -> Iterator[tuple[Any, ...]]:
    """The row of a figure; none where it is unknown, and the table says nothing of it."""
    if estimate is not None:
        sources = SEPARATOR.join(source.replace(";", ",") for source in estimate.sources)
        numbers = (repr(float(n)) for n in (estimate.value, estimate.low, estimate.high))
        yield (
            no_formula(run),
            quantity,
            *numbers,
            unit or unit_of(quantity),
            estimate.basis.value,
            no_formula(sources),
        )


def figures_of(text: str) -> dict[tuple[str, str], Estimate]:
    """The figures of such a table, by run and quantity; their numbers are exactly those that were written."""
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        sources = tuple(row["source"].split(SEPARATOR)) if row["source"] else ()
        found[row["run"], row["quantity"]] = Estimate(
            value=value, low=low, high=high, basis=Basis(row["basis"]), sources=sources
        )
    return found
