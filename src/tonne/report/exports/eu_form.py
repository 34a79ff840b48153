"""The EU's Model Documentation Form, as a draft: compute, time and energy with their methods and memo lines."""

from __future__ import annotations

import math
from dataclasses import replace

from tonne.estimate import Basis, Estimate, scaled
from tonne.ledger.lenses import View
from tonne.ledger.lenses.check import Standing, check_eu
from tonne.ledger.lenses.rules import OUTSIDE_HISTORY, Verdict
from tonne.ledger.lenses.totals import Total, total_of
from tonne.ledger.lenses.view import RUN
from tonne.ledger.records import FORECAST, Run
from tonne.report.exports import facts
from tonne.report.exports.cells import KWH_PER_MWH, NOTHING_COUNTED, Cell, fixed, plain_number, said, why_unknown
from tonne.report.exports.forms import Export, filled_in, lens_lines
from tonne.report.exports.markdown import inline
from tonne.report.exports.method import compute_method, energy_method, widest
from tonne.report.exports.subject import Subject, hardware_days, node_days, wall_clock_s
from tonne.report.numbers import digits_of

SECONDS_PER_DAY = 86_400.0
DIGITS_OF_DAYS, DIGITS_OF_PARAMETERS = 3, 3
INFERENCE_TOKENS = 100_000
FLOP_PER_PARAMETER = 2  # forward, a token
COMPUTE, ENERGY = "eu-flop", "eu-energy"


def eu_form(subject: Subject) -> Export:
    """The draft; `--lens` has no say here: the form has rules of its own."""
    own = replace(subject, lens=None)
    compute, energy = own.seen(COMPUTE), own.seen(ENERGY)
    cells = {
        **_general(own),
        **_model(own.main),
        **_time(own, energy),
        **_compute(own, compute),
        **_energy(own, energy),
        **_inference(own.main),
    }
    more = [
        *lens_lines(compute, "What the computation counts"),
        *lens_lines(energy, "What the energy counts"),
        *_validation(own, cells),
        *_evidence(own.counted(energy)),
    ]
    return filled_in("eu-form", cells, more, tuple(dict.fromkeys([*compute.notes, *energy.notes])))


def _general(subject: Subject) -> dict[str, Cell]:
    declared = subject.declared
    return {
        "organisation": said(declared.organisation, "give --organisation"),
        "name": Cell(text=subject.name),
        "version": said(declared.version, "give --model-version"),
        "authenticity": said(subject.main.evidence.weights_sha256, "no hash of the weights is in the ledger"),
        "released": said(declared.released, "give --released"),
        "union_market": Cell(missing="for the provider to fill in"),
        "dependencies": said(facts.dependencies_text(subject.main), "no plan and no link says what it starts from"),
    }


def _model(run: Run) -> dict[str, Cell]:
    parameters = run.work.parameters
    unknown = "its parameters are not in the ledger"
    return {
        "architecture": said(facts.architecture_text(run), "no plan with an architecture is in the ledger"),
        "design": said(facts.design_text(run), "no plan with an architecture is in the ledger"),
        "parameters": Cell(missing=unknown) if parameters is None else _count(parameters, "parameters"),
        "parameter_band": said(None if parameters is None else facts.parameter_band(parameters), unknown),
    }


def _count(number: float, unit: str) -> Cell:
    exact = Estimate.exact(float(number), Basis.MODELLED, "count")
    return Cell(text=f"{plain_number(number, DIGITS_OF_PARAMETERS)} {unit}", estimate=exact, unit=unit)


def _time(subject: Subject, seen: View) -> dict[str, Cell]:
    runs = subject.counted(seen)
    lasted = wall_clock_s(runs)
    days = None if lasted is None else lasted.value / SECONDS_PER_DAY
    held, unit = hardware_days(runs), "accelerator-days"
    if held is None and not any((run.account and run.account.accelerator_hours) for run in runs if _has_boards(run)):
        held, unit = node_days(runs), "node-days, no accelerators"
    unknown = "a duration is unknown, or no run is counted"
    return {
        "time_range": said(None if days is None else facts.time_range(days), unknown),
        "wall_clock_days": _days(lasted, 1 / SECONDS_PER_DAY, "days", unknown),
        "hardware_days": _days(held, 1.0, unit, "accelerator-hours are unknown"),
    }


def _has_boards(run: Run) -> bool:
    hours = None if run.account is None else run.account.accelerator_hours
    return hours is not None and hours.value > 0


def _days(estimate: Estimate | None, factor: float, unit: str, missing: str) -> Cell:
    """Days with three significant figures, however few the form asks for: one figure alone is 12 % off."""
    if estimate is None:
        return Cell(missing=missing)
    value, low, high = (
        plain_number(number * factor, DIGITS_OF_DAYS) for number in (estimate.value, estimate.low, estimate.high)
    )
    spread = "" if estimate.is_exact else f" (90 % interval {low} to {high} {unit})"
    return Cell(text=f"{value} {unit}{spread}", estimate=scaled(estimate, factor), unit=unit)


def _compute(subject: Subject, seen: View) -> dict[str, Cell]:
    total = seen.totals["training_flop"]
    missing = why_unknown(total, "the training compute")
    flop = total.value
    order = None if flop is None or flop.value <= 0 else f"10^{math.floor(math.log10(flop.value))} FLOP"
    return {
        "flop_order": said(order, missing),
        "training_flop": fixed(flop, 1.0, "FLOP", missing),
        "compute_method": said(None if flop is None else compute_method(subject), missing),
    }


def _energy(subject: Subject, seen: View) -> dict[str, Cell]:
    per = 1 / KWH_PER_MWH
    found = widest(seen)
    withheld = "; N/A is for critical information that a compute provider withholds, which then must be stated"
    missing = why_unknown(seen.totals["facility_kwh"], "the energy") + withheld

    def boundary(key: str) -> Cell:
        total: Total = seen.totals[key]
        if key == "accelerators_kwh" and total.value is not None and not total.value.value:
            return Cell(text="0 MWh: it had no accelerators", estimate=scaled(total.value, per), unit="MWh")
        return fixed(total.value, per, "MWh", why_unknown(total, "this energy"))

    return {
        "energy": Cell(missing=missing) if found is None else fixed(found[2], per, "MWh", missing),
        "energy_boundary": said(None if found is None else f"{found[0]}: {found[1]}", "no energy is known"),
        "energy_chip": boundary("accelerators_kwh"),
        "energy_node": boundary("servers_kwh"),
        "energy_facility": boundary("facility_kwh"),
        "energy_method": said(energy_method(subject, seen), NOTHING_COUNTED),
    }


def _inference(run: Run) -> dict[str, Cell]:
    """Compute of generating 100,000 tokens: two operations a parameter and token, attention left out."""
    active = run.work.active_parameters or run.work.parameters
    if active is None:
        unknown = Cell(missing="its parameters are not in the ledger")
        return {"inference_flop": unknown, "inference_method": unknown}
    flop = _count(FLOP_PER_PARAMETER * float(active) * INFERENCE_TOKENS, "FLOP")
    how = (
        f"Task: generate {INFERENCE_TOKENS} tokens. Computed, not benchmarked: 2 FLOP a parameter that a token uses; "
        f"attention to earlier tokens is not in it. Hardware: none, it was not run."
    )
    return {"inference_flop": flop, "inference_method": Cell(text=how)}


def _of_others(seen: View) -> list[str]:
    """How much of the compute is that of a model from elsewhere: who modified it documents the modification."""
    included = seen.of(Verdict.INCLUDED)
    own = total_of({line.run: line.amounts.get("training_flop") for line in included if line.what == RUN}).value
    others = [line.name for line in included if line.what == OUTSIDE_HISTORY]
    if not others or own is None:
        return []
    return [
        f"- of the computation, the runs here took {plain_number(own.value, 3)} FLOP; the rest: "
        f"{inline(', '.join(others))}."
    ]


def _validation(subject: Subject, cells: dict[str, Cell]) -> list[str]:
    """What a reader checks first: figures, thresholds, what is counted without a purpose."""
    check = check_eu(subject.runs, before=subject.before)
    lines = ["## Validation", ""]
    for key in ("training_flop", "energy"):
        estimate = cells[key].estimate
        if estimate is not None:
            lines.append(f"- {key}: {max(digits_of(estimate), 2)} significant figures; the form asks for at least 2.")
    lines += _of_others(check.view)
    for one in check.bands:
        mark = "" if one.standing == Standing.BELOW else " Record the reasoning."
        low, high = (plain_number(number, 3) for number in (one.low_flop, one.high_flop))
        lines.append(
            f"- threshold {one.key}, {plain_number(one.limit_flop.value, 3)} FLOP: {one.standing.value} "
            f"({low} to {high} FLOP with the tolerance of 30 % and the interval).{mark}"
        )
    happened = [line for line in check.view.lines if line.what == RUN and line.status != FORECAST]
    untagged = [line.name for line in happened if line.purpose is None]
    if untagged:
        lines.append(f"- nobody said what these were for: {inline(', '.join(untagged))}. Tag them before this is sent.")
    return [*lines, ""]


def _evidence(runs: tuple[Run, ...]) -> list[str]:
    """What proves each run that is counted: hashes and versions."""
    lines = ["## Evidence", ""]
    for run in runs:
        e = run.evidence
        hashes = {
            "journal SHA-256": e.journal_sha256,
            "plan SHA-256": e.plan_sha256,
            "ledger entry SHA-256": e.entry_sha256,
            "tonne": e.tonne_version,
            "reference data": e.data_version or (run.account.data_version if run.account else None),
            "source": e.source,
        }
        known = "; ".join(f"{name} {value}" for name, value in hashes.items() if value)
        lines.append(f"- {inline(f'{run.name} ({run.id}): ' + (known or 'none in the ledger'))}")
    return [*lines, ""]
