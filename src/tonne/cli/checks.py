"""`tonne check eu`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tonne.cli.subjects import Named, before, by_project, runs_of
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError
from tonne.ledger.lenses.check import THRESHOLDS, EuCheck, check_eu, exceeded
from tonne.report.eu_check_text import check_lines

__all__ = ["EXIT_EXCEEDED", "Named", "eu"]

EXIT_EXCEEDED = 3


def eu(
    named: Named, utilisation: float | None, thresholds: Sequence[str], *, as_json: bool, gate: bool = False
) -> bool:
    """Print the check; of a whole ledger one for each project, as models of several projects are never one.

    Args:
        named: What is looked at.
        utilisation: That the user states.
        thresholds: Those that decide; none: as `exceeded` says.
        as_json: One document instead of text.
        gate: Whether somebody stops at a threshold, and is to be told where compute that is unknown hides it.

    Returns:
        Whether a threshold, of those that decide, is reached or straddled.

    Raises:
        DescriptionError: There is no such threshold.
    """
    for key in thresholds:
        if key not in THRESHOLDS:
            raise DescriptionError(f"--threshold {key!r} is none. Use {', '.join(THRESHOLDS)}.")
    name, runs = runs_of(named, with_presets=True)
    groups = by_project(runs) if named.names_all and len(runs) > 1 else {name: runs}
    found = {of: check_eu(of_it, utilisation, before(of_it)) for of, of_it in groups.items()}
    if as_json:
        checks = [_fields(of, check, thresholds) for of, check in found.items()]
        over = sorted({key for check in checks for key in check["exceeded"]})
        document = {"schema_version": SCHEMA_VERSION, "exceeded": over, "checks": checks}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n\n\n".join("\n".join(check_lines(check, of)) for of, check in found.items()))
    if gate:
        _tell_undecided(found, thresholds)
    return any(exceeded(check, thresholds) for check in found.values())


def _tell_undecided(found: Mapping[str, EuCheck], thresholds: Sequence[str]) -> None:
    """Say on stderr of what a threshold may be reached without anybody knowing."""
    for name, check in found.items():
        if (check.flop is None or check.at_least) and not exceeded(check, thresholds):
            print(f"{name}: not all of its compute is known, so that no threshold could decide.", file=sys.stderr)


def _fields(name: str, check: EuCheck, thresholds: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "exceeded": [band.key for band in exceeded(check, thresholds)],
        "agree": {one.run: one.agree for one in check.computes},
        **plain(check),
    }
