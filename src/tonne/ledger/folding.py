"""What a run's entries come to: its document. The same entries always give the same, whenever they came.

A run is told of from several sides: its journal is its base, the program that trained says what was worked, people tag
and link it. Each side keeps to itself here, so that neither overwrites the other whichever comes first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tonne.documents import plain
from tonne.ledger.records import FORECAST, IMPORTED, MEASURED, Run

RUN, WORK, WHOLE, TAG, LINK, MERGED, DELETE = "run", "work", "whole", "tag", "link", "merged", "delete"
UNKNOWN = "unknown"
TOLD = (  # fields of a run that whoever trained may tell
    "plan", "forecast", "forecast_inputs", "purpose", "project", "name", "status", "begun_unix_s", "ended_unix_s",
)  # fmt: skip
OF_JOURNAL = ("name", "status", "begun_unix_s", "ended_unix_s")  # which knows them better, where there is one

Fields = Mapping[str, Any]


@dataclass(slots=True)
class State:
    """A run as far as its entries were read."""

    base: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    tagged: dict[str, Any] = field(default_factory=dict)
    links: list[dict[str, Any]] = field(default_factory=list)
    folder: str | None = None
    merged_into: str | None = None
    seen: bool = False  # whether there is anything, since it was last deleted
    entries: int = 0  # in all


def folded(entries: Iterable[tuple[str, Fields | None]]) -> State:
    """The state after entries in their order, each kind and content; a deletion begins anew."""
    state = State()
    count = 0
    for kind, content in entries:
        count += 1
        if kind == DELETE:
            state = State()
        elif content is not None:
            _take(state, kind, content)
            state.seen = True
    state.entries = count
    return state


def _take(state: State, kind: str, content: Fields) -> None:
    if kind in {RUN, WHOLE}:
        state.base, state.folder = dict(content["run"]), content.get("folder", state.folder)
    elif kind == WORK:
        state.told = _told(state.told, content)
    elif kind == TAG:
        state.tagged = _tagged(state.tagged, content)
    elif kind == LINK:
        state.links.append({"kind": content["kind"], "to": content["to"]})
    elif kind == MERGED:
        state.merged_into = content["into"]


def _told(before: Fields, content: Fields) -> dict[str, Any]:
    """What was told of the work so far; a resumed run tells again, and later words count."""
    known = {name: value for name, value in content.items() if value is not None}
    for name in ("work", "series", "evidence"):
        known[name] = _over(before.get(name), content.get(name))
    for name in ("links", "notes"):
        known[name] = _union(before.get(name), content.get(name))
    return {**before, **known}


def _tagged(before: Fields, content: Fields) -> dict[str, Any]:
    found = {**before, **{name: content[name] for name in ("purpose", "project", "name") if name in content}}
    kept = [tag for tag in before.get("tags", []) if tag not in content.get("untag", [])]
    gone = [tag for tag in before.get("untag", []) if tag not in content.get("tags", [])]
    return {
        **found,
        "tags": _union(kept, content.get("tags")),
        "untag": _union(gone, content.get("untag")),
    }


def document_of(run: str, state: State) -> dict[str, Any]:
    """The document of a run: every field of `Run`, as built-in types."""
    base = {**_nothing(), "name": run, **state.base, "id": run}
    told, has_journal = state.told, bool(state.base)
    for name in TOLD:
        value = told.get(name)
        if value not in (None, {}) and not (has_journal and name in OF_JOURNAL):
            base[name] = value
    for name in ("work", "series", "evidence"):
        base[name] = _over(base[name], told.get(name))
    stages = told.get("stages") or []
    named = {stage["name"] for stage in stages}
    base["stages"] = [*stages, *(stage for stage in base["stages"] if stage["name"] not in named)]
    base["notes"] = _union(base["notes"], told.get("notes"))
    base["links"] = _union(base["links"], told.get("links"), state.links)
    tags = _union(base["tags"], told.get("tags"), state.tagged.get("tags"))
    base["tags"] = [tag for tag in tags if tag not in state.tagged.get("untag", [])]
    base |= {name: state.tagged[name] for name in ("purpose", "project", "name") if name in state.tagged}
    return base


@functools.cache
def _nothing() -> dict[str, Any]:
    """A run of which nobody said anything."""
    return dict(plain(Run(id="", name="", kind=MEASURED, status=UNKNOWN, begun_unix_s=0.0)))


def _over(before: Fields | None, after: Fields | None) -> dict[str, Any]:
    """Fields, with those of the later word that say something."""
    says = {name: value for name, value in (after or {}).items() if value not in (None, [], {}, ())}
    return {**(before or {}), **says}


def _union(*lists: Iterable[Any] | None) -> list[Any]:
    found: list[Any] = []
    for some in lists:
        found += [item for item in some or () if item not in found]
    return found


def of_forecast(content: Fields) -> dict[str, Any]:
    """The document of a run from that of a forecast, as `report.document` makes it; its id and time are the line's."""
    made = content["forecast"]
    plan, counts = made.get("plan"), made.get("counts") or {}
    notes = list(made.get("notes") or [])
    if plan is None:
        notes.append("its plan was not kept: it cannot be made again, nor be compared with a run by its factors")
    work = {
        "parameters": counts.get("parameters"),
        "active_parameters": counts.get("active_parameters"),
        "tokens": _tokens(plan),
        "training_flop": counts.get("training_flop"),
    }
    return {
        "id": content["id"],
        "name": content.get("name") or (plan or {}).get("name") or content["id"],
        "kind": FORECAST,
        "status": FORECAST,
        "begun_unix_s": float(content.get("unix_s") or 0.0),
        "purpose": content.get("purpose"),
        "project": content.get("project"),
        "tags": list(content.get("tags") or []),
        "account": made.get("account"),
        "plan": plan,
        "work": work,
        "forecast_inputs": made.get("inputs") or {},
        "site": (plan or {}).get("site"),
        "hardware": _hardware(plan),
        "evidence": {"tonne_version": content.get("tonne"), "data_version": made.get("data_version")},
        "notes": notes,
    }


def of_import(content: Fields) -> dict[str, Any]:
    """The document of a run that another tool has measured, from the line of its import."""
    told = content["run"]
    if "begun" not in told:
        return {**told, "kind": IMPORTED}
    account = told.get("account") or {}
    return {  # as versions up to 0.1 left it in the inbox
        "id": told["id"],
        "name": told["name"],
        "kind": IMPORTED,
        "status": told["status"],
        "begun_unix_s": datetime.fromisoformat(told["begun"]).timestamp(),
        "ended_unix_s": datetime.fromisoformat(told["ended"]).timestamp(),
        "account": account or None,
        "evidence": {"source": told.get("source"), "data_version": account.get("data_version")},
    }


def _tokens(plan: Fields | None) -> int | None:
    tokens = ((plan or {}).get("data") or {}).get("tokens")
    return int(tokens) if isinstance(tokens, int | float) else None


def _hardware(plan: Fields | None) -> dict[str, int]:
    cluster = (plan or {}).get("cluster") or {}
    name, count = cluster.get("accelerator"), cluster.get("accelerators")
    return {str(name): int(count)} if name and isinstance(count, int | float) else {}
