"""`tonne import codecarbon FILE`: runs that another tool has written, as accounts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain
from tonne.integrations.codecarbon.reading import Imported, Reading, read_codecarbon
from tonne.measure.environment import home
from tonne.measure.sites import site_of
from tonne.report.measured_line import SMALL_ENERGY_KWH, between
from tonne.report.numbers import MASS_KG, TIME_S, short

INBOX = "inbox"


def codecarbon(file: str, *, site: str | None, as_json: bool) -> None:
    """Read a CodeCarbon file, put its runs into the inbox, and print them."""
    found = read_codecarbon(file, None if site is None else site_of(site))
    kept = [_keep(run, file) for run in found.runs]
    if as_json:
        runs = [{**_document(run, file), "file": str(path)} for run, path in zip(found.runs, kept, strict=True)]
        document = {"schema_version": SCHEMA_VERSION, "runs": runs, "notes": list(found.notes)}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
        return
    print("\n".join(_lines(found)))
    print(f"{len(kept)} runs are kept in {Path(kept[0]).parent}", file=sys.stderr)


def _document(run: Imported, file: str) -> dict[str, Any]:
    head = {"id": run.id, "name": run.name, "status": run.status, "begun": run.begun, "ended": run.ended}
    return {**head, "source": f"CodeCarbon file {Path(file).name}", "account": plain(run.account)}


def _keep(run: Imported, file: str) -> Path:
    """The document of a run in the inbox; one of the same run takes the place of an older one."""
    folder = Path(home()) / INBOX
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.id}.json"
    new = path.with_suffix(f".{os.getpid()}")
    document = {"schema_version": SCHEMA_VERSION, "run": _document(run, file)}
    new.write_text(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False), encoding="utf-8")
    new.replace(path)
    return path


def _lines(found: Reading) -> list[str]:
    lines = [f"{'Run':<28} {'begun':<20} {'lasted':>9}  {'energy':<28} CO2e"]
    for run in found.runs:
        account = run.account
        energy, carbon = account.energy.facility_kwh, account.carbon.operational_location_kgco2e
        told = "unknown" if energy is None else between(energy, SMALL_ENERGY_KWH)
        grams = "unknown" if carbon is None else between(carbon, MASS_KG)
        lasted = "" if account.duration_s is None else short(account.duration_s.value, TIME_S)
        lines.append(f"{run.name[:28]:<28} {run.begun:<20} {lasted:>9}  {told:<28} {grams}")
    notes = dict.fromkeys([*found.notes, *(note for run in found.runs for note in run.account.notes)])
    return [*lines, *(f"  Note  {note}" for note in notes)]
