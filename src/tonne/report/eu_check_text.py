"""Training compute beside the thresholds of the EU AI Act, as text."""

from __future__ import annotations

from tonne.ledger.lenses.check import MARGIN, MODIFICATION, Band, Compute, EuCheck, Standing
from tonne.ledger.lenses.compute import Approach
from tonne.ledger.lenses.grouping import grouped
from tonne.report.exports.cells import plain_number
from tonne.report.exports.forms import WORDS_OF
from tonne.report.numbers import digits_of

WORDS = {
    Standing.BELOW: "below",
    Standing.STRADDLED: "STRADDLED: margin or interval reach across it; record the reasoning",
    Standing.REACHED: "REACHED",
}
MOST_RUNS = 5
MODIFIED = (
    "Another's model is modified: the one third decides whether who modified it becomes a provider; the other "
    "thresholds are those of the model as a whole."
)
NO_ADVICE = "A calculation, no legal advice. By the Commission's guidelines of 18 July 2025, annex A."


def check_lines(check: EuCheck, name: str) -> list[str]:
    """Both approaches for each run, the sum, and where it stands to each threshold."""
    lines = [f"{name}: training compute by the EU's rules", ""]
    for one in check.computes[:MOST_RUNS]:
        lines += _run_lines(one)
    if len(check.computes) > MOST_RUNS:
        lines.append(f"... and {len(check.computes) - MOST_RUNS} more runs: --json lists them")
    lines += [*([""] if check.computes else []), *_sum_lines(check), "", *_beside_lines(check)]
    lines += [line for band in check.bands for line in _band_lines(band)]
    lines += [MODIFIED] if any(band.key == MODIFICATION for band in check.bands) else []
    lines += [f"note: {note}" for note in check.notes]
    return [*lines, "", NO_ADVICE]


def _run_lines(one: Compute) -> list[str]:
    lines = [one.name, *_approach("by architecture", one.architecture), *_approach("by hardware", one.hardware)]
    if one.ratio is None:
        return [*lines, "  agreement        unknown: one approach is missing"]
    apart = f"hardware over architecture is {plain_number(one.ratio, 3)}"
    margin = f"{100 * MARGIN:.0f} %"
    verdict = f"within {margin}" if one.agree else f"MORE THAN {margin} APART: find out why before reporting either"
    tied = "" if one.hardware.independent else "; no independent check, both rest on one count"
    return [*lines, f"  agreement        {apart}, {verdict}{tied}"]


def _approach(name: str, approach: Approach) -> list[str]:
    """The figure with its interval, and below it how it was found."""
    if approach.flop is None:
        return [f"  {name:<15}  unknown: {approach.how}"]
    digits, spread = digits_of(approach.flop), ""
    if not approach.flop.is_exact:
        spread = f" [{plain_number(approach.flop.low, digits)} - {plain_number(approach.flop.high, digits)}]"
    return [
        f"  {name:<15}  {plain_number(approach.flop.value, digits)} FLOP{spread}",
        f"  {'':<15}  {approach.how}",
    ]


def _sum_lines(check: EuCheck) -> list[str]:
    if check.flop is None:
        why = "see above what is missing" if check.computes else "no run is counted. Tag what the runs were for"
        return [f"Cumulative compute is unknown: {why}."]
    least = "at least " if check.at_least else ""
    lines = [f"Cumulative compute  {least}{plain_number(check.flop.value, 3)} FLOP"]
    if check.at_least:
        unknown = check.view.totals["training_flop"].unknown
        lines.append(f"  unknown of {', '.join(unknown)}")
    return lines


def _beside_lines(check: EuCheck) -> list[str]:
    """What is not counted, and what the rule leaves open."""
    lines = []
    for line in grouped(check.view.lines):
        if line.verdict.value == "included" and line.what == "run":
            continue
        flop = line.amounts.get("training_flop")
        amount = "unknown" if flop is None else f"{plain_number(flop.value, 3)} FLOP"
        what = f", {WORDS_OF[line.what]}" if line.what in WORDS_OF else ""
        lines.append(f"  {line.verdict.value}: {line.name}{what}, {amount}: {line.reason}")
    return [*lines, ""] if lines else []


def _band_lines(band: Band) -> list[str]:
    low, high, limit = (plain_number(number, 3) for number in (band.low_flop, band.high_flop, band.limit_flop.value))
    value = plain_number(band.flop.value, 3)
    return [
        f"{band.key}, {limit} FLOP: {WORDS[band.standing]}",
        f"  {value} FLOP; {low} to {high} with the margin of {100 * MARGIN:.0f} % and the interval",
        f"  {band.meaning}",
    ]
