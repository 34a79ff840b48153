"""A paragraph for a paper, with its method in a footnote and the whole project beside the final run."""

from __future__ import annotations

from tonne.report.exports import facts
from tonne.report.exports.cells import NOTHING_COUNTED, Cell
from tonne.report.exports.forms import Export
from tonne.report.exports.method import energy_method
from tonne.report.exports.model_card import LENS, energy, gas, hours, training_time, whole_project
from tonne.report.exports.subject import Subject

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
}
VERSION = "1"


def latex(subject: Subject) -> Export:
    """The paragraph; what is missing stands in comments, never in the text."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    cells = {
        "time": training_time(subject, seen),
        "hours": hours(subject, seen),
        "energy": energy(seen),
        "carbon": gas(seen, "operational_location_kgco2e", "location-based"),
        "embodied": gas(seen, "embodied_kgco2e", "not in that figure"),
        "project": whole_project(subject),
    }
    method = energy_method(subject, seen)
    hardware, place = facts.hardware_text(runs), facts.places_text(runs)
    verb = "is forecast to take" if subject.estimated else "took"
    where = (f" on {hardware}" if hardware else "") + (f" in {place}" if place else "")
    sentences = [
        _sentence(f"Training {subject.name}{where} {verb}", cells["time"]),
        _sentence("This comes to", cells["hours"]),
        _sentence("The energy is", cells["energy"]),
        _sentence("Operational emissions are", cells["carbon"]),
        _sentence("The share of making the hardware is", cells["embodied"]),
        _sentence("The whole project, failed runs and sweeps included:", cells["project"]),
    ]
    missing = [f"{key}: {cell.missing}" for key, cell in cells.items() if cell.missing]
    missing += [] if place else ["place: no place was given; it is not guessed"]
    lines = [
        f"% tonne, template latex {VERSION}",
        *(f"% missing: {' '.join(text.split())}" for text in missing),
        r"\paragraph{Environmental impact.}",
        ("\n".join(sentence for sentence in sentences if sentence) or f"% {NOTHING_COUNTED}")
        + (rf"\footnote{{{escaped(method)}}}" if method else ""),
        "",
    ]
    return Export(text="\n".join(lines), missing=tuple(missing), cells=cells, notes=seen.notes)


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is, on one line, with the 2 of CO2e lowered."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split())).replace(
        "CO2e", r"CO\textsubscript{2}e"
    )


def _sentence(begin: str, cell: Cell) -> str:
    return "" if cell.missing else f"{escaped(begin)} {escaped(cell.text)}."
