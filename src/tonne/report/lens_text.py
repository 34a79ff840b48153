"""Runs through a lens, as text."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.estimate import Estimate
from tonne.ledger.lenses import Lens, Line, Total, View
from tonne.ledger.lenses.grouping import grouped
from tonne.ledger.lenses.rules import Verdict
from tonne.report.exports.forms import GAS, NAMES, UNITS, WORDS_OF, amount_text
from tonne.report.numbers import ENERGY_KWH, value_and_interval

TITLES = {
    Verdict.INCLUDED: "Counted",
    Verdict.EXCLUDED: "Not counted",
    Verdict.MEMO: "Beside the total",
}
MOST_LINES = 20  # of one verdict; `--json` has all


def catalogue_lines(found: Mapping[str, Lens]) -> list[str]:
    """All lenses, a line each."""
    width = max(len(name) for name in found)
    return [f"{name:<{width}}  {lens.title}; {lens.version}, {lens.source}" for name, lens in found.items()]


def lens_lines(seen: View, name: str) -> list[str]:
    """Totals, then what is in them, out of them and beside them, each with its reason."""
    lens = seen.lens
    lines = [f"{name}: {lens.title}", f"Rules: version {lens.version} ({lens.source})", ""]
    width = max(len(_name(key)) for key in lens.quantities)
    lines += [f"  {_name(key):<{width}}  {_total(key, seen.totals[key])}" for key in lens.quantities]
    for verdict in Verdict:
        of_it = grouped(seen.of(verdict))
        if of_it:
            lines += ["", TITLES[verdict], *(_line(line) for line in of_it[:MOST_LINES])]
        if len(of_it) > MOST_LINES:
            lines.append(f"  ... and {len(of_it) - MOST_LINES} more: --json lists them")
    return [*lines, *(["", *(f"note: {note}" for note in seen.notes)] if seen.notes else [])]


def _name(key: str) -> str:
    return NAMES.get(key, key) + (" CO2e" if key in GAS else "")


def _total(key: str, total: Total) -> str:
    if total.value is not None:
        return _between(key, total.value)
    who = ", ".join(total.unknown[:3]) + (", ..." if len(total.unknown) > 3 else "")
    if total.known is None:
        return f"unknown ({who})" if who else "unknown: nothing is counted"
    return f"unknown of {who}; the rest is {_between(key, total.known)}"


def _between(key: str, estimate: Estimate) -> str:
    value, spread = value_and_interval(estimate, UNITS.get(key, ENERGY_KWH))
    return f"{value}  ({estimate.basis.value})" if spread == "exact" else f"{value}  [{spread}] {estimate.basis.value}"


def _line(line: Line) -> str:
    what = f", {WORDS_OF[line.what]}" if line.what in WORDS_OF else ""
    purpose = line.purpose or "untagged"
    known = {key: value for key, value in line.amounts.items() if value is not None}
    first = next((amount_text(key, value) for key, value in known.items() if value.value), None)
    first = first or next((amount_text(key, value) for key, value in known.items()), "unknown")
    where = f" ({line.locator})" if line.locator else ""
    return f"  {line.name} [{purpose}]{what}: {first}; {line.reason}{where}"
