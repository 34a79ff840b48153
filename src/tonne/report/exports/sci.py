"""A report by the Software Carbon Intensity specification, with its coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tonne.describe.site import Site
from tonne.estimate import Basis, Estimate
from tonne.impact.place import factors_of
from tonne.ledger.lenses import View
from tonne.ledger.lenses.scopes import site_of_run
from tonne.ledger.lenses.scores import Score, scores
from tonne.ledger.records import Run
from tonne.report.exports import facts
from tonne.report.exports.cells import WORDS, Cell, plain_number, said
from tonne.report.exports.forms import Export, filled_in, lens_lines
from tonne.report.exports.markdown import in_cell
from tonne.report.exports.subject import Subject
from tonne.report.numbers import digits_of

LENS = "sci-ai"
KINDS = {
    Basis.MEASURED: "measured",
    Basis.PUBLISHED: "sourced",
    Basis.MODELLED: "modeled",
    Basis.ASSUMED: "modeled, from assumptions",
}
COEFFICIENTS = {
    "grid_gco2e_per_kwh": ("I", "carbon intensity of the grid, location-based", "g CO2e/kWh"),
    "pue": ("PUE", "power usage effectiveness of the building", "1"),
    "embodied_card_kgco2e": ("TE, card", "making of an accelerator card", "kg CO2e"),
    "embodied_host_kgco2e": ("TE, host", "making of its share of a server", "kg CO2e"),
    "lifetime_years": ("EL", "life of the hardware", "years"),
    "lifetime_use": ("ToR", "share of its life in use", "1"),
}


def sci(subject: Subject) -> Export:
    """The report, in Markdown: by SCI for AI as its provider, or by the lens `sci`."""
    seen = subject.seen(LENS)
    found = scores(seen, (*subject.runs, *subject.before))
    cells = {
        **{key: score_cell(one) for key, one in zip(_KEYS, found, strict=True)},
        "operational": _grams(found[0].operational_gco2e, found[0].why),
        "embodied": _grams(found[0].embodied_gco2e, found[0].why),
        **_report(subject, seen),
        **_methods(seen, subject.counted(seen)),
    }
    more = [*_coefficients(subject.counted(seen)), *lens_lines(seen, "Boundary: what is counted")]
    return filled_in("sci", cells, more, seen.notes)


_KEYS = ("score_run", "score_flop", "score_tokens", "score_parameters")


def score_cell(score: Score) -> Cell:
    """A score with its parts: they are rounded apart, and add up within their rounding."""
    estimate = score.score_gco2e
    if estimate is None:
        return Cell(missing=score.why)
    digits = digits_of(estimate)
    parts = [(score.operational_gco2e, "O"), (score.embodied_gco2e, "M")]
    each = ", ".join(f"{name} {plain_number(part.value, digits)}" for part, name in parts if part is not None)
    return Cell(text=f"{_text(estimate)} per {score.unit} ({each})", estimate=estimate, unit="g CO2e")


def _grams(estimate: Estimate | None, why: str) -> Cell:
    if estimate is None:
        return Cell(missing=why)
    return Cell(text=_text(estimate), estimate=estimate, unit="g CO2e")


def _text(estimate: Estimate) -> str:
    digits = digits_of(estimate)
    value, low, high = (plain_number(number, digits) for number in (estimate.value, estimate.low, estimate.high))
    spread = "" if estimate.is_exact else f" (90 % interval {low} to {high}; {WORDS[estimate.basis]})"
    return f"{value} g CO2e{spread}"


def _report(subject: Subject, seen: View) -> dict[str, Cell]:
    runs, declared = subject.counted(seen), subject.declared
    begun = [run.begun_unix_s for run in runs if run.kind != "forecast"]
    ended = [run.ended_unix_s for run in runs if run.kind != "forecast" and run.ended_unix_s is not None]
    span = f"{_date(min(begun))} to {_date(max(ended))}" if begun and len(ended) == len(begun) else None
    return {
        "name": Cell(text=subject.name),
        "version": said(declared.version, "give --model-version"),
        "description": said(facts.architecture_text(subject.main), "no plan with an architecture is in the ledger"),
        "url": Cell(missing="for the authors to fill in"),
        "organisation": said(declared.organisation, "give --organisation"),
        "contact": said(declared.contact, "give --contact"),
        "measured": said(span, "nothing was measured, or a run has no end"),
        "functional_unit": Cell(
            text="10^15 FLOP, million training tokens and billion parameters: the units of a provider. R is effective: "
            "of the runs that made the model; emissions are of all runs in the boundary"
        ),
        "boundary": Cell(text=f"{seen.lens.title}: {len(seen.counted)} run" + ("" if len(seen.counted) == 1 else "s")),
        "manifest": Cell(text="the same runs as data: `tonne export ... --as json`"),
        "visualiser": Cell(missing="for the authors to fill in; `tonne report` writes a page"),
        "insights": Cell(missing="for the authors to fill in"),
    }


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).date().isoformat()


def _methods(seen: View, runs: Sequence[Run]) -> dict[str, Cell]:
    energy, operational, embodied = (
        seen.totals[key].value for key in ("facility_kwh", "operational_location_kgco2e", "embodied_kgco2e")
    )

    intensity = next((one for run in runs if (one := coefficients_of(run).get("grid_gco2e_per_kwh"))), None)

    def kind(estimate: Estimate | None) -> Cell:
        return said(None if estimate is None else KINDS[estimate.basis], "unknown")

    return {
        "method_energy": kind(energy),
        "method_intensity": kind(intensity),
        "method_operational": kind(operational),
        "method_embodied": kind(embodied),
        "method_carbon": kind(operational if embodied is None else embodied),
    }


def _coefficients(runs: Sequence[Run]) -> list[str]:
    """The coefficients of the runs: those that a forecast was made of, and those of the place."""
    lines = ["## Coefficients", "", "| name | description | value | unit | source |", "|---|---|---|---|---|"]
    seen: dict[tuple[str, float], str] = {}
    for run in runs:
        for name, estimate in coefficients_of(run).items():
            letter, what, unit = COEFFICIENTS[name]
            number = plain_number(estimate.value, 3)
            spread = (
                "" if estimate.is_exact else f" ({plain_number(estimate.low, 3)} to {plain_number(estimate.high, 3)})"
            )
            sources = in_cell("; ".join(estimate.sources))
            seen[name, estimate.value] = f"| {letter} | {what} | {number}{spread} | {unit} | {sources} |"
    return [*lines, *seen.values(), ""] if seen else []


def coefficients_of(run: Run) -> dict[str, Estimate]:
    """Coefficients of a run, by the names that equations use."""
    known = {name: run.forecast_inputs[name] for name in COEFFICIENTS if name in run.forecast_inputs}
    site = site_of_run(run)
    if site:
        place = factors_of(Site.model_validate(dict(site))).factors
        known |= {name: place[name] for name in ("grid_gco2e_per_kwh", "pue") if name in place}
    return known
