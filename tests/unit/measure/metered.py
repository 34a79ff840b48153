"""Sensors whose energy is known from the clock alone, and programs that are measured with them from outside."""

from __future__ import annotations

import json
import os
import signal
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


def wait_for(condition) -> None:
    """Wait until something is so, however busy the machine is."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def wait_for_readings(*sensors: Constant, count: int = 2) -> None:
    """Wait until sensors were read so often from now on: energy is known from two readings, however late they come."""
    wanted = [sensor.reads + count for sensor in sensors]
    wait_for(lambda: all(sensor.reads >= reads for sensor, reads in zip(sensors, wanted, strict=True)))


class Clocked:
    """Calls that are clocked from outside: what happens at an instant within one is right to within what it took.

    On a busy machine a thread may stand still between the clock and the sensor that it then reads.
    """

    def __init__(self) -> None:
        self.took_s = 0.0

    def __call__(self, function, *arguments, **named):
        begun = time.monotonic()
        try:
            return function(*arguments, **named)
        finally:
            self.took_s += time.monotonic() - begun


def lines_of(folder: Path) -> list[dict]:
    """The lines of a journal."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def begun_s(folder: Path) -> float:
    """When a run began [s]; readings before it are the meter's own start."""
    return next(line["t"] for line in lines_of(folder) if line.get("kind") == "start") / 1e9


def ended_s(folder: Path) -> float:
    """When a run ended [s]: what is read after it is cut there."""
    return next(line["t"] for line in lines_of(folder) if line.get("kind") == "leave") / 1e9


def counted_s(folder: Path, sensor: int = 0) -> float:
    """For how long a sensor counted [s]: between its first and last readings, within the run."""
    times_s = read_s(folder, sensor)
    return min(times_s[-1], ended_s(folder)) - max(times_s[0], begun_s(folder))


def read_s(folder: Path, sensor: int = 0) -> list[float]:
    """When a sensor was read [s], by its number in the journal."""
    return [line["t"] / 1e9 + line["o"][sensor] / 1e6 for line in lines_of(folder) if "o" in line]


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


def ended(child: int) -> int:
    """The exit status of a forked child; one that hangs is ended, and its signal is the status."""
    until = time.monotonic() + 30
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            until = float("inf")
        time.sleep(0.01)
