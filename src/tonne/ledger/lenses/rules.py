"""Rule sets: which work a rule counts, by purpose and activity. Each is a file in rules/, with version and source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from tonne.errors import UnknownReferenceError
from tonne.ledger.records import PURPOSES

FOLDER = Path(__file__).parent / "rules"
UNTAGGED = "untagged"
RECOMPUTATION, HISTORY, OUTSIDE_HISTORY, REDONE = "recomputation", "history", "outside-history", "redone"


class Verdict(StrEnum):
    """What a rule does with some work; memo: it is silent, and the figure is printed beside the total."""

    INCLUDED = "included"
    EXCLUDED = "excluded"
    MEMO = "memo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is done with work of one kind, why, and where the text says so (empty where it does not)."""

    verdict: Verdict
    reason: str
    locator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A rule set: rules by purpose and by activity, and the quantities that it adds up."""

    id: str
    version: str
    title: str
    source: str
    quantities: tuple[str, ...]
    purposes: Mapping[str, Rule]
    activities: Mapping[str, Rule]

    def of_purpose(self, purpose: str | None) -> Rule:
        """The rule for a run; where nobody said what it was for, its figures are a memo, never a silent choice."""
        if purpose is not None:
            return self.purposes[purpose]
        silent = Rule(verdict=Verdict.MEMO, reason=f"nobody said what it was for: {HOW_TO_TAG}", locator="")
        return self.purposes.get(UNTAGGED, silent)


HOW_TO_TAG = "tag it, e.g. `tonne runs tag ID --purpose final`"


@cache
def lenses() -> Mapping[str, Lens]:
    """All lenses by id."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.toml"))]
    return {lens.id: lens for lens in found}


def lens_named(name: str) -> Lens:
    """The lens of that id.

    Raises:
        UnknownReferenceError: There is none.
    """
    found = lenses().get(name)
    if found is None:
        raise UnknownReferenceError(f"there is no lens {name!r}. Known: {', '.join(lenses())}. Use one of these.")
    return found


def _read(path: Path) -> Lens:
    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    purposes = _rules(fields.pop("purposes"))
    assert set(purposes) - {UNTAGGED} == set(PURPOSES), path.name  # a purpose without a rule would be a silent choice
    return Lens(
        purposes=purposes,
        activities=_rules(fields.pop("activities")),
        quantities=tuple(fields.pop("quantities")),
        **fields,
    )


def _rules(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    return {
        name: Rule(verdict=Verdict(rule["verdict"]), reason=rule["reason"], locator=rule["locator"])
        for name, rule in fields.items()
    }
