"""The section on environmental impact of a model card, as Hugging Face's template asks for it, and what it forgets."""

from __future__ import annotations

from tonne.ledger.lenses import View
from tonne.report.exports import facts
from tonne.report.exports.cells import Cell, readable, said, why_unknown
from tonne.report.exports.forms import Export, filled_in
from tonne.report.exports.method import energy_method, widest
from tonne.report.exports.subject import Subject
from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, VOLUME_L

LENS, WHOLE = "final-run", "project"
HELD = ((1e6, "million accelerator-hours"), (1.0, "accelerator-hours"))


def model_card(subject: Subject) -> Export:
    """The section, in Markdown."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    cells = {
        "hardware": said(facts.hardware_text(runs), "no hardware is in the ledger"),
        "hours": hours(seen),
        "cloud": said(_cloud(subject), "give --cloud-provider, or the region of the run"),
        "place": said(facts.places_text(runs), "no place was given; it is not guessed"),
        "carbon": gas(seen, "operational_location_kgco2e", "location-based, operational"),
        "carbon_market": gas(seen, "operational_market_kgco2e", "market-based, operational, offsets not netted"),
        "embodied": gas(seen, "embodied_kgco2e", "not in the figures above"),
        "energy": energy(seen),
        "water": readable(seen.totals["water_l"].value, VOLUME_L, why_unknown(seen.totals["water_l"], "water")),
        "project": whole_project(subject),
        "energy_method": Cell(text=energy_method(subject, seen)),
    }
    return filled_in("model-card", cells, notes=seen.notes)


def hours(seen: View) -> Cell:
    """Accelerator-hours; where there were no accelerators, that."""
    total = seen.totals["accelerator_hours"]
    if total.value is not None and total.value.value == 0:
        return Cell(text="0 accelerator-hours: it ran on processors")
    cell = readable(total.value, HELD, why_unknown(total, "accelerator-hours"))
    return cell if cell.missing else Cell(text=cell.text, estimate=cell.estimate, unit="h")


def gas(seen: View, key: str, what: str) -> Cell:
    """Emissions of one kind, with what they are."""
    total = seen.totals[key]
    cell = readable(total.value, MASS_KG, why_unknown(total, "it"))
    return cell if cell.missing else Cell(text=f"{_with_gas(cell.text)}, {what}", estimate=cell.estimate, unit="kg")


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
        readable(seen.totals["accelerator_hours"].value, HELD, "").text,
    ]
    known = [part for part in parts if part]
    return said("; ".join([f"{len(seen.counted)} runs", *known]) if known else None, "nothing of it is known")


def training_time(subject: Subject, seen: View) -> Cell:
    """How long the runs that are counted took."""
    from tonne.report.exports.subject import wall_clock_s  # noqa: PLC0415 - beside its use

    return readable(wall_clock_s(subject.counted(seen)), TIME_S, "a duration is unknown, or no run is counted")


def _cloud(subject: Subject) -> str | None:
    if subject.declared.cloud_provider:
        return subject.declared.cloud_provider
    if subject.declared.control in ("owned", "colo"):
        return "none: own hardware"
    return facts.cloud_of(subject.main)
