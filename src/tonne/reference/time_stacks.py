"""Which stacks were measured, how sure a forecast of a step is, and how much one measured step tells of others."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tonne.reference.calibration import PRECISION_CLASS, family_of
from tonne.reference.time_model import shipped_time_model

STACKS, SCALES = "time_model_stacks.csv", "time_model_scales.csv"
KNOWN, OPEN, UNSEEN = "known", "open", "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStack:
    """A framework on a chip generation, and how many rows of it were fitted."""

    framework: str
    family: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSpread:
    """How far a step is off that was forecast from a measured one of the same stack and model.

    ``most_scale``: at most so many times the accelerators, either way; 1 is the very same configuration measured again
    (then ``kind`` and ``precision`` are ``*``). ``median`` and ``p90`` are of the sizes of the errors in logarithms.
    """

    kind: str
    precision: str
    most_scale: float
    pairs: int
    median: float
    p90: float
    log_half_width: float


def precision_group(precision: str) -> str:
    """16-bit, or low: the groups that have a spread of their own; no row has 32 bits, which run the kernels of 16."""
    return "low" if PRECISION_CLASS[precision] in {"fp8", "fp4"} else "16-bit"


def stack_of(framework: str, accelerator_id: str) -> str:
    """Whether steps of a framework on such a chip were measured: ``known`` or ``unseen``."""
    wanted = (framework.lower(), family_of(accelerator_id))
    return KNOWN if any((s.framework, s.family) == wanted for s in measured_stacks()) else UNSEEN


def log_half_width(kind: str, precision: str, stack: str, *, settled: bool = True) -> float:
    """Half-width of the 90 % interval of a step's time, in logarithms; less known is never surer.

    Args:
        kind: ``dense`` or ``moe``.
        precision: As in a plan.
        stack: ``known`` or ``unseen``.
        settled: Whether the plan says how a mixture's exchanges are done.
    """
    spreads = shipped_time_model().spreads
    stacks = {KNOWN, stack} | (set() if settled else {OPEN})
    return max(spreads[kind, precision_group(precision), s].log_half_width for s in stacks)


def scaled_log_half_width(kind: str, precision: str, scale: float) -> float:
    """The same of a step forecast from a measured one of its stack and model, at so many times the accelerators.

    Never surer than a measurement repeated, nor less sure than without one; a group without pairs has the latter.
    """
    least = remeasured_log_half_width()
    most = log_half_width(kind, precision, KNOWN)
    group = precision_group(precision)
    fitting = [s for s in scale_spreads() if (s.kind, s.precision) == (kind, group) and s.most_scale >= scale]
    found = min(fitting, key=lambda s: s.most_scale).log_half_width if fitting else most
    return min(max(found, least), most)


def remeasured_log_half_width() -> float:
    """Half-width, in logarithms, of a configuration measured again."""
    return next((s.log_half_width for s in scale_spreads() if s.most_scale == 1), math.inf)


@cache
def measured_stacks() -> tuple[MeasuredStack, ...]:
    """The stacks whose steps were fitted."""
    return tuple(
        MeasuredStack(framework=row["framework"], family=row["family"], rows=int(row["rows"])) for row in _rows(STACKS)
    )


@cache
def scale_spreads() -> tuple[ScaleSpread, ...]:
    """The spreads by scale."""
    return tuple(
        ScaleSpread(
            kind=row["kind"],
            precision=row["precision"],
            most_scale=float(row["most_scale"]),
            pairs=int(row["pairs"]),
            median=float(row["median"]),
            p90=float(row["p90"]),
            log_half_width=float(row["log_half_width"]),
        )
        for row in _rows(SCALES)
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = files("tonne.reference").joinpath("tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
