"""Runs as data: JSON that is rebuilt to equal runs, and a long CSV with a row a quantity. Both in full precision."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain, rebuilt
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.ledger.lenses.view import RUN
from tonne.ledger.records import Run
from tonne.report.exports.forms import Export
from tonne.report.exports.subject import Subject
from tonne.report.labels import no_formula

UNITS = (
    ("_gco2e_per_kwh", "gCO2e/kWh"),
    ("_kgco2e", "kgCO2e"),
    ("_kwh", "kWh"),
    ("_flop", "FLOP"),
    ("_usd", "USD"),
    ("_hours", "h"),
    ("_per_s", "1/s"),
    ("_l", "L"),
    ("_s", "s"),
)
COLUMNS = (
    "run", "name", "kind", "status", "purpose", "project", "verdict", "quantity", "value", "low", "high", "unit",
    "basis", "sources",
)  # fmt: skip
BETWEEN = " | "  # sources in one cell


def as_json(subject: Subject) -> Export:
    """The runs as one document, and the lens where one was asked for."""
    seen = None if subject.lens is None else subject.seen(subject.lens)
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": subject.name,
        "runs": [plain(run) for run in subject.runs],
        "lens": plain(seen),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return Export(text=text, notes=() if seen is None else seen.notes)


def read_json(text: str) -> list[Run]:
    """The runs of a document; equal to those it was made of.

    Raises:
        DescriptionError: The document is of another version.
    """
    document = json.loads(text)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DescriptionError(
            f"schema_version={version!r} cannot be read. This version of tonne reads {SCHEMA_VERSION!r}: "
            f"export it again."
        )
    return [rebuilt(Run, run) for run in document["runs"]]


def as_csv(subject: Subject) -> Export:
    """A row a run and quantity; an unknown one has an empty value."""
    seen = None if subject.lens is None else subject.seen(subject.lens)
    lines = () if seen is None else seen.lines
    verdicts = {line.run: line.verdict.value for line in lines if line.what == RUN}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in subject.runs:
        about = (run.id, run.name, run.kind, run.status, run.purpose or "", run.project or "", verdicts.get(run.id, ""))
        for quantity, estimate in quantities_of(run):
            writer.writerow((*map(no_formula, about), *_cells(quantity, estimate)))
    return Export(text=text.getvalue(), notes=() if seen is None else seen.notes)


def read_csv(text: str) -> dict[tuple[str, str], Estimate | None]:
    """The quantities of a table, by run and name."""
    found: dict[tuple[str, str], Estimate | None] = {}
    for row in csv.DictReader(io.StringIO(text)):
        found[row["run"], row["quantity"]] = None if row["value"] == "" else _estimate(row)
    return found


def quantities_of(run: Run) -> Iterator[tuple[str, Estimate | None]]:
    """Every number of a run's account and work by its path: "energy.facility_kwh"."""
    if run.account is not None:
        yield from _estimates(run.account, "")
    for field in dataclasses.fields(run.work):
        value = getattr(run.work, field.name)
        if value is None or isinstance(value, int | float):
            yield f"work.{field.name}", None if value is None else Estimate.exact(value, Basis.MODELLED, "work")


def _estimates(value: Any, path: str) -> Iterator[tuple[str, Estimate | None]]:  # noqa: ANN401 - a part of an account
    for field in dataclasses.fields(value):
        part, name = getattr(value, field.name), f"{path}{field.name}"
        if isinstance(part, Estimate) or (part is None and "Estimate" in str(field.type)):
            yield name, part
        elif dataclasses.is_dataclass(part):
            yield from _estimates(part, f"{name}.")


def _cells(quantity: str, estimate: Estimate | None) -> tuple[str, ...]:
    unit = next((unit for suffix, unit in UNITS if quantity.endswith(suffix)), "1")
    if estimate is None:
        return (quantity, "", "", "", unit, "", "")
    numbers = [_number(number) for number in (estimate.value, estimate.low, estimate.high)]
    return (quantity, *numbers, unit, estimate.basis.value, no_formula(BETWEEN.join(estimate.sources)))


def _number(value: float) -> str:
    return repr(value) if isinstance(value, int) else repr(float(value))


def _estimate(row: Mapping[str, str]) -> Estimate:
    value, low, high = (_parsed(row[name]) for name in ("value", "low", "high"))
    sources = tuple(row["sources"].split(BETWEEN)) if row["sources"] else ()
    return Estimate(value=value, low=low, high=high, basis=Basis(row["basis"]), sources=sources)


def _parsed(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
