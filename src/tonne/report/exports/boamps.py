"""A report by BoAmps, the common data model of AI energy reports. A required field that is unknown is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tonne.errors import UnknownReferenceError
from tonne.estimate import Estimate
from tonne.ledger.lenses import View
from tonne.ledger.lenses.compute import accelerators_of
from tonne.ledger.lenses.scopes import site_of_run
from tonne.ledger.records import Run
from tonne.reference.grids import grid
from tonne.reference.regions import region
from tonne.report.exports import facts
from tonne.report.exports.cells import rounded_value, why_unknown
from tonne.report.exports.forms import Export
from tonne.report.exports.method import tool_of, widest
from tonne.report.exports.model_card import LENS
from tonne.report.exports.sci import coefficients_of
from tonne.report.exports.subject import Subject, wall_clock_s

VERSION = "0.1"
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/main/model"
WHERE = {"owned": "onPremise", "colo": "privateCloud", "cloud": "publicCloud"}
BILLION = 1e9
HIGH, MEDIUM = 0.10, 0.25  # half of the interval over the value: the errors that "high" and "medium" stand for


def boamps(subject: Subject) -> Export:
    """The report, as JSON."""
    seen = subject.seen(LENS)
    missing: list[str] = []
    found, python = widest(seen), subject.main.evidence.python
    if found is None:
        missing.append(f"measures.powerConsumption: {why_unknown(seen.totals['facility_kwh'], 'energy')}")
    report = {
        "header": _header(subject),
        "task": _task(subject.main, missing),
        "measures": [] if found is None else [_measure(subject, seen, found)],
        "system": _known({"os": subject.main.evidence.platform}),
        "software": {} if python is None else {"language": "python", "version": python},
        "infrastructure": _infrastructure(subject, missing),
        "environment": _environment(subject.main, missing),
        "quality": None if found is None else _quality(found[2].low, found[2].value, found[2].high),
    }
    text = json.dumps(_known(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return Export(text=text, missing=tuple(missing), notes=seen.notes)


def _header(subject: Subject) -> dict[str, Any]:
    declared = subject.declared
    publisher = {"name": declared.organisation, "projectName": subject.main.project}
    return {
        "formatVersion": VERSION,
        "formatVersionSpecificationUri": SPECIFICATION,
        "reportId": subject.main.id,
        "reportDatetime": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "reportStatus": "draft",
        "publisher": {
            **_known(publisher),
            "confidentialityLevel": "internal",
        },  # the stricter: publishing is a decision
    }


def _task(run: Run, missing: list[str]) -> dict[str, Any]:
    """What was done, as far as the plan and the tokens say."""
    tokens = run.work.tokens
    family, algorithm = facts.objective_of(run), _algorithm(run, run.plan or {})
    if not algorithm:
        missing.append("task.algorithms: no plan and no parameters are in the ledger")
    if tokens is None:
        missing.append("task.dataset: the tokens are not in the ledger")
    if family is None:
        missing.append("task.taskFamily: no plan is in the ledger")
    dataset = {"dataUsage": "input", "dataType": "token", "dataQuantity": tokens}
    return _known(
        {
            "taskStage": "finetuning" if facts.training_type(run) == "fine-tuning" else "training",
            "taskFamily": family,
            "algorithms": [algorithm] if algorithm else None,
            "dataset": None if tokens is None else [dataset],
        }
    )


def _algorithm(run: Run, plan: Mapping[str, Any]) -> dict[str, Any]:
    architecture, software = (plan.get(name) or {} for name in ("architecture", "software"))
    training = facts.training_of(run)
    framework, parameters = software.get("framework"), run.work.parameters
    return _known(
        {
            "algorithmName": "transformers" if architecture else None,
            "foundationModelName": facts.started_from(run),
            "parametersNumber": None if parameters is None else parameters / BILLION,
            "framework": None if framework == "unknown" else framework,
            "layersNumber": architecture.get("layers"),
            "optimizer": training.get("optimizer") if isinstance(training.get("optimizer"), str) else None,
            "quantization": training.get("precision"),
        }
    )


def _measure(subject: Subject, seen: View, found: tuple[str, str, Estimate]) -> dict[str, Any]:
    """Energy of all the runs that are counted, and the time in which they took it."""
    name, what, kwh = found
    runs = subject.counted(seen)
    duration, begun = wall_clock_s(runs), min(run.begun_unix_s for run in runs)
    return _known(
        {
            "measurementMethod": f"{tool_of(runs)}; boundary: {name} ({what})",
            "version": subject.main.evidence.tonne_version,
            "powerConsumption": rounded_value(kwh),
            "measurementDuration": None if duration is None else rounded_value(duration),
            "measurementDateTime": None
            if subject.estimated
            else datetime.fromtimestamp(begun, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


def _infrastructure(subject: Subject, missing: list[str]) -> dict[str, Any]:
    run, declared = subject.main, subject.declared
    cloud = declared.cloud_provider or facts.cloud_of(run)
    where = WHERE.get(declared.control or ("cloud" if cloud else ""))
    if where is None:
        missing.append("infrastructure.infraType: give --control owned, cloud or colo")
    boards, kind = accelerators_of(run), "cpu" if facts.processor_names(run) else "gpu"
    components = [
        _known(
            {
                "componentName": record.name,
                "componentType": "gpu",
                "nbComponent": count,
                "memorySize": None if record.memory_gb is None else round(record.memory_gb),
                "manufacturer": record.vendor,
                "share": 1,
            }
        )
        for record, count in boards.values()
    ]
    components += [
        {"componentName": name, "componentType": kind, "nbComponent": count, "share": 1}
        for name, count in run.hardware.items()
        if name not in boards
    ]
    if not components:
        missing.append("infrastructure.components: no hardware is in the ledger")
    return _known({"infraType": where, "cloudProvider": cloud, "components": components})


def _environment(run: Run, missing: list[str]) -> dict[str, Any] | None:
    """The country and the intensity of its grid; no coordinates."""
    site = site_of_run(run)
    try:
        country = region(str(site["region"])).record.country if site.get("region") else str(site["grid"])
        name = grid(country).record.name_en
    except (KeyError, UnknownReferenceError):
        missing.append("environment.country: no place was given; it is not guessed")
        return None
    intensity = coefficients_of(run).get("grid_gco2e_per_kwh")
    return _known(
        {
            "country": name,
            "location": site.get("region"),
            "powerSourceCarbonIntensity": None if intensity is None else rounded_value(intensity),
        }
    )


def _quality(low: float, value: float, high: float) -> str:
    """The word for the error that the wider side of the interval stands for."""
    error = round(max(high - value, value - low) / value, 3) if value else 1.0
    if error <= HIGH:
        return "high"
    return "medium" if error <= MEDIUM else "low"


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is unknown or empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ({}, [])}
