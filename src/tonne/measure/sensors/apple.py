"""Processor and graphics of Apple silicon through the program powermetrics, which macOS lets root alone run."""

from __future__ import annotations

import os
import re
import sys
from functools import partial

from tonne.measure.environment import Roots
from tonne.measure.sensors.commands import Stream
from tonne.measure.sensors.own import Relayed
from tonne.measure.sensors.protocol import CPU, Clock, Missing, accelerator, once
from tonne.reference.measuring import measuring_constant

MILLI = 1e-3
EVERY_S = 1.0
PATTERNS = {"cpu": re.compile(r"^CPU Power:\s*([\d.]+) mW"), "gpu": re.compile(r"^GPU Power:\s*([\d.]+) mW")}
AS_ROOT = "start it with sudo, or name a program that needs no root in TONNE_METERS (docs/sensors.md)"


def open_apple(
    roots: Roots, clock: Clock, *, system: str = sys.platform, user: int | None = None
) -> tuple[list[Relayed], list[Missing]]:
    """Sensors of processor and graphics, each an average over the last second.

    Args:
        roots: Where the program lies.
        clock: Time of the readings.
        system: As sys.platform says.
        user: Number of the user; left out, the one who runs this.
    """
    if system != "darwin":
        return [], []
    if (os.geteuid() if user is None else user) != 0:
        return [], [Missing(part, "powermetrics needs root", AS_ROOT) for part in (CPU, accelerator(0))]
    words = [str(roots.powermetrics), "--samplers", "cpu_power,gpu_power", "-b", "1", "-i", str(round(EVERY_S * 1000))]
    stream = Stream(words, PATTERNS, clock)
    close = once(stream.close)
    sensors = [
        Relayed(
            name=f"apple:{name}",
            part=part,
            kind="power",
            unit="W",
            error_fraction=measuring_constant("apple_error_fraction").value,
            window_s=EVERY_S,
            device="Apple silicon",
            relay=partial(stream.read, name),
            scale=MILLI,
            closer=close,
        )
        for name, part in (("cpu", CPU), ("gpu", accelerator(0)))
    ]
    return sensors, []
