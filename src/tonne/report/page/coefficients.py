"""The coefficients that the figures rest on: value, interval, unit, basis, source and its year."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tonne.describe.site import Site
from tonne.errors import TonneError, UnknownReferenceError
from tonne.estimate import Estimate
from tonne.impact.place import factors_of, making_of, nowhere, prices_of
from tonne.ledger.records import FORECAST, Run
from tonne.reference.accelerators import accelerator
from tonne.reference.sources import source
from tonne.report.page.blocks import Block, Cell, Section, Table, Text
from tonne.report.page.language import Words, pretty
from tonne.report.page.spread import input_name
from tonne.report.page.subject import Subject

WORK = {"tokens", "examples", "steps", "accelerators", "training_flop", "run_h", "accelerator_hours"}
THOUSAND, MILLION = 1e3, 1e6
YEAR = re.compile(r"\b(?:19|20)\d\d(?!\d)")
KEY = re.compile(r"^[a-z][a-z0-9_.-]*\d{4}[a-z0-9]*$|^ember2026$|^isoiec30134$|^codecarbon$")
UNITS = (
    ("_gco2e_per_kwh", "g/kWh"), ("_kgco2e", "kg"), ("_l_per_kwh", "L/kWh"), ("usd_per_kwh", "USD/kWh"),
    ("usd_per_accelerator_hour", "USD/h"), ("_flop_per_s", "FLOP/s"), ("_power_w", "W"), ("_limit_w", "W"),
    ("_cap_w", "W"), ("_mtbf_h", "h"), ("_s", "s"), ("_years", "years"),
)  # fmt: skip


def coefficients(subject: Subject, words: Words) -> Section:
    """All coefficients in one table, those of several runs once."""
    rows = [row for name, estimate in _found(subject) for row in [_row(name, estimate, words)]]
    heads = ("table.input", "facts.value", "table.interval", "table.unit", "table.basis", "table.sources", "table.year")
    table = Table(
        caption=words.of("section.coefficients"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(rows),
        numeric=frozenset({1, 2}),
    )
    blocks: tuple[Block, ...] = (table,) if rows else (Text(text=words.of("coefficients.none")),)
    if rows and any(run.kind != FORECAST for run in subject.counted):
        blocks = (Text(text=words.of("coefficients.measured")), *blocks)
    return Section(key="coefficients", title=words.of("section.coefficients"), blocks=blocks)


def _found(subject: Subject) -> Iterator[tuple[str, Estimate]]:
    seen: list[tuple[str, Estimate]] = []
    for run in subject.counted:
        for item in factors_behind(run).items():
            if item not in seen:
                seen.append(item)
                yield item


def factors_behind(run: Run) -> dict[str, Estimate]:
    """The factors of a run: of a forecast, those it was made of; of a run, what its place and its hardware bring."""
    if run.kind == FORECAST:
        return {name: one for name, one in run.forecast_inputs.items() if name not in WORK}
    site = _site(run.site)
    accelerator_id = _accelerator(run.hardware)
    brought = [nowhere() if site is None else factors_of(site)]
    if accelerator_id is not None or (site is not None and site.usd_per_kwh is not None):
        brought.append(prices_of(site, accelerator_id))
    if accelerator_id is not None:
        brought.append(making_of(accelerator_id))
    found: dict[str, Estimate] = {}
    for one in brought:
        found.update(one.factors)
    return found


def _site(fields: Mapping[str, object] | None) -> Site | None:
    """The site of a record; None where there is none, or a version that described sites otherwise kept it."""
    if not fields:
        return None
    try:
        return Site.model_validate({name: value for name, value in fields.items() if value is not None})
    except (TonneError, ValueError):
        return None


def _accelerator(hardware: Mapping[str, int]) -> str | None:
    """The id of the one kind of accelerator among the hardware."""
    ids = set()
    for name in hardware:
        try:
            ids.add(accelerator(name).record.id)
        except UnknownReferenceError:
            continue
    return next(iter(ids)) if len(ids) == 1 else None


def _row(name: str, estimate: Estimate, words: Words) -> tuple[Cell, ...]:
    low, high = (_number(bound) for bound in (estimate.low, estimate.high))
    between = words.of("interval.exact") if estimate.is_exact else words.of("interval.plain", low=low, high=high)
    basis, sources = estimate.basis.value, [source_cell(text, words) for text in estimate.sources]
    year = max(
        (found for text in (*estimate.sources, *(c.text for c in sources)) for found in YEAR.findall(text)), default=""
    )
    joined = Cell(
        text="; ".join(cell.text for cell in sources),
        own_language=any(cell.own_language for cell in sources),
        href=sources[0].href if len(sources) == 1 else None,
    )
    return (
        Cell(text=input_name(name, words)),
        Cell(text=_number(estimate.value)),
        Cell(text=between),
        Cell(text=words.unit(unit_of_input(name)) if unit_of_input(name) else words.of("unit.ratio")),
        Cell(text=words.basis(basis), basis=basis),
        joined,
        Cell(text=year or words.of("coefficients.no_year")),
    )


def _number(value: float) -> str:
    """A coefficient as its table has it, to four digits."""
    text = f"{value:,.0f}" if THOUSAND <= abs(value) < MILLION else f"{value:.4g}"
    return pretty(text.replace("e+", "e"))


def unit_of_input(name: str) -> str:
    """The unit that an input's name ends with; empty for a ratio."""
    return next((unit for suffix, unit in UNITS if name.endswith(suffix)), "")


def source_cell(text: str, words: Words) -> Cell:
    """A source as people know it: a key of the tables becomes title, year and address; other texts stay as recorded."""
    key, _, locator = text.partition(",")
    if text in {"given by the user", "tonne", "count"}:
        return Cell(text=words.of(f"source.{text}"))
    if not KEY.match(key):
        return Cell(text=text, own_language=True)
    try:
        found = source(key)
    except UnknownReferenceError:
        return Cell(text=text, own_language=True)
    return Cell(
        text=f"{found.title} ({found.year}){',' + locator if locator else ''}", own_language=True, href=found.url
    )
