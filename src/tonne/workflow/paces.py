"""How fast this machine was in earlier runs: a line for each in a file below TONNE_HOME, read by the next forecast."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
FILE = "paces.jsonl"
MOST_BYTES = 2**20  # beyond it the older half is dropped
MOST_ROWS = 8  # of one kind that count: a machine changes
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """One run's mean times [s], as tried before it and as measured in it, and what parts of the machine drew [W].

    Attributes:
        machine: As ``Ahead`` has it.
        shape: As ``Ahead`` has it.
        steps: That were timed.
        tried: Time of one step, evaluation, checkpoint, sample and finish in the trial; without those not tried.
        measured: The same in the run; ``start`` is what the first step took longer than others.
        watts: Part -> value, low and high of the mean power of this node in the run.
        measured_parts: Those of the parts that sensors read.
        tried_slowness: Of the steps in the trial, as ``Timed`` has it.
        slowness: Of the steps in the run.
    """

    machine: str
    shape: str
    steps: int
    tried: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    watts: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    measured_parts: tuple[str, ...] = ()
    tried_slowness: float = 1.0
    slowness: float = 1.0

    def alone(self, name: str) -> float:
        """A time in the run [s], as it would be where nobody else wanted the processor."""
        return self.measured[name] / self.slowness


def paces_in(home: Path | None) -> list[Pace]:
    """The rows of the file, oldest first; lines that are torn, or of another version, are passed over."""
    if home is None:
        return []
    try:
        lines = (home / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [pace for pace in map(_pace, lines) if pace is not None]


def keep_pace(home: Path | None, pace: Pace) -> None:
    """Add a row; a home that cannot be written only costs the next forecast what this run knew."""
    if home is None:
        return
    line = json.dumps({"schema": SCHEMA, **asdict(pace)}, allow_nan=False) + "\n"
    try:
        home.mkdir(parents=True, exist_ok=True)
        path = home / FILE
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
        if path.stat().st_size > MOST_BYTES:
            _halve(path)
    except OSError as error:
        LOG.warning("%s: how fast this run was is not kept for the next forecast: %s", home, error.strerror)


def same_shape(paces: list[Pace], shape: str) -> list[Pace]:
    """The last rows of runs whose steps were the same work on the same machine."""
    return [pace for pace in paces if pace.shape == shape][-MOST_ROWS:]


def same_machine(paces: list[Pace], machine: str) -> list[Pace]:
    """The last rows of the machine, whatever was trained."""
    return [pace for pace in paces if pace.machine == machine][-MOST_ROWS:]


def _halve(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines[len(lines) // 2 :]), encoding="utf-8")
    partial.replace(path)


def _pace(line: str) -> Pace | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        if fields.pop("schema") != SCHEMA:
            return None
        numbers = {name: {part: float(value) for part, value in fields[name].items()} for name in ("tried", "measured")}
        watts = {part: (float(v), float(low), float(high)) for part, (v, low, high) in fields["watts"].items()}
        return Pace(**{**fields, **numbers, "watts": watts, "measured_parts": tuple(fields["measured_parts"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
