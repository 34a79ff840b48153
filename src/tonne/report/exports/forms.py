"""Forms that are lists of fields: read from templates/, each with its version, and written as Markdown."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tonne.estimate import Estimate
from tonne.ledger.lenses import Line, View
from tonne.ledger.lenses.grouping import grouped
from tonne.ledger.lenses.rules import HISTORY, OUTSIDE_HISTORY, RECOMPUTATION, REDONE, Verdict
from tonne.report.exports.cells import Cell
from tonne.report.exports.markdown import inline
from tonne.report.numbers import ENERGY_KWH, HOURS, MASS_KG, MONEY_USD, VOLUME_L, WORK_FLOP, value_and_interval

FOLDER = Path(__file__).parent / "templates"
UNITS = {
    "training_flop": WORK_FLOP,
    "accelerator_hours": HOURS,
    "operational_location_kgco2e": MASS_KG,
    "operational_market_kgco2e": MASS_KG,
    "embodied_kgco2e": MASS_KG,
    "water_l": VOLUME_L,
    "cost_usd": MONEY_USD,
}
NAMES = {
    "training_flop": "training compute",
    "accelerator_hours": "accelerator-hours",
    "accelerators_kwh": "accelerators",
    "servers_kwh": "servers",
    "it_kwh": "IT",
    "facility_kwh": "facility",
    "operational_location_kgco2e": "location-based",
    "operational_market_kgco2e": "market-based",
    "embodied_kgco2e": "embodied",
    "water_l": "water",
    "cost_usd": "cost",
}
GAS = {name for name, units in UNITS.items() if units is MASS_KG}


WORDS_OF = {  # what a line of a lens is of, where it is not a run
    RECOMPUTATION: "activations computed again",
    REDONE: "steps done again",
    HISTORY: "its earlier training",
    OUTSIDE_HISTORY: "its training elsewhere",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a form: its key, its label, and whom it is for (empty: everybody)."""

    key: str
    label: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A form as its makers wrote it, at one version."""

    id: str
    version: str
    title: str
    source: str
    intro: tuple[str, ...]
    level: int  # of its heading: a section of a longer page begins lower
    sections: tuple[tuple[str, tuple[Field, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A form that is filled in. ``missing`` lists the fields that are not, and why; ``cells`` holds them all by key."""

    text: str
    missing: tuple[str, ...] = ()
    cells: Mapping[str, Cell] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    says_so: bool = False  # the text itself lists what is missing, and the notes


@cache
def template(name: str) -> Template:
    """The template of that name."""
    fields = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    sections = tuple(
        (section["title"], tuple(Field(**one) for one in section["fields"])) for section in fields.pop("sections")
    )
    return Template(sections=sections, intro=tuple(fields.pop("intro")), level=fields.pop("level", 1), **fields)


def filled_in(
    name: str,
    cells: Mapping[str, Cell],
    more: Sequence[str] = (),
    notes: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> Export:
    """A form as Markdown, its missing fields listed at the end.

    Args:
        name: Of the template.
        cells: By key, one for each field.
        more: Lines after the fields.
        notes: Of the runs; printed after those.
        unknown: What is missing besides fields of the template, and why.
    """
    form = template(name)
    top, below = "#" * form.level, "#" * (form.level + 1)
    lines = [f"{top} {form.title}", "", *(line for text in form.intro for line in (text, ""))]
    for title, fields in form.sections:
        lines += [f"{below} {title}", ""] if title else []
        lines += [_field_line(one, cells[one.key]) for one in fields] + [""]
    lines += more
    missing = (*missing_of(name, cells), *unknown)
    if missing:
        lines += [f"{below} Missing", "", *(f"- {inline(text)}" for text in missing), ""]
    if notes:
        lines += [f"{below} Notes", "", *(f"- {inline(note)}" for note in notes), ""]
    lines.append(f"Template: {form.id}, {form.version} ({form.source}).")
    return Export(text="\n".join(lines) + "\n", missing=missing, cells=cells, notes=tuple(notes), says_so=True)


def missing_of(name: str, cells: Mapping[str, Cell]) -> tuple[str, ...]:
    """Each field that is not filled in: its label, and why."""
    fields = [one for _, section in template(name).sections for one in section]
    return tuple(f"{one.label}: {cells[one.key].missing}" for one in fields if cells[one.key].missing)


def _field_line(one: Field, cell: Cell) -> str:
    to = f" ({one.to})" if one.to else ""
    return f"- **{one.label}**{to}: {inline(cell.shown)}"


def lens_lines(seen: View, title: str) -> list[str]:
    """What a lens has counted, left out and put beside, with the reasons."""
    lens = seen.lens
    lines = [f"## {title}", "", f"By {lens.title}, version {lens.version} ({lens.source}).", ""]
    lines += [_line(line) for verdict in Verdict for line in grouped(seen.of(verdict))]
    return [*lines, ""]


def _line(line: Line) -> str:
    """A line of a lens: "- included: name [amounts]: reason (locator)"."""
    what = f", {WORDS_OF[line.what]}" if line.what in WORDS_OF else ""
    where = f" ({line.locator})" if line.locator else ""
    return f"- {line.verdict.value}: {inline(f'{line.name}{what} {_amounts(line.amounts)}: {line.reason}{where}')}"


def _amounts(amounts: Mapping[str, Estimate | None]) -> str:
    known = [amount_text(key, value) for key, value in amounts.items() if value is not None]
    return f"[{'; '.join(known)}]" if known else "[unknown]"


def amount_text(key: str, value: Estimate) -> str:
    """A quantity of a lens with its name: "facility 36 kWh"."""
    text, _ = value_and_interval(value, UNITS.get(key, ENERGY_KWH))
    return f"{NAMES.get(key, key)} {text}" + (" CO2e" if key in GAS else "")
