"""The runs of a project: each with its purpose and its share, and what failed runs and sweeps took."""

from __future__ import annotations

from collections.abc import Iterator

from tonne.ledger.overlap import named, side_by_side
from tonne.ledger.records import FORECAST, Run
from tonne.report.numbers import ENERGY_KWH
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.headline import lasted, moment, purpose_text
from tonne.report.page.language import Words, percent, shown
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import CARBON, ENERGY, Quantity, estimate_at
from tonne.report.page.subject import Subject

SHOWN = 200  # rows of a table; the figures hold all runs, and so do the JSON and CSV documents
UNSUCCESSFUL, RUNNING = ("failed", "interrupted"), "running"


def project(subject: Subject, words: Words) -> Section:
    """Energy by purpose, failed runs apart, and the list of runs."""
    return Section(key="runs", title=words.of("section.runs"), blocks=tuple(_blocks(subject, words)))


def purpose_group(run: Run, words: Words) -> str:
    """What a run counts as: one that failed is lost, whatever it was for."""
    if run.status in UNSUCCESSFUL or run.purpose == "failed":
        return words.of("purpose.failed")
    if run.purpose is None:
        return words.of("purpose.untold")
    return words.either(f"purpose.{run.purpose}", run.purpose)


def energy_by_purpose(subject: Subject, words: Words) -> dict[str, float]:
    """Facility energy by group [kWh], the largest first; runs whose energy is unknown are not in it."""
    found: dict[str, float] = {}
    for run in subject.counted:
        energy = estimate_at(run.account, ENERGY.path)
        if energy is not None:
            group = purpose_group(run, words)
            found[group] = found.get(group, 0.0) + energy.value
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _blocks(subject: Subject, words: Words) -> Iterator[Block]:
    counted = len(subject.counted)
    yield Text(text=words.of("runs.count", runs=counted))
    going = sum(run.status == RUNNING for run in subject.counted)
    if going:
        yield Text(text=words.of("runs.going_one" if going == 1 else "runs.going", runs=going))
    together = side_by_side(subject.counted)
    if together:
        yield Text(text=words.of("runs.side_by_side", runs=len(together), names=named(together)))
    if len(subject.runs) > counted:
        yield Text(text=words.of("runs.forecasts", forecasts=len(subject.runs) - counted))
    found = energy_by_purpose(subject, words)
    table = _table(subject, words)
    whole = sum(found.values())
    if not whole:
        yield Text(text=words.of("runs.no_energy"))
        yield table
        return
    size, unit = words.scaled(max(found.values()), ENERGY_KWH)
    bars = [Bar(name=name, value=kwh / size, text=percent(kwh / whole)) for name, kwh in found.items()]
    yield Picture(
        key="energy-by-purpose",
        title=words.of("runs.title"),
        description=words.of("runs.description", items=words.listed([f"{bar.name} {bar.text}" for bar in bars])),
        chart=lambda: bars_chart(bars, words.of("chart.energy", unit=unit)),
        table=_purposes(found, whole, words),
    )
    yield table


def _purposes(found: dict[str, float], whole: float, words: Words) -> Table:
    heads = ("facts.purpose", "short.energy.facility_kwh", "table.share")
    size, unit = words.scaled(max(found.values()), ENERGY_KWH)
    rows = tuple(
        (Cell(text=name), Cell(text=f"{kwh / size:.3g} {unit}"), Cell(text=percent(kwh / whole)))
        for name, kwh in found.items()
    )
    return Table(caption=words.of("runs.title"), heads=tuple(words.of(h) for h in heads), rows=rows,
                 numeric=frozenset({1, 2}))  # fmt: skip


def _table(subject: Subject, words: Words) -> Table:
    heads = ("facts.run", "facts.begun", "facts.purpose", "facts.status", "short.duration_s",
             "short.energy.facility_kwh", "short.carbon.operational_location_kgco2e")  # fmt: skip
    return Table(
        caption=words.of("section.runs") + cut(len(subject.runs), words),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_row(run, words) for run in subject.runs[-SHOWN:]),
        numeric=frozenset({4, 5, 6}),
    )


def cut(runs: int, words: Words) -> str:
    """What a caption says where not all runs are in the table."""
    return words.of("table.cut", rows=SHOWN, all=runs) if runs > SHOWN else ""


def _row(run: Run, words: Words) -> tuple[Cell, ...]:
    purpose = words.of("purpose.untold") if run.purpose is None else purpose_text(run, words)
    status = words.of("kind.forecast") if run.kind == FORECAST else words.either(f"status.{run.status}", run.status)
    texts = (run.name, moment(run.begun_unix_s), purpose, status, lasted(run, words),
             _value(run, ENERGY, words), _value(run, CARBON, words))  # fmt: skip
    return tuple(Cell(text=text) for text in texts)


def _value(run: Run, quantity: Quantity, words: Words) -> str:
    estimate = estimate_at(run.account, quantity.path)
    if estimate is None:
        return words.of("unknown.short")
    text = shown(estimate, quantity.units, words)
    return words.of("value.with_interval", value=text.value, interval=text.interval)
