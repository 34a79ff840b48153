"""Why a figure is unknown: never a blank, a zero or a NaN."""

from __future__ import annotations

from tonne.ledger.records import IMPORTED
from tonne.report.page.language import Words
from tonne.report.page.quantities import CARBON, ENERGY, EVERY, estimate_at
from tonne.report.page.subject import Subject

PLACES = ("grid", "region", "grid_gco2e_per_kwh")
OF_ENERGY = {quantity.path for quantity in EVERY if quantity.of_energy}


def why(subject: Subject, path: str, words: Words) -> str:
    """The reason that a figure is unknown, as the end of a sentence that says that it is."""
    if subject.account is None:
        return words.of("why.account")
    if path in OF_ENERGY and estimate_at(subject.account, ENERGY.path) is None:
        return words.of("why.energy")
    if path.removeprefix("energy.").removesuffix("_kwh") in subject.account.energy.left_out:
        return words.of("why.left_out")
    special = _special(subject, path)
    return words.of(special) if special else words.either(f"why.{path}", words.of("why.other"))


def _special(subject: Subject, path: str) -> str:
    """The key of a reason that lies in what kind of run it is; empty where there is none."""
    by_place = path == CARBON.path
    if subject.run.kind == IMPORTED and not by_place:
        return "why.imported"
    if by_place and any((run.site or {}).get(name) for run in subject.counted for name in PLACES):
        return "why.no_intensity"
    if path == "carbon.embodied_kgco2e" and not any(run.hardware for run in subject.counted):
        return "why.no_hardware"
    return ""


def unknown(subject: Subject, path: str, words: Words) -> str:
    """The whole of it: unknown because ..."""
    return words.of("unknown", why=why(subject, path, words))
