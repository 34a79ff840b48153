"""The user's own calibration file: where it lies, and what it holds."""

from __future__ import annotations

import os
from pathlib import Path

from tonne.measure.environment import home
from tonne.reference.calibration import Calibration, shipped
from tonne.reference.own_runs import own_runs

VARIABLE, OFF, NAME = "TONNE_CALIBRATION", "off", "calibration.csv"


def path() -> str | None:
    """Path of the file: TONNE_CALIBRATION, else calibration.csv below TONNE_HOME; None where it is off."""
    given = os.environ.get(VARIABLE)
    if given:
        return None if given.lower() == OFF else given
    return str(Path(home()) / NAME)


def calibration(*, own: bool = True, but: str | None = None) -> Calibration | None:
    """The shipped calibration with the user's own runs; None where there are none.

    Args:
        own: Whether they are wanted.
        but: Id of a run that is left out.
    """
    file = path() if own else None
    rows = () if file is None else own_runs(file)
    kept = tuple(row for row in rows if row.run != but)
    return shipped().with_own(kept) if kept else None
