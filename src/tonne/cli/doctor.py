"""`tonne doctor`: what this machine can measure, what it cannot, and what mends it."""

from __future__ import annotations

import json
from typing import Any

import typer

from tonne.documents import SCHEMA_VERSION, plain
from tonne.measure.doctor import Diagnosis, Tried, diagnosis
from tonne.report.numbers import rounded

EXIT_INCOMPLETE = 4
PARTS = {
    "accelerators_kwh": "accelerators",
    "cpu_kwh": "cpu",
    "memory_kwh": "memory",
    "host_rest_kwh": "rest of the host",
    "servers_kwh": "whole machine",
}


def run(*, as_json: bool = False, strict: bool = False) -> None:
    """Print what was found and what is missing; with `strict`, exit 4 where a part has no sensor."""
    found = diagnosis()
    print(json.dumps(document(found), indent=2, ensure_ascii=False) if as_json else "\n".join(lines(found)))
    if strict and found.incomplete:
        raise typer.Exit(EXIT_INCOMPLETE)


def document(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as built-in types: sensors, missing, power by part, coverage, what is incomplete."""
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": not found.incomplete,
        "incomplete": list(found.incomplete),
        "sensors": [_sensor(tried) for tried in found.sensors],
        "missing": [
            {"part": m.part, "device": m.device or None, "reason": m.reason, "mend": m.mend or None}
            for m in found.missing
        ],
        "power": {name.removesuffix("_kwh") + "_w": _power(found, name) for name in PARTS},
        "coverage": found.use.coverage,
        "facts": plain(found.facts.as_dict()),
        "notes": list(found.notes),
    }


def _sensor(tried: Tried) -> dict[str, Any]:
    of_now = {"power_w": tried.power_w, "fault": tried.fault, "longest_interval_s": tried.longest_interval_s}
    return {**tried.description.as_dict(), **of_now}


def _power(found: Diagnosis, name: str) -> dict[str, Any] | None:
    ends, energy = found.power_w(name), getattr(found.use, name)
    if ends is None:
        return None
    return {**dict(zip(("value", "low", "high"), ends, strict=True)), "basis": str(energy.basis)}


def lines(found: Diagnosis) -> list[str]:
    """The diagnosis as text."""
    told = ["Sensors", *([_sensor_line(tried) for tried in found.sensors] or ["  none"])]
    if found.missing:
        told += ["", "Without a sensor"]
        for absence in found.missing:
            told.append(f"  {absence.part:<16} {absence.reason}")
            told += [f"  {'':<16} mend: {absence.mend}"] if absence.mend else []
    told += ["", "Power just now, with its 90 % interval", *_power_lines(found)]
    told += ["", *(f"  {note}" for note in found.notes)] if found.notes else []
    return told


def _sensor_line(tried: Tried) -> str:
    of = tried.description
    kind = "energy counter" if of.kind == "counter" else "power"
    now = tried.fault or ("no power yet" if tried.power_w is None else f"{rounded(tried.power_w)} W")
    often = tried.longest_interval_s
    seldom = "" if often is None or often > 1 else f", read every {rounded(often)} s"
    return f"  {of.name:<16} {of.part:<14} {kind:<15} +-{of.error_fraction:.0%}  {now}{seldom}  {of.device}".rstrip()


def _power_lines(found: Diagnosis) -> list[str]:
    told = []
    for name, label in PARTS.items():
        ends, energy = found.power_w(name), getattr(found.use, name)
        if ends is None:
            told.append(f"  {label:<16} unknown")
        elif ends[2] > 0:
            value, low, high = (rounded(end, 2) for end in ends)
            told.append(f"  {label:<16} {value} W  [{low}, {high}]  {energy.basis}")
    coverage = found.use.coverage
    return [*told, f"  {'measured':<16} {'unknown' if coverage is None else f'{coverage:.0%} of the whole machine'}"]
