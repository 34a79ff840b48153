"""The metadata of a card on the Hugging Face Hub: CO2e in grams, as a number, in the front matter of README.md."""

from __future__ import annotations

import json

from tonne.estimate import scaled
from tonne.report.exports import facts
from tonne.report.exports.cells import GRAMS_PER_KG, NOTHING_COUNTED, WORDS, Cell, rounded_value, said, why_unknown
from tonne.report.exports.forms import Export
from tonne.report.exports.method import tool_of
from tonne.report.exports.model_card import LENS
from tonne.report.exports.subject import Subject
from tonne.report.numbers import MASS_KG, value_and_interval

WANTING = {
    "training_type": "tag what the run was for, e.g. `tonne runs tag ID --purpose final`",
    "geographical_location": "no place was given; it is not guessed",
    "hardware_used": "no hardware is in the ledger",
}
SMALL = 1e-3  # grams below it are written with an exponent


def hugging_face(subject: Subject) -> Export:
    """The front matter, as YAML. Operational and location-based: what is embodied is never added to it."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    total = seen.totals["operational_location_kgco2e"]
    lines: list[str] = []
    missing: list[str] = []
    cells: dict[str, Cell] = {}
    if total.value is None:
        cells["emissions"] = Cell(missing=why_unknown(total, "CO2e"))
        missing.append(f"emissions: {cells['emissions'].missing}")
    else:
        grams = _yaml_number(rounded_value(total.value, GRAMS_PER_KG))
        cells["emissions"] = Cell(text=grams, estimate=scaled(total.value, GRAMS_PER_KG), unit="g")
        lines.append(f"  emissions: {grams}  # grams of CO2e")
        _, spread = value_and_interval(total.value, MASS_KG)
        between = "" if spread == "exact" else f", 90 % interval {spread.replace(' - ', ' to ')}"
        tool = tool_of(runs)
        source = f"{tool} ({WORDS[total.value.basis]}{between}; operational, location-based, PUE included)"
        lines.append(f"  source: {json.dumps(source)}")
    words = {
        "training_type": facts.training_type(subject.main) if runs else None,
        "geographical_location": facts.places_text(runs),
        "hardware_used": facts.hardware_text(runs),
    }
    for key, text in words.items():
        cells[key] = said(text, WANTING[key] if runs else NOTHING_COUNTED)
        if text:
            lines.append(f"  {key}: {json.dumps(text, ensure_ascii=False)}")
        else:
            missing.append(f"{key}: {cells[key].missing}")
    text = "\n".join(["---", *(["co2_eq_emissions:"] if lines else []), *lines, "---", ""])
    return Export(text=text, missing=tuple(missing), cells=cells, notes=seen.notes)


def _yaml_number(value: float) -> str:
    """A number that YAML 1.1 reads as one: whole without a point, an exponent only after one, with its sign."""
    return str(int(value)) if value.is_integer() else f"{value:f}".rstrip("0") if value >= SMALL else _exponent(value)


def _exponent(value: float) -> str:
    """A tiny number with its own digits: 8.7e-04, not 8.70e-04."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.removesuffix('0')}e{exponent}"
