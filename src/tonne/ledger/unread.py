"""Runs whose journals the ledger has not read: what their first and last lines say. Light: a list needs no more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tonne.ledger.records import MEASURED
from tonne.ledger.rows import Row
from tonne.measure import journal, status
from tonne.measure.purposes import PURPOSES
from tonne.measure.recover import Listed


def row_of_journal(run: Listed) -> Row:
    """A run as a list shows it, from the first and last lines of its journal alone: what it took is not known."""
    headers = [header for _, header in status.headers(run.folder)]
    project, purpose, tags = labels_of(headers)
    return Row(
        id=run.id,
        name=run.name,
        kind=MEASURED,
        status=run.status,
        begun_unix_s=run.begun_unix_s,
        ended_unix_s=run.ended_unix_s,
        purpose=purpose,
        project=project,
        tags=tags,
        duration_s=run.duration_s,
        folder=run.folder,
    )


def labels_of(found: Iterable[Mapping[str, Any]]) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Project, purpose and tags, as the first of the processes says them; a purpose that is none is a tag."""
    headers = sorted(found, key=lambda header: float(header["unix_s"]))
    project = next((header["project"] for header in headers if header.get("project")), None)
    purpose = next((header["purpose"] for header in headers if header.get("purpose")), None)
    tags = [str(tag) for header in headers for tag in header.get("tags") or ()]
    if purpose is not None and purpose not in PURPOSES:
        return project, None, tuple(dict.fromkeys([*tags, str(purpose)]))
    return project, purpose, tuple(dict.fromkeys(tags))


def journal_bytes(folder: str) -> int:
    """How much there is to read [B]."""
    return sum(os.stat(path).st_size for path in journal.paths(folder))  # noqa: PTH116 - as above
