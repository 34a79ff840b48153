"""What a line of the inbox means: the kind and the content of an entry, or why it cannot be taken in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tonne.documents import rebuilt
from tonne.ledger.folding import RUN, WHOLE, WORK, State, document_of, folded, of_forecast, of_import
from tonne.ledger.records import LINKS, Run
from tonne.ledger.rows import columns_of
from tonne.measure.inbox import SCHEMA
from tonne.measure.purposes import PURPOSES

NEWER = "it was written by a newer tonne (schema {version}, this one reads {known}): update tonne, then retry it"
TORN = "it is torn, or no JSON: the disk lost a part of it"

WORDS = ("id", "name", "kind", "status", "purpose", "project", "tags", "folder", "merged_into", "is_foretold")


class Refused(Exception):  # noqa: N818 - no error: a line is set aside, and the others go on
    """A line that cannot be taken in; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that was understood. ``folder`` is that of a journal that is still to be read."""

    kind: str
    run: str
    content: Mapping[str, Any]
    folder: str | None = None


def understood(text: str) -> Line:
    """What a line says.

    Raises:
        Refused: It is torn, of a newer version, or of no kind that there is.
    """
    try:
        told = json.loads(text)
    except ValueError:
        raise Refused(TORN) from None
    if not isinstance(told, dict):
        raise Refused(TORN)
    kind = told.get("kind") or ("import" if isinstance(told.get("run"), dict) else None)
    version = told.get("schema_version")
    if version is not None and _is_newer(version):
        raise Refused(NEWER.format(version=version, known=SCHEMA))
    if kind not in READERS:
        raise Refused(f"kind={kind!r} is none that this tonne knows ({', '.join(READERS)})")
    try:
        line = READERS[kind](told)
        checked(line.run, folded([(line.kind, line.content)]) if line.folder is None else None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"it cannot be understood: {type(error).__name__}: {error}") from None
    return line


def _is_newer(version: Any) -> bool:  # noqa: ANN401 - whatever the line says
    return not str(version).isdecimal() or int(version) > int(SCHEMA)


def checked(run: str, state: State | None) -> Run | None:
    """The run of a document, or an error of Python's own where it is none."""
    if not isinstance(run, str) or not run:
        raise ValueError(f"run={run!r} is no id")
    if state is None:
        return None
    document = document_of(run, state)
    for name, value in columns_of(document, folder=None, merged_into=None).items():
        fits = isinstance(value, str | bool) if name in WORDS else isinstance(value, int | float)
        if value is not None and not fits:
            raise TypeError(f"{name}={value!r}")
    found: Run = rebuilt(Run, document)
    return found


def _forecast(told: Mapping[str, Any]) -> Line:
    document = of_forecast(told)
    return Line(kind=WHOLE, run=document["id"], content={"run": document})


def _run(told: Mapping[str, Any]) -> Line:
    return Line(kind=RUN, run=told["run"], content={}, folder=str(told["folder"]))


def _work(told: Mapping[str, Any]) -> Line:
    content = {name: value for name, value in told.items() if name not in {"kind", "schema_version", "unix_s", "run"}}
    purpose = content.get("purpose")
    if purpose is not None and purpose not in PURPOSES:
        raise ValueError(f"purpose={purpose!r} is none of {', '.join(PURPOSES)}")
    for link in content.get("links") or ():
        if link["kind"] not in LINKS:
            raise ValueError(f"link {link['kind']!r} is none of {', '.join(LINKS)}")
    return Line(kind=WORK, run=told["run"], content=content)


def _import(told: Mapping[str, Any]) -> Line:
    document = of_import(told)
    return Line(kind=WHOLE, run=document["id"], content={"run": document})


READERS = {"forecast": _forecast, "run": _run, "work": _work, "import": _import}
