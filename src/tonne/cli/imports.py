"""`tonne import codecarbon FILE`: runs that another tool has written, as accounts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain
from tonne.integrations.codecarbon.columns import tag_of
from tonne.integrations.codecarbon.reading import Imported, Reading, read_codecarbon
from tonne.ledger.records import IMPORTED, MEASURED, Evidence, Run
from tonne.ledger.rows import Row
from tonne.measure import environment, inbox
from tonne.measure.purposes import purpose_named
from tonne.measure.sites import site_of
from tonne.report.measured_line import between
from tonne.report.numbers import ENERGY_KWH, MASS_KG, TIME_S, short

SAME_S = 3.0  # between the times of a row, which are of whole seconds, and those of the run's journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What imported runs belong to and are for."""

    project: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()


def codecarbon(file: str, *, site: str | None, labels: Labels, as_json: bool) -> None:
    """Read a CodeCarbon file, leave its runs for the ledger, and print them."""
    found = read_codecarbon(file, None if site is None else site_of(site))
    known = _known(found.runs)
    kept = [None if run.id in known else _keep(run, file, labels) for run in found.runs]
    if as_json:
        runs = [
            {**_document(run, file), "file": path, "known_as": known.get(run.id)}
            for run, path in zip(found.runs, kept, strict=True)
        ]
        document = {"schema_version": SCHEMA_VERSION, "runs": runs, "notes": list(found.notes)}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
        return
    print("\n".join(_lines(found)))
    for run in found.runs:
        if run.id in known:
            print(
                f"Not imported: {run.name}, {run.begun}: tonne itself measured it, and the ledger has it as "
                f"{known[run.id]} (tonne runs show {known[run.id]}). Both would count it twice.",
                file=sys.stderr,
            )
    new = len(kept) - len(known)
    if new and kept.count(None) == len(known):
        print(f"The ledger keeps {new} of them: tonne runs", file=sys.stderr)


def _known(runs: Sequence[Imported]) -> dict[str, str]:
    """Imported id -> the run that the ledger has of it already, as a drop-in or an export of tonne wrote the row.

    Raises:
        LedgerError: The ledger cannot be opened, so that nobody can tell.
    """
    ours = [run for run in runs if run.written is not None]
    if not ours or environment.ledger() == environment.OFF:
        return {}
    from tonne.ledger.book import Filter, Ledger  # noqa: PLC0415 - a database, only where there is something to ask

    with Ledger.open() as ledger:
        rows = [*ledger.unread(), *ledger.rows(Filter(kinds=(MEASURED,), merged=True))]
    same = ((run.id, next((row.id for row in rows if _is_of(row, run)), None)) for run in ours)
    return {imported: measured for imported, measured in same if measured is not None}


def _is_of(row: Row, run: Imported) -> bool:
    """Whether a row of a file is of a measured run: by its id, its tag, or, from before there were tags, its times."""
    written = run.written
    assert written is not None
    if row.id == written.run_id or tag_of(written.run_id) in row.tags:
        return True
    if written.name != row.name or any(tag.startswith(tag_of("")) for tag in row.tags):
        return False
    begun, ended = _unix_s(run.begun), _unix_s(run.ended)
    end = float("inf") if row.ended_unix_s is None else row.ended_unix_s
    if written.is_task:
        return row.begun_unix_s - SAME_S <= begun and ended <= end + SAME_S
    return abs(row.begun_unix_s - begun) <= SAME_S and (row.ended_unix_s is None or abs(end - ended) <= SAME_S)


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
