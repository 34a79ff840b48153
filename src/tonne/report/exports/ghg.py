"""Lines for a greenhouse gas inventory: scope, method, tonnes; two methods are never added."""

from __future__ import annotations

from datetime import UTC, datetime

from tonne.ledger.lenses.scopes import ScopeLine, scope_lines
from tonne.report.exports import facts
from tonne.report.exports.cells import KG_PER_TONNE, KWH_PER_MWH, Cell, fixed, plain_number, said, why_unknown
from tonne.report.exports.forms import Export, filled_in, lens_lines
from tonne.report.exports.markdown import in_cell
from tonne.report.exports.subject import Subject
from tonne.report.numbers import digits_of

LENS = "ghg"
WHOSE = {"owned": "owned", "cloud": "rented (cloud)", "colo": "own hardware in another's building"}


def ghg(subject: Subject) -> Export:
    """The lines, in Markdown; the scope is unknown where it was not declared whose hardware it is."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    electricity = seen.totals["facility_kwh"]
    begun = [run.begun_unix_s for run in runs if run.kind != "forecast"]
    cells = {
        "organisation": said(subject.declared.organisation, "give --organisation"),
        "control": said(WHOSE.get(subject.declared.control or ""), "give --control owned, cloud or colo"),
        "period": said(_period(begun), "nothing was measured: a forecast has no period"),
        "place": said(facts.places_text(runs), "no place was given; it is not guessed"),
        "electricity": fixed(electricity.value, 1 / KWH_PER_MWH, "MWh", why_unknown(electricity, "electricity")),
    }
    lines = scope_lines(seen, subject.runs, subject.declared.control)
    for number, line in enumerate(lines):
        cells[f"line_{number}"] = _cell(line)
    unknown = [f"{line.what}, {line.method}: {cell.missing}" for line in lines if (cell := _cell(line)).missing]
    more = [*_table(lines), *lens_lines(seen, "What is counted")]
    return filled_in("ghg", cells, more, seen.notes, unknown)


def _cell(line: ScopeLine) -> Cell:
    return fixed(line.kgco2e.value, 1 / KG_PER_TONNE, "t CO2e", why_unknown(line.kgco2e, "this"))


def _table(lines: tuple[ScopeLine, ...]) -> list[str]:
    rows = [
        "## Emissions",
        "",
        "| scope | what | method | t CO2e | 90 % interval | note |",
        "|---|---|---|--:|---|---|",
    ]
    for line in lines:
        estimate = _cell(line).estimate
        if estimate is None:
            rows.append(
                f"| {line.scope} | {line.what} | {line.method} | unknown{_rest(line)} | | {in_cell(line.note)} |"
            )
            continue
        digits = digits_of(estimate)
        value, low, high = (plain_number(number, digits) for number in (estimate.value, estimate.low, estimate.high))
        rows.append(
            f"| {line.scope} | {line.what} | {line.method} | {value} | {low} to {high} | {in_cell(line.note)} |"
        )
    return [*rows, ""]


def _rest(line: ScopeLine) -> str:
    """The sum of those runs of which it is known, where it is not of all."""
    known = line.kgco2e.known
    return "" if known is None else f"; of the others {plain_number(known.value / KG_PER_TONNE, digits_of(known))}"


def _period(begun: list[float]) -> str | None:
    """The calendar years in which runs began."""
    years = sorted({datetime.fromtimestamp(one, UTC).year for one in begun})
    return ", ".join(str(year) for year in years) or None
