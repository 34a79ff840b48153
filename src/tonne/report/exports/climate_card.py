"""The climate performance model card of Hershcovich and others (2022)."""

from __future__ import annotations

from tonne.ledger.lenses import View
from tonne.ledger.lenses.scopes import site_of_run
from tonne.report.exports import facts
from tonne.report.exports.cells import FEWEST_DIGITS, GRAMS_PER_KG, NOTHING_COUNTED, Cell, plain_number, said
from tonne.report.exports.forms import Export, filled_in
from tonne.report.exports.method import energy_method
from tonne.report.exports.model_card import LENS, WHOLE, energy, gas, hours, training_time
from tonne.report.exports.sci import coefficients_of
from tonne.report.exports.subject import Subject
from tonne.report.numbers import digits_of


def climate_card(subject: Subject) -> Export:
    """The card, in Markdown."""
    final = subject.seen(LENS)
    whole = Subject(name=subject.name, runs=subject.runs).seen(WHOLE)
    runs = subject.counted(final)
    alone = len(whole.counted) <= 1
    others = Cell(missing="only one run is known: give the project, with its failed runs and sweeps")
    cells = {
        "public": Cell(missing="for the authors to fill in"),
        "time": _time(subject, final),
        "time_all": others if alone else _time(subject, whole),
        "power": energy(final),
        "place": said(facts.places_text(runs), "no place was given; it is not guessed"),
        "mix": _intensity(subject, final),
        "carbon": gas(final, "operational_location_kgco2e", "location-based, operational"),
        "carbon_all": others if alone else gas(whole, "operational_location_kgco2e", "location-based, operational"),
        "carbon_sample": Cell(missing="no inference is in the ledger; `tonne forecast --inference` estimates it"),
        "impact": Cell(missing="for the authors to fill in"),
        "comments": said(energy_method(subject, final), NOTHING_COUNTED),
    }
    return filled_in("climate-card", cells, notes=tuple(dict.fromkeys([*final.notes, *whole.notes])))


def _time(subject: Subject, seen: View) -> Cell:
    time, held = training_time(subject, seen), hours(subject, seen)
    if time.missing:
        return time
    return Cell(text=f"{time.text}; {held.shown}", estimate=time.estimate, unit="s")


def _intensity(subject: Subject, seen: View) -> Cell:
    """Mean carbon intensity of the electricity that was used; the mix itself is not known."""
    kg, kwh = (seen.totals[key].value for key in ("operational_location_kgco2e", "facility_kwh"))
    if kg is None or kwh is None or not kwh.value:
        return Cell(missing="no place was given, or its carbon intensity is unknown")
    site = site_of_run(subject.main)
    basis = "as given" if "grid_gco2e_per_kwh" in site else site.get("grid_basis") or "lifecycle"
    sources = ", ".join(source for source in kg.sources if "gCO2" in source or "CO2" in source)
    factor = coefficients_of(subject.main).get("grid_gco2e_per_kwh")
    grams = plain_number(kg.value / kwh.value * GRAMS_PER_KG, FEWEST_DIGITS if factor is None else digits_of(factor))
    return Cell(text=f"{grams} g CO2e/kWh ({basis})" + (f", {sources}" if sources else ""))
