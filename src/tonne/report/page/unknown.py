"""Why a figure is unknown: never a blank, a zero or a NaN."""

from __future__ import annotations

from tonne.ledger.records import IMPORTED
from tonne.report.page.language import Words
from tonne.report.page.quantities import ENERGY, EVERY, estimate_at
from tonne.report.page.subject import Subject

OF_ENERGY = {quantity.path for quantity in EVERY if quantity.of_energy}


def why(subject: Subject, path: str, words: Words) -> str:
    """The reason that a figure is unknown, as the end of a sentence that says that it is."""
    if subject.account is None:
        return words.of("why.account")
    if path in OF_ENERGY and estimate_at(subject.account, ENERGY.path) is None:
        return words.of("why.energy")
    part = path.removeprefix("energy.").removesuffix("_kwh")
    if part in subject.account.energy.left_out:
        return words.of("why.left_out")
    run = subject.run
    if run.kind == IMPORTED and path not in {"carbon.operational_location_kgco2e"}:
        return words.of("why.imported")
    if path == "carbon.operational_location_kgco2e" and any(one.site for one in subject.counted):
        return words.of("why.no_intensity")
    if path.startswith("carbon.embodied") and not any(one.hardware for one in subject.counted):
        return words.of("why.no_hardware")
    return words.either(f"why.{path}", words.of("why.other"))


def unknown(subject: Subject, path: str, words: Words) -> str:
    """The whole of it: unknown because ..."""
    return words.of("unknown", why=why(subject, path, words))
