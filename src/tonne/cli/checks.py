"""`tonne check eu`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tonne.cli.subjects import Named, runs_of
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError
from tonne.ledger.lenses.check import THRESHOLDS, check_eu, exceeded
from tonne.report.eu_check_text import check_lines

__all__ = ["EXIT_EXCEEDED", "Named", "eu"]

EXIT_EXCEEDED = 3


def eu(named: Named, utilisation: float | None, thresholds: Sequence[str], *, as_json: bool) -> bool:
    """Print the check.

    Returns:
        Whether a threshold, of those that were named, is reached or straddled.

    Raises:
        DescriptionError: There is no such threshold.
    """
    for key in thresholds:
        if key not in THRESHOLDS:
            raise DescriptionError(f"--threshold {key!r} is none. Use {', '.join(THRESHOLDS)}.")
    name, runs = runs_of(named, with_presets=True)
    found = check_eu(runs, utilisation)
    over = exceeded(found, thresholds)
    if as_json:
        told = {"exceeded": [band.key for band in over], "check": plain(found)}
        agree = {one.run: one.agree for one in found.computes}
        document = {"schema_version": SCHEMA_VERSION, "name": name, **told, "agree": agree}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(check_lines(found, name)))
    return bool(over)
