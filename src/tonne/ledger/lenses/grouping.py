"""Many runs of one kind as one line, so that a project with a thousand sweeps still has a form that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tonne.estimate import Estimate
from tonne.ledger.lenses.totals import total_of
from tonne.ledger.lenses.view import Line

FEW = 5  # lines alike that are still shown one by one


def grouped(lines: Sequence[Line], few: int = FEW) -> list[Line]:
    """Lines that differ in their run alone, put together where there are more than a few; the others as they are.

    The amounts of a group are sums of those that are known; its name says how many runs it holds, and of how many an
    amount is unknown.
    """
    kinds: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        kinds.setdefault((line.verdict, line.what, line.purpose or "", line.reason), []).append(line)
    found: list[Line] = []
    for alike in kinds.values():
        found += alike if len(alike) <= few else [_together(alike)]
    return found


def _together(lines: Sequence[Line]) -> Line:
    first = lines[0]
    amounts: dict[str, Estimate | None] = {}
    incomplete = 0
    for key in first.amounts:
        total = total_of({line.run: line.amounts.get(key) for line in lines})
        amounts[key] = total.known
        incomplete = max(incomplete, len(total.unknown))
    gaps = f", of {incomplete} not all is known" if incomplete else ""
    return replace(first, run="", name=f"{len(lines)} runs ({first.purpose or 'untagged'}{gaps})", amounts=amounts)
