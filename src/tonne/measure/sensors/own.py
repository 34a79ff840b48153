r"""The user's own meters: a plug, a rack's distribution unit, a management controller; told of in a TOML file.

[[meter]]
name = "bmc"
part = "node"                        # or "host", "cpu", "memory", "accelerator:0"
unit = "W"                           # mW uW kW; of a counter J mJ uJ kJ Wh kWh
command = "ipmitool dcmi power reading"
pattern = 'Instantaneous power reading:\s+(\d+) Watts'
error_fraction = 0.02
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.errors import DescriptionError
from tonne.measure.sensors.commands import Command, number_in
from tonne.measure.sensors.protocol import (
    CPU,
    HOST,
    MEMORY,
    NODE,
    Clock,
    Description,
    Kind,
    Readable,
    Reading,
    Sensor,
)
from tonne.reference.measuring import measuring_constant

POWERS_W = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "kW": 1e3}
ENERGIES_J = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6}
PARTS = re.compile(rf"{CPU}|{MEMORY}|{HOST}|{NODE}|accelerator:\d+")
KEYS = ("name", "part", "unit", "file", "command", "pattern", "error_fraction", "window_s", "wrap")


@dataclass(frozen=True, kw_only=True)
class Relayed(Description):
    """A sensor whose readings come ready made, with a time of their own."""

    relay: Callable[[], Reading]
    scale: float = 1.0  # from the meter's unit to J or W
    closer: Callable[[], None] | None = None

    def read(self) -> Reading:
        """The last reading of the meter."""
        told = self.relay()
        return told if told.value is None else Reading(told.time_ns, told.value * self.scale, told.fault)

    def close(self) -> None:
        """End what runs for it."""
        if self.closer is not None:
            self.closer()


def own_meters(file: Path, clock: Clock) -> list[Sensor]:
    """The meters that a file tells of.

    Raises:
        DescriptionError: The file cannot be read, or a meter in it cannot be right.
    """
    import tomllib  # noqa: PLC0415 - only for those who have such a file

    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DescriptionError(
            f"TONNE_METERS={file} cannot be read: {error}. It must be a TOML file with one [[meter]] for each meter."
        ) from None
    meters = told.get("meter")
    if not isinstance(meters, list) or set(told) != {"meter"}:
        raise DescriptionError(f"{file} must hold [[meter]] sections and nothing else; it holds {sorted(told)}.")
    return [_meter(fields, f"meter {i} of {file}", clock) for i, fields in enumerate(meters, 1)]


def _meter(fields: Mapping[str, Any], where: str, clock: Clock) -> Sensor:
    _check(fields, where)
    unit, part = fields["unit"], fields["part"]
    kind: Kind = "power" if unit in POWERS_W else "counter"
    scale = POWERS_W.get(unit) or ENERGIES_J[unit]
    pattern = re.compile(fields["pattern"]) if "pattern" in fields else None
    traits: dict[str, Any] = {
        "name": f"own:{fields['name']}",
        "part": part,
        "covers": (HOST, CPU, MEMORY) if part == HOST else (part,),
        "kind": kind,
        "unit": "W" if kind == "power" else "J",
        "error_fraction": fields.get("error_fraction", measuring_constant("own_meter_error_fraction").value),
        "window_s": fields.get("window_s", 0.0),
        "wrap_j": fields["wrap"] * scale if "wrap" in fields else None,
        "device": fields.get("file") or fields["command"],
    }
    if "file" in fields:
        path = Path(fields["file"])
        return Readable(
            **traits, clock=clock, source=lambda: number_in(path.read_text(encoding="utf-8"), pattern) * scale
        )
    command = Command(shlex.split(fields["command"]), pattern, clock)
    return Relayed(**traits, relay=command.read, scale=scale, closer=command.close)


def _check(fields: Mapping[str, Any], where: str) -> None:
    unknown = sorted(set(fields) - set(KEYS))
    if unknown:
        raise DescriptionError(f"{where} has the unknown key {unknown[0]!r}. Known: {', '.join(KEYS)}.")
    lacking = [key for key in ("name", "part", "unit") if not isinstance(fields.get(key), str)]
    if lacking:
        raise DescriptionError(f"{where} lacks {lacking[0]!r}, a text. A meter needs name, part and unit.")
    if not PARTS.fullmatch(fields["part"]):
        raise DescriptionError(
            f"{where} has part={fields['part']!r}. Parts: node, host (without GPUs), cpu, memory, accelerator:0."
        )
    if fields["unit"] not in {**POWERS_W, **ENERGIES_J}:
        raise DescriptionError(f"{where} has unit={fields['unit']!r}. Units: {', '.join((*POWERS_W, *ENERGIES_J))}.")
    if ("file" in fields) == ("command" in fields):
        raise DescriptionError(f"{where} must have either 'file' or 'command': where its number comes from.")
    _check_numbers(fields, where)


def _check_numbers(fields: Mapping[str, Any], where: str) -> None:
    for key, least, most in (("error_fraction", 0.0, 1.0), ("window_s", 0.0, 3600.0), ("wrap", 0.0, float("inf"))):
        value = fields.get(key, least)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise DescriptionError(f"{where} has {key}={value!r}; it must be a number from {least:g} to {most:g}.")
    try:
        re.compile(fields.get("pattern", ""))
    except (re.error, TypeError) as error:
        raise DescriptionError(f"{where} has a pattern that is no regular expression: {error}.") from None
