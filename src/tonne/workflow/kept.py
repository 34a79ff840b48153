"""What a run's folder keeps of its measurement: which run it is, and what a later part of it must know."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tonne.account import Account
from tonne.documents import plain, rebuilt
from tonne.estimate import Estimate
from tonne.ledger.records import Series
from tonne.measure import status

LOG = logging.getLogger(__name__)
FILE = "metered.json"
MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A measured run as its folder knows it.

    ``journal``: the folder of its journal. ``forecast``, ``forecast_inputs``: before its first step. The rest is what
    its parts so far did: seconds by stage, how often each, steps, tokens, the loss over time.
    """

    run: str
    name: str
    journal: str
    forecast: Account | None = None
    forecast_inputs: Mapping[str, Estimate] = field(default_factory=dict)
    stages_s: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    tokens: int = 0
    begun_unix_s: float | None = None
    series: Series = Series()  # noqa: RUF009 - frozen

    @property
    def goes_on(self) -> bool:
        """Whether a later part belongs to this same run: it did not finish."""
        return status.status_of(self.journal) not in {None, status.FINISHED, status.RUNNING}


def kept_in(folder: Path) -> Kept | None:
    """What is kept in a folder; None where nothing is, or nothing that can be read."""
    try:
        found = rebuilt(Kept, json.loads((folder / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        LOG.warning(
            "%s cannot be read (%s): this part of the run begins a measurement of its own.", folder / FILE, error
        )
        return None
    return found if isinstance(found, Kept) else None


def keep(folder: Path, kept: Kept) -> None:
    """Write it; a disk that refuses costs the later part its knowledge, and is warned of."""
    partial = folder / f"{FILE}.partial"
    try:
        partial.write_text(json.dumps(plain(kept)), encoding="utf-8")
        partial.replace(folder / FILE)
    except OSError as error:
        LOG.warning("%s cannot be written: %s", folder / FILE, error.strerror)


def run_that_made(model: str | Path | None) -> str | None:
    """The id of the run that a model comes from: of its folder, or of the one around it; None where none is known."""
    if model is None:
        return None
    found = kept_in(Path(model)) or kept_in(Path(model).parent)
    return None if found is None else found.run
