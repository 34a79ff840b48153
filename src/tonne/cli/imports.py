"""`tonne import codecarbon FILE`: runs that another tool has written, as accounts."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain
from tonne.integrations.codecarbon.reading import Imported, Reading, read_codecarbon
from tonne.ledger.records import IMPORTED, Evidence, Run
from tonne.measure import inbox
from tonne.measure.purposes import purpose_named
from tonne.measure.sites import site_of
from tonne.report.measured_line import between
from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, short


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What imported runs belong to and are for."""

    project: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()


def codecarbon(file: str, *, site: str | None, labels: Labels, as_json: bool) -> None:
    """Read a CodeCarbon file, leave its runs for the ledger, and print them."""
    found = read_codecarbon(file, None if site is None else site_of(site))
    kept = [_keep(run, file, labels) for run in found.runs]
    if as_json:
        runs = [{**_document(run, file), "file": path} for run, path in zip(found.runs, kept, strict=True)]
        document = {"schema_version": SCHEMA_VERSION, "runs": runs, "notes": list(found.notes)}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
        return
    print("\n".join(_lines(found)))
    if None not in kept:
        print(f"The ledger keeps {len(kept)} of them: tonne runs", file=sys.stderr)


def _document(run: Imported, file: str) -> dict[str, Any]:
    head = {"id": run.id, "name": run.name, "status": run.status, "begun": run.begun, "ended": run.ended}
    return {**head, "source": _source(file), "account": plain(run.account)}


def _source(file: str) -> str:
    return f"CodeCarbon file {Path(file).name}"


def _keep(run: Imported, file: str, labels: Labels) -> str | None:
    """Leave the run for the ledger; one of the same run takes the place of an older one."""
    kept = Run(
        id=run.id,
        name=run.name,
        kind=IMPORTED,
        status=run.status,
        begun_unix_s=_unix_s(run.begun),
        ended_unix_s=_unix_s(run.ended),
        purpose=purpose_named(labels.purpose),
        project=labels.project,
        tags=labels.tags,
        account=run.account,
        site=run.site,
        hardware=run.hardware,
        evidence=Evidence(source=_source(file), data_version=run.account.data_version),
        notes=("its times are those of the machine that wrote the file, read in this machine's time zone",),
    )
    return inbox.put("import", {"run": plain(kept)}, name=f"import-{run.id}")


def _unix_s(local: str) -> float:
    """Seconds since 1970 of a local time, which the file gives without its zone."""
    return datetime.fromisoformat(local).timestamp()


def _lines(found: Reading) -> list[str]:
    lines = [f"{'Run':<28} {'begun':<20} {'lasted':>9}  {'energy':<28} CO2e"]
    for run in found.runs:
        account = run.account
        energy, carbon = account.energy.facility_kwh, account.carbon.operational_location_kgco2e
        told = "unknown" if energy is None else between(energy, ENERGY_KWH)
        grams = "unknown" if carbon is None else between(carbon, MASS_KG)
        lasted = "" if account.duration_s is None else short(account.duration_s.value, TIME_S)
        lines.append(f"{run.name[:28]:<28} {run.begun:<20} {lasted:>9}  {told:<28} {grams}")
    notes = dict.fromkeys([*found.notes, *(note for run in found.runs for note in run.account.notes)])
    return [*lines, *(f"  Note  {note}" for note in notes)]
