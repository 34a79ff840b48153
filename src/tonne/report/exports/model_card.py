"""The section on environmental impact of a model card, as Hugging Face's template asks for it, and what it forgets."""

from __future__ import annotations

from collections.abc import Sequence

from tonne.estimate import scaled
from tonne.ledger.lenses import View
from tonne.ledger.records import Run
from tonne.report.exports import facts
from tonne.report.exports.cells import NOTHING_COUNTED, Cell, readable, said, why_unknown
from tonne.report.exports.forms import Export, filled_in
from tonne.report.exports.method import energy_method, widest
from tonne.report.exports.subject import HOURS_PER_DAY, Subject, node_days, wall_clock_s
from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, VOLUME_L, rounded

LENS, WHOLE = "final-run", "project"
WANTING = {
    "operational_location_kgco2e": "no place was given, or its grid is not known",
    "operational_market_kgco2e": "no factor of a contract was given",
    "embodied_kgco2e": "the making of its hardware is not in its account",
    "water_l": "a water factor was not known",
}
HELD = ((1e6, "million accelerator-hours"), (1.0, "accelerator-hours"))


def model_card(subject: Subject) -> Export:
    """The section, in Markdown."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    cells = {
        "hardware": said(facts.hardware_text(runs), "no hardware is in the ledger"),
        "hours": hours(subject, seen),
        "cloud": said(_cloud(subject), "give --cloud-provider, or the region of the run"),
        "place": said(facts.places_text(runs), "no place was given; it is not guessed"),
        "carbon": gas(seen, "operational_location_kgco2e", "location-based, operational"),
        "carbon_market": gas(seen, "operational_market_kgco2e", "market-based, operational, offsets not netted"),
        "embodied": gas(seen, "embodied_kgco2e", "not in the figures above"),
        "energy": energy(seen),
        "water": readable(seen.totals["water_l"].value, VOLUME_L, _why(seen, "water_l", "water")),
        "project": whole_project(subject),
        "energy_method": said(energy_method(subject, seen), NOTHING_COUNTED),
    }
    return filled_in("model-card", cells, notes=seen.notes)


def hours(subject: Subject, seen: View) -> Cell:
    """Accelerator-hours; where there were no accelerators, hours of the servers."""
    total = seen.totals["accelerator_hours"]
    if without_boards(seen):
        return node_hours(subject.counted(seen))
    cell = readable(total.value, HELD, why_unknown(total, "accelerator-hours"))
    return cell if cell.missing else Cell(text=cell.text, estimate=cell.estimate, unit="h")


def without_boards(seen: View) -> bool:
    """Whether no run that is counted had an accelerator."""
    total = seen.totals["accelerator_hours"].value
    return total is not None and not total.value


def node_hours(runs: Sequence[Run]) -> Cell:
    """Hours of the servers of runs that had no accelerators."""
    days = node_days(runs)
    if days is None:
        return Cell(text="0 accelerator-hours: it ran on processors")
    held = scaled(days, HOURS_PER_DAY)
    return Cell(text=f"{rounded(held.value)} node-hours, no accelerators", estimate=held, unit="node-hours")


def gas(seen: View, key: str, what: str) -> Cell:
    """Emissions of one kind, with what they are."""
    total = seen.totals[key]
    cell = readable(total.value, MASS_KG, _why(seen, key, "it"))
    return cell if cell.missing else Cell(text=f"{_with_gas(cell.text)}, {what}", estimate=cell.estimate, unit="kg")


def _why(seen: View, key: str, what: str) -> str:
    """Why it is unknown: for want of which runs and, where their energy is known, of what."""
    total, energy = seen.totals[key], seen.totals["facility_kwh"]
    wanting = f": {WANTING[key]}" if total.unknown and energy.value is not None else ""
    return why_unknown(total, what) + wanting


def _with_gas(text: str) -> str:
    """The unit after the value says which gas: "12 kg CO2e (90 % ...)"."""
    value, _, rest = text.partition(" (")
    return f"{value} CO2e ({rest}" if rest else f"{value} CO2e"


def energy(seen: View) -> Cell:
    """Energy at the widest boundary that is known, which is named."""
    found = widest(seen)
    if found is None:
        return Cell(missing=why_unknown(seen.totals["facility_kwh"], "energy"))
    cell = readable(found[2], ENERGY_KWH, "")
    return Cell(text=f"{cell.text}, boundary: {found[0]}", estimate=cell.estimate, unit="kWh")


def whole_project(subject: Subject) -> Cell:
    """Energy, CO2e and hours of all runs, for whatever purpose."""
    runs = [run for run in subject.runs if run.kind != "forecast"]
    if len(runs) <= 1:
        return Cell(missing="only one run is known: give the project to count failed runs and sweeps")
    seen = Subject(name=subject.name, runs=subject.runs).seen(WHOLE)
    parts = [
        readable(seen.totals["facility_kwh"].value, ENERGY_KWH, "energy unknown").text,
        gas(seen, "operational_location_kgco2e", "location-based").text,
        hours(subject, seen).text,
    ]
    known = [part for part in parts if part]
    return said("; ".join([f"{len(seen.counted)} runs", *known]) if known else None, "nothing of it is known")


def training_time(subject: Subject, seen: View) -> Cell:
    """How long the runs that are counted took."""
    return readable(wall_clock_s(subject.counted(seen)), TIME_S, "a duration is unknown, or no run is counted")


def _cloud(subject: Subject) -> str | None:
    if subject.declared.cloud_provider:
        return subject.declared.cloud_provider
    if subject.declared.control in ("owned", "colo"):
        return "none: own hardware"
    return facts.cloud_of(subject.main)
