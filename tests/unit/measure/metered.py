"""Sensors whose energy is known from the clock alone, and programs that are measured with them from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tonne.measure.sensors.protocol import Reading

WATTS = 100.0
HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "src"


class Constant:
    """A counter of a part that draws the same power all the time."""

    kind, unit, error_fraction, wrap_j, window_s, ceiling_w = "counter", "J", 0.0, None, 0.0, None

    def __init__(self, part: str = "cpu", watts: float = WATTS, name: str = "", device: str = "") -> None:
        self.part, self.covers, self.watts = part, (part,), watts
        self.name = name or f"fake:{part}"
        self.device, self.device_id = device, f"GPU-{part}" if device else ""
        self.instead: Exception | float | None = None
        self.reads = 0
        self.closed = False

    def read(self) -> Reading:
        self.reads += 1
        now = time.monotonic_ns()
        if isinstance(self.instead, Exception):
            raise self.instead
        return Reading(now, self.watts * now / 1e9 if self.instead is None else self.instead)

    def close(self) -> None:
        self.closed = True


def opening(*sensors: Constant):
    """What opens these sensors."""
    return lambda: (list(sensors) or [Constant()], [])


def joules(estimate) -> float:
    """Energy [J] of an estimate in kWh."""
    return estimate.value * 3.6e6


def program(code: str | None, *arguments: str, **variables: str) -> subprocess.Popen:
    """A Python program beside this one, from its code or its file, without any variable of a launcher."""
    launchers = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_", "OMPI_", "PMI", "TORCHELASTIC", "TONNE_RUN", "MASTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(launchers)}
    kept["TONNE_RUNTIME"] = os.environ["TONNE_RUNTIME"]
    path = os.pathsep.join([str(SOURCE), str(HERE)])
    return subprocess.Popen(
        [sys.executable, *([] if code is None else ["-c", code]), *arguments],
        env={**kept, "PYTHONPATH": path, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    """What a program printed; it must have ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out
