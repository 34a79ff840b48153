"""The answer to the question on compute resources of the NeurIPS checklist."""

from __future__ import annotations

from tonne.ledger.lenses import View
from tonne.ledger.lenses.amounts import amount
from tonne.ledger.lenses.compute import accelerators_of
from tonne.ledger.lenses.rules import Verdict
from tonne.ledger.lenses.totals import total_of
from tonne.ledger.records import Run
from tonne.report.exports import facts
from tonne.report.exports.cells import Cell, readable, said
from tonne.report.exports.forms import Export, filled_in
from tonne.report.exports.model_card import HELD, energy, gas, hours, node_hours
from tonne.report.exports.subject import Subject
from tonne.report.numbers import ENERGY_KWH, TIME_S, value_and_interval

LENS = "neurips"


def neurips(subject: Subject) -> Export:
    """The answer, in Markdown."""
    seen = subject.seen(LENS)
    runs = subject.counted(seen)
    cells = {
        "workers": said(facts.hardware_text(runs), "no hardware is in the ledger"),
        "where": said(_where(subject), "give --control owned, cloud or colo, and --cloud-provider"),
        "memory": said(_memory(runs), "the memory of the hardware is not in the ledger"),
        "per_run": said("; ".join(_per_run(run) for run in runs) or None, "no run is counted: tag what they were for"),
        "total": hours(subject, seen),
        "energy": energy(seen),
        "carbon": gas(seen, "operational_location_kgco2e", "location-based, operational"),
        "more": _more(subject, seen),
    }
    return filled_in("neurips", cells, notes=seen.notes)


def _where(subject: Subject) -> str | None:
    cloud = subject.declared.cloud_provider or facts.cloud_of(subject.main)
    if cloud or subject.declared.control == "cloud":
        return f"cloud: {cloud}" if cloud else "cloud"
    return {"owned": "internal cluster", "colo": "own hardware, co-located"}.get(subject.declared.control or "")


def _memory(runs: tuple[Run, ...]) -> str | None:
    """Memory of each kind of accelerator."""
    known = {
        record.name: record.memory_gb for run in runs for record, _ in accelerators_of(run).values() if record.memory_gb
    }
    return ", ".join(f"{memory:g} GB on each {name}" for name, memory in known.items()) or None


def _per_run(run: Run) -> str:
    time, held = amount(run, "duration_s"), amount(run, "accelerator_hours")
    parts = [
        None if time is None else value_and_interval(time, TIME_S)[0],
        None if held is None else value_and_interval(held, HELD)[0] if held.value else "on processors",
    ]
    known = [part for part in parts if part]
    return f"{run.name}: {', '.join(known) if known else 'unknown'}"


def _more(subject: Subject, seen: View) -> Cell:
    """Whether the project needed more than is reported; the checklist asks to disclose it."""
    beside = [line for line in seen.of(Verdict.MEMO) if line.what == "run"]
    if not beside:
        return Cell(missing="no failed run, sweep or test is in what was given: give the whole project, or say none")
    held = total_of({line.run: line.amounts.get("accelerator_hours") for line in beside})
    used = total_of({line.run: line.amounts.get("facility_kwh") for line in beside})
    runs = [run for run in subject.runs if run.id in {line.run for line in beside}]
    on_processors = held.known is not None and not held.known.value
    parts = [
        node_hours(runs).text if on_processors else readable(held.known, HELD, "").text,
        readable(used.known, ENERGY_KWH, "").text,
    ]
    purposes = sorted({line.purpose or "untagged" for line in beside})
    least = "at least " if held.unknown or used.unknown else ""
    known = least + "; ".join(part for part in parts if part)
    count = "1 more run" if len(beside) == 1 else f"{len(beside)} more runs"
    return Cell(text=f"yes: {count} ({', '.join(purposes)}), {known}", estimate=held.known, unit="h")
