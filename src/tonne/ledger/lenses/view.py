"""Runs through a lens: what counts, what does not and why, and what the rule leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate
from tonne.ledger.lenses import rules
from tonne.ledger.lenses.amounts import TRAINING_FLOP, amounts_of
from tonne.ledger.lenses.history import Outside, ancestors, outside, parts_of_others
from tonne.ledger.lenses.rules import Lens, Rule, Verdict
from tonne.ledger.lenses.totals import Total, total_of
from tonne.ledger.overlap import overlap_notes
from tonne.ledger.records import CONTINUES, FINAL, FINE_TUNING, FORECAST, REINFORCEMENT, Run

MADE_THE_MODEL = (FINAL, FINE_TUNING, REINFORCEMENT)
RUN = "run"
SILENT_ON_HISTORY = Rule(
    verdict=Verdict.MEMO, reason="its weights are started from; the rule does not say whether it counts", locator=""
)
Amounts = Mapping[str, Estimate | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Some work, what the rule does with it, and why. ``what`` is "run", or an activity within or before one."""

    run: str
    name: str
    purpose: str | None
    status: str
    what: str
    verdict: Verdict
    reason: str
    locator: str
    amounts: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Totals by quantity, and every line that is in them, out of them or beside them."""

    lens: Lens
    totals: Mapping[str, Total]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def of(self, verdict: Verdict) -> tuple[Line, ...]:
        """Lines of one verdict."""
        return tuple(line for line in self.lines if line.verdict == verdict)

    @property
    def counted(self) -> tuple[str, ...]:
        """Ids of the runs that are counted."""
        return tuple(line.run for line in self.of(Verdict.INCLUDED) if line.what == RUN)


def view(lens: Lens, runs: Sequence[Run], before: Sequence[Run] = ()) -> View:
    """What a lens counts of runs.

    Args:
        lens: The rules.
        runs: Those that were asked for.
        before: Others, of which those count, by the rule of history, whose weights live on in runs that are counted.

    Raises:
        DescriptionError: There is no run to look at.
    """
    if not runs:
        raise DescriptionError("there is no run to look at. Name one that `tonne runs` lists, or a plan file.")
    kept, dropped = _without_double(runs)
    lines = [_dropped(run, why, lens) for run, why in dropped] + _run_lines(lens, kept)
    counted = {line.run for line in lines if line.verdict == Verdict.INCLUDED}
    starting = [run for run in kept if run.id in counted]
    earlier, lines_of_earlier = _earlier(lens, starting, kept, before)
    lines += lines_of_earlier
    starting += [run for run, line in zip(earlier, lines_of_earlier, strict=True) if line.verdict == Verdict.INCLUDED]
    lines += [line for run in starting for line in _within(lens, run)]
    found = outside(starting, [*kept, *earlier])
    lines += [_outside_line(lens, one) for one in found]
    of_compute = [note for one in found for note in one.notes] if TRAINING_FLOP in lens.quantities else []
    notes = [*_notes(kept, lines), *of_compute]
    return View(lens=lens, totals=_totals(lens, lines), lines=tuple(lines), notes=tuple(dict.fromkeys(notes)))


def _without_double(runs: Sequence[Run]) -> tuple[list[Run], list[tuple[Run, str]]]:
    """Runs that happened, each once; forecasts only where nothing else is there, for a forecast and its run are one."""
    parts = parts_of_others(runs)
    why = {run.id: f"a part of {parts[run.id]}, in which it is counted" for run in runs if run.id in parts}
    if any(run.kind != FORECAST for run in runs):
        beside = "a forecast, beside runs that were measured"
        why |= {run.id: beside for run in runs if run.kind == FORECAST}
    return [run for run in runs if run.id not in why], [(run, why[run.id]) for run in runs if run.id in why]


def _dropped(run: Run, why: str, lens: Lens) -> Line:
    return _line(run, lens, RUN, Rule(verdict=Verdict.EXCLUDED, reason=why, locator=""))


def _line(run: Run, lens: Lens, what: str, rule: Rule, amounts: Amounts | None = None) -> Line:
    return Line(
        run=run.id,
        name=run.name,
        purpose=run.purpose,
        status=run.status,
        what=what,
        verdict=rule.verdict,
        reason=rule.reason,
        locator=rule.locator,
        amounts=amounts_of(run, lens.quantities) if amounts is None else amounts,
    )


def _run_lines(lens: Lens, runs: Sequence[Run]) -> list[Line]:
    """A line a run, by its purpose; where weights of a run live on in one that is counted, by the rule of history."""
    by_purpose = {run.id: _rule(lens, run, alone=len(runs) == 1) for run in runs}
    counted = [run for run in runs if by_purpose[run.id].verdict == Verdict.INCLUDED]
    history = lens.activities.get(rules.HISTORY)
    lived_on = ancestors(counted, runs) if history is not None else set()
    found = []
    for run in runs:
        rule = by_purpose[run.id]
        if history is not None and run.id in lived_on and rule.verdict != Verdict.INCLUDED:
            rule = history
        found.append(_line(run, lens, RUN, rule))
    return found


def _earlier(
    lens: Lens, starting: Sequence[Run], kept: Sequence[Run], before: Sequence[Run]
) -> tuple[list[Run], list[Line]]:
    """Runs from before whose weights live on in some runs, and a line for each."""
    asked = {run.id for run in kept}
    among = [*kept, *(run for run in before if run.id not in asked and run.kind != FORECAST)]
    lived_on = ancestors(starting, among) - asked
    found = [run for run in among if run.id in lived_on]
    rule = lens.activities.get(rules.HISTORY, SILENT_ON_HISTORY)
    what = RUN if rule.verdict == Verdict.INCLUDED else rules.HISTORY
    return found, [_line(run, lens, what, rule) for run in found]


def _rule(lens: Lens, run: Run, *, alone: bool) -> Rule:
    """The rule for a run. One that is asked for by itself and is for nothing that was said is what is reported."""
    rule = lens.of_purpose(run.purpose)
    if run.purpose is None and alone and rule.verdict == Verdict.MEMO:
        why = f"the one run asked for, taken as final; nobody said what it was for: {rules.HOW_TO_TAG}"
        return replace(lens.purposes[FINAL], reason="a plan, taken as the final run" if run.kind == FORECAST else why)
    return rule


def _within(lens: Lens, run: Run) -> list[Line]:
    """Lines of work inside a run that a rule treats apart."""
    found = []
    recomputation = lens.activities.get(rules.RECOMPUTATION)
    if recomputation is not None and run.work.recomputed_flop:
        again = Estimate.exact(run.work.recomputed_flop, Basis.MODELLED, "count")
        found.append(_line(run, lens, rules.RECOMPUTATION, recomputation, {TRAINING_FLOP: again}))
    redone = lens.activities.get(rules.REDONE)
    if redone is not None and redone.verdict == Verdict.MEMO and _may_have_redone(run):
        found.append(_line(run, lens, rules.REDONE, redone, dict.fromkeys(lens.quantities)))
    return found


def _may_have_redone(run: Run) -> bool:
    """Whether it went on after a stop: steps since the last checkpoint were done twice."""
    return any(link.kind == CONTINUES for link in run.links) or any("lost" in stage.name for stage in run.stages)


def _outside_line(lens: Lens, one: Outside) -> Line:
    """Weights from elsewhere: by a rule, else beside the total."""
    silent = Rule(verdict=Verdict.MEMO, reason="trained elsewhere; the rule does not say whether it counts", locator="")
    rule = lens.activities.get(rules.OUTSIDE_HISTORY, silent)
    amounts: dict[str, Estimate | None] = dict.fromkeys(lens.quantities)
    if TRAINING_FLOP in amounts:
        amounts[TRAINING_FLOP] = one.training_flop
    return replace(
        _line(one.run, lens, rules.OUTSIDE_HISTORY, rule, amounts), name=one.name, run=f"before {one.run.id}"
    )


def _totals(lens: Lens, lines: Sequence[Line]) -> dict[str, Total]:
    included = [line for line in lines if line.verdict == Verdict.INCLUDED]
    return {
        quantity: total_of({f"{line.name} ({line.run})": line.amounts.get(quantity) for line in included})
        for quantity in lens.quantities
    }


def _notes(runs: Sequence[Run], lines: Sequence[Line]) -> list[str]:
    notes = []
    if all(run.kind == FORECAST for run in runs):
        notes.append("Estimated: a forecast, not a measurement.")
        if len(runs) > 1:
            notes.append(f"{len(runs)} forecasts are added up: leave out those that are variants of one run.")
    untagged = sum(_is_untagged(line) for line in lines)
    if untagged:
        what = "run has" if untagged == 1 else "runs have"
        notes.append(f"{untagged} {what} no purpose: {rules.HOW_TO_TAG}.")
    running = [line.name for line in lines if line.what == RUN and line.status == "running"]
    if running:
        notes.append(f"still running, so that more is to come: {', '.join(running)}.")
    counted = {line.run for line in lines if line.verdict == Verdict.INCLUDED}
    return [*notes, *overlap_notes(run for run in runs if run.id in counted)]


def _is_untagged(line: Line) -> bool:
    """Whether it is a run that happened and is counted or a memo, and nobody said what it was for."""
    return line.what == RUN and line.purpose is None and line.status != FORECAST and line.verdict != Verdict.EXCLUDED
