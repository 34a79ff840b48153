"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tonne.errors import DescriptionError
from tonne.report.exports.boamps import boamps
from tonne.report.exports.climate_card import climate_card
from tonne.report.exports.codecarbon import codecarbon
from tonne.report.exports.data import as_csv, as_json
from tonne.report.exports.eu_form import eu_form
from tonne.report.exports.forms import Export
from tonne.report.exports.ghg import ghg
from tonne.report.exports.hugging_face import hugging_face
from tonne.report.exports.latex import latex
from tonne.report.exports.model_card import model_card
from tonne.report.exports.neurips import neurips
from tonne.report.exports.sci import sci
from tonne.report.exports.subject import Subject

FORMATS: Mapping[str, Callable[[Subject], Export]] = {
    "eu-form": eu_form,
    "model-card": model_card,
    "hugging-face": hugging_face,
    "latex": latex,
    "neurips": neurips,
    "climate-card": climate_card,
    "sci": sci,
    "ghg": ghg,
    "codecarbon": codecarbon,
    "boamps": boamps,
    "csv": as_csv,
    "json": as_json,
}
LENSES = {  # what may be asked for in place of a format's own lens; None: any
    "eu-form": (),
    "neurips": (),
    "codecarbon": (),
    "climate-card": (),
    "sci": ("sci", "sci-ai"),
    "ghg": (),
    "model-card": ("final-run", "project"),
    "hugging-face": ("final-run", "project"),
    "latex": ("final-run", "project"),
    "boamps": ("final-run", "project"),
    "csv": None,
    "json": None,
}


def exported(subject: Subject, name: str) -> Export:
    """A subject in a format.

    Raises:
        DescriptionError: There is no such format, or it has rules of its own and a lens was asked for.
    """
    if name not in FORMATS:
        raise DescriptionError(f"there is no format {name!r}. Known: {', '.join(FORMATS)}. Use one of these.")
    allowed = LENSES[name]
    if subject.lens is not None and allowed is not None and subject.lens not in allowed:
        right = f"Use {' or '.join(allowed)}." if allowed else "Leave --lens out."
        raise DescriptionError(
            f"{name} cannot be read through the lens {subject.lens!r}: it has rules of its own. {right}"
        )
    return FORMATS[name](subject)
