"""The user's own measured runs as rows of a calibration file, and how far what one says holds for another.

The file is written by `tonne reconcile`, one row a run and quantity; a forecast reads it where it is told to. It is
CSV, so that a row can be looked at, and taken out, with any editor.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from tonne.errors import CalibrationError
from tonne.reference.calibration import PACE, POOLED
from tonne.reference.table import DATA_VERSION, table
from tonne.reference.time_stacks import KNOWN, log_half_width, precision_group, scale_spreads

SPEED = "achieved_peak_fraction"
ACCELERATOR_W, HOST_W, SERVER_W = "accelerator_power_w", "host_power_w", "server_power_w"
QUANTITIES = (SPEED, ACCELERATOR_W, HOST_W, SERVER_W)
MODEL_SPREADS = "model_spreads"
WHOLE, REAL = ("accelerators",), ("measured", "low", "high", "modelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRun:
    """One quantity of one measured run, beside what the shipped model says of the same plan.

    ``accelerator`` to ``kind`` are the stack that it speaks of; ``model`` and ``configuration`` are marks by which the
    same model, and the same run again, are known. ``measured`` with ``low`` and ``high`` (90 %), and ``modelled``, have
    the unit of the quantity.
    """

    run: str
    made: str
    quantity: str
    accelerator: str
    accelerators: int
    framework: str
    precision: str
    kind: str
    model: str
    configuration: str
    measured: float
    low: float
    high: float
    modelled: float
    data_version: str
    basis: str
    source: str

    @property
    def log_ratio(self) -> float:
        """Logarithm of measured over modelled."""
        return math.log(self.measured / self.modelled)

    @property
    def log_half_width(self) -> float:
        """Half of the measurement's own 90 % interval, in logarithms."""
        return math.log(self.high / self.low) / 2.0

    @property
    def stack(self) -> tuple[str, str, str, str]:
        """What a row speaks of: accelerator, framework, precision and kind of model."""
        return self.accelerator, self.framework, self.precision, self.kind

    @property
    def is_current(self) -> bool:
        """Whether the model that it was compared with is that of these tables."""
        return self.data_version == DATA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpread:
    """How far two models of one stack differ in what the model of their time is off for them: sizes of logarithms.

    ``kind`` is ``pace`` where their layouts are not known, else that of the models.
    """

    kind: str
    precision: str
    pairs: int
    median: float
    log_half_width: float


COLUMNS = tuple(field.name for field in fields(OwnRun))


def own_runs(path: str | Path) -> tuple[OwnRun, ...]:
    """The rows of a calibration file; none where there is no such file.

    Raises:
        CalibrationError: The file cannot be read, or a row of it is none; the text names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"{path} cannot be read: {error}. Mend it, or name another with TONNE_CALIBRATION."
        ) from None
    lines = csv.DictReader(text.splitlines())
    if text.strip() and tuple(lines.fieldnames or ()) != COLUMNS:
        raise CalibrationError(
            f"{path} does not begin with the columns {','.join(COLUMNS)}. Put the file aside: "
            f"`tonne reconcile RUN` writes its rows anew."
        )
    return tuple(_row(row, f"{path}, line {lines.line_num}") for row in lines)


def _row(cells: Mapping[str, str], where: str) -> OwnRun:
    try:
        whole = {name: int(cells[name]) for name in WHOLE}
        real = {name: float(cells[name]) for name in REAL}
    except (TypeError, ValueError):
        raise CalibrationError(f"{where}: a number is none. Mend it or take the line out.") from None
    row = OwnRun(**{**cells, **whole, **real})  # type: ignore[arg-type] # the columns are the fields
    ordered = 0 < row.low <= row.measured <= row.high < math.inf and 0 < row.modelled < math.inf
    if row.quantity not in QUANTITIES or not ordered or row.accelerators < 1:
        raise CalibrationError(
            f"{where}: {row.quantity}={row.measured:g} [{row.low:g}, {row.high:g}] beside {row.modelled:g} cannot be. "
            f"Known quantities: {', '.join(QUANTITIES)}; 0 < low <= measured <= high. Mend it or take the line out."
        )
    return row


def model_log_half_width(kind: str, precision: str, *, laid_out: bool = True) -> float | None:
    """Half-width, in logarithms, of what a run says of another model on its stack; None where no pairs were measured.

    Args:
        kind: ``dense`` or ``moe``.
        precision: As in a plan.
        laid_out: Whether the layouts are known; else runs differ by their pace too.
    """
    groups = {(kind, precision_group(precision))} | (set() if laid_out else {(PACE, POOLED)})
    return max((s.log_half_width for s in model_spreads() if (s.kind, s.precision) in groups), default=None)


def scale_log_half_width(kind: str, precision: str, scale: float) -> float:
    """Half-width, in logarithms, by which two scales of a model differ on its stack.

    Args:
        kind: ``dense`` or ``moe``.
        precision: As in a plan.
        scale: How many times the accelerators, at least 1; beyond those that were measured, no surer than any forecast.
    """
    group = (kind, precision_group(precision))
    known = [s for s in scale_spreads() if (s.kind, s.precision) == group]
    fitting = [s for s in known if s.most_scale >= scale]
    if fitting:
        return min(fitting, key=lambda s: s.most_scale).log_half_width
    return max([log_half_width(kind, precision, KNOWN), *(s.log_half_width for s in known)])


@cache
def model_spreads() -> tuple[ModelSpread, ...]:
    """The spreads between models, as `make calibrate` wrote them."""
    return tuple(
        ModelSpread(
            kind=row["kind"],
            precision=row["precision"],
            pairs=int(row["pairs"]),
            median=float(row["median"]),
            log_half_width=float(row["log_half_width"]),
        )
        for row in table(MODEL_SPREADS)
    )
