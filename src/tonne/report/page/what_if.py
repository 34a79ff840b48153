"""What could be changed, and what it would bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tonne.errors import TonneError
from tonne.estimate import Estimate
from tonne.reference.grids import grid
from tonne.report.levers import CLEANER_GRIDS, WORTH_SAYING, Lever, levers
from tonne.report.numbers import MASS_KG
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.language import Words, change, number_text
from tonne.report.page.palette import CHANGE
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import CARBON, ENERGY, estimate_at
from tonne.report.page.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change and what it brings, relative to what was or will be used."""

    name: str
    carbon: float | None
    energy: float | None
    duration: float | None


def what_if(subject: Subject, words: Words) -> Section:
    """Levers of the plan; of a run without one, the same energy on other grids."""
    return Section(key="what-if", title=words.of("section.what_if"), blocks=tuple(_blocks(subject, words)), narrow=True)


def changes(subject: Subject, words: Words) -> list[Change]:
    """What is worth saying, the largest change of CO2e first."""
    if subject.forecast is not None:
        found = [_of_lever(lever, words) for lever in levers(subject.forecast)]
    else:
        found = list(_other_grids(subject, words))
    return sorted(found, key=lambda one: one.carbon if one.carbon is not None else one.energy or 0.0)


def _of_lever(lever: Lever, words: Words) -> Change:
    option, _, value = lever.name.partition(" ")
    name = words.either(f"lever.{option}", lever.name).format(value=words.either(f"zone.{value}", value))
    return Change(name=name, carbon=lever.carbon_change, energy=lever.energy_change, duration=lever.duration_change)


def _other_grids(subject: Subject, words: Words) -> Iterator[Change]:
    """The same energy where electricity is cleaner, by the carbon accounting that the run's own place has."""
    energy, carbon = estimate_at(subject.account, ENERGY.path), estimate_at(subject.account, CARBON.path)
    if energy is None or carbon is None or not energy.value or not carbon.value:
        return
    here = 1000 * carbon.value / energy.value
    basis = str((subject.run.site or {}).get("grid_basis") or "lifecycle")
    for zone in CLEANER_GRIDS:
        try:
            there = grid(zone, basis).record.gco2e_per_kwh
        except TonneError:
            continue
        if there / here - 1 < -WORTH_SAYING:
            name = words.of("lever.--grid", value=words.either(f"zone.{zone}", zone))
            yield Change(name=name, carbon=there / here - 1, energy=0.0, duration=0.0)


def _blocks(subject: Subject, words: Words) -> Iterator[Block]:
    found = changes(subject, words)
    if not found:
        known = estimate_at(subject.account, CARBON.path) is not None
        yield Text(text=words.of("what_if.none" if known else "what_if.no_place"))
        return
    key = "what_if.forecast" if subject.forecast is not None else "what_if.grids"
    yield Text(text=words.of(key))
    of_carbon = [one for one in found if one.carbon is not None]
    shown = of_carbon or [one for one in found if one.energy is not None]
    values = [(one, one.carbon if of_carbon else one.energy) for one in shown]
    bars = [Bar(name=one.name, value=100 * (value or 0.0), text=change(value or 0.0)) for one, value in values]
    yield Picture(
        key="what-if",
        title=words.of("what_if.title" if of_carbon else "what_if.title_energy"),
        description=words.of("what_if.description", items=words.listed([f"{bar.name} {bar.text}" for bar in bars])),
        chart=bars_chart(bars, words.of("chart.change" if of_carbon else "chart.change_energy"), colour=CHANGE),
        table=_table(subject, found, words),
    )


def _table(subject: Subject, found: list[Change], words: Words) -> Table:
    heads = ("what_if.change", "short.carbon.operational_location_kgco2e", "what_if.then", "short.energy.facility_kwh",
             "short.duration_s")  # fmt: skip
    carbon = estimate_at(subject.account, CARBON.path)
    return Table(
        caption=words.of("what_if.caption"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_row(one, carbon, words) for one in found),
        numeric=frozenset({1, 2, 3, 4}),
    )


def _row(one: Change, carbon: Estimate | None, words: Words) -> tuple[Cell, ...]:
    unknown = words.of("unknown.short")
    then = unknown
    if carbon is not None and one.carbon is not None:
        then = number_text(carbon.value * (1 + one.carbon), MASS_KG, words, digits=2)
    changed = (one.carbon, one.energy, one.duration)
    texts = [unknown if value is None else change(value) for value in changed]
    return Cell(text=one.name), Cell(text=texts[0]), Cell(text=then), Cell(text=texts[1]), Cell(text=texts[2])
