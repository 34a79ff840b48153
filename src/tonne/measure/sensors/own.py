r"""The user's own meters: a plug, a rack's distribution unit, a management controller; told of in a TOML file.

[[meter]]
name = "bmc"
part = "node"                        # or "host", "cpu", "memory", "accelerator:0"
unit = "W"                           # mW uW kW; of a counter J mJ uJ kJ Wh kWh
command = "ipmitool dcmi power reading"
pattern = 'Instantaneous power reading:\s+(\d+) Watts'
error_fraction = 0.02
                                     # of a counter also wrap and step: the smallest change that it shows, in its unit
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.errors import DescriptionError
from tonne.measure.sensors.commands import Command, digits_in, number_in
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
    ReadingError,
    Sensor,
)
from tonne.reference.measuring import measuring_constant

POWERS_W = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "kW": 1e3}
ENERGIES_J = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6}
PARTS = re.compile(rf"{CPU}|{MEMORY}|{HOST}|{NODE}|accelerator:\d+")
INFINITE = float("inf")
COARSE = ("kJ", "Wh", "kWh")  # a counter in these makes steps that matter
KEYS = ("name", "part", "unit", "file", "command", "pattern", "error_fraction", "window_s", "wrap", "step", "adds")


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
        why = error.strerror if isinstance(error, OSError) else error
        raise DescriptionError(
            f"TONNE_METERS={file} cannot be read: {why}. It must be a TOML file with one [[meter]] for each meter."
        ) from None
    meters = told.get("meter")
    if not isinstance(meters, list) or set(told) != {"meter"}:
        raise DescriptionError(f"{file} must hold [[meter]] sections and nothing else; it holds {sorted(told)}.")
    sensors = [_meter(fields, f"meter {i} of {file}", clock) for i, fields in enumerate(meters, 1)]
    _check_together(meters, str(file))
    return sensors


def _check_together(meters: Sequence[Mapping[str, Any]], where: str) -> None:
    """Several meters of one part are added only where that is what their owner says."""
    for fields in meters:
        alike = [other["name"] for other in meters if other["part"] == fields["part"]]
        if len(alike) > 1 and fields.get("adds") is not True:
            raise DescriptionError(
                f"{where} has {len(alike)} meters of part={fields['part']!r}: {', '.join(alike)}. Keep one; or, where "
                f"each tells of a share of it, as plugs of two supplies do, write adds = true in each."
            )
    names = [fields["name"] for fields in meters]
    if len(set(names)) < len(names):
        raise DescriptionError(f"{where} has two meters of one name: {', '.join(names)}. Names tell them apart.")


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
        traits["step_j"] = 0.0 if kind == "power" else _step(fields, path, pattern) * scale
        return Readable(
            **traits, clock=clock, source=lambda: number_in(path.read_text(encoding="utf-8"), pattern) * scale
        )
    traits["step_j"] = 0.0 if kind == "power" else fields.get("step", 1.0) * scale
    command = Command(shlex.split(fields["command"]), pattern, clock)
    return Relayed(**traits, relay=command.read, scale=scale, closer=command.close)


def _step(fields: Mapping[str, Any], path: Path, pattern: re.Pattern[str] | None) -> float:
    """Smallest change of a counter in its unit: as its owner says, else one in the last digit that it shows."""
    if "step" in fields:
        return float(fields["step"])
    from decimal import Decimal  # noqa: PLC0415 - only for those who have such a file

    try:
        exponent = Decimal(digits_in(path.read_text(encoding="utf-8"), pattern)).as_tuple().exponent
    except (OSError, ValueError, ArithmeticError, ReadingError):
        exponent = 0
    return float(10.0**exponent) if isinstance(exponent, int) else 1.0


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
    _check_source("file" if "file" in fields else "command", fields, where)
    if "command" in fields and fields["unit"] in COARSE and "step" not in fields:
        raise DescriptionError(
            f"{where} counts in {fields['unit']} by a command and does not say its step: the smallest change that it "
            f"shows, e.g. step = 0.01. A run is known to one step."
        )
    _check_numbers(fields, where)


def _check_source(key: str, fields: Mapping[str, Any], where: str) -> None:
    """A file has a name, and a command at least its program."""
    value = fields[key]
    try:
        is_well = isinstance(value, str) and bool(shlex.split(value) if key == "command" else value.strip())
    except ValueError:
        is_well = False  # a quotation that does not end
    if not is_well:
        raise DescriptionError(
            f"{where} has {key}={value!r}; it must be a text: a file's name, or a program and its arguments, quoted as "
            "in a shell. No shell runs it: write pipes as sh -c '...'."
        )


def _check_numbers(fields: Mapping[str, Any], where: str) -> None:
    for key, least, most in (
        ("error_fraction", 0.0, 1.0),
        ("window_s", 0.0, 3600.0),
        ("wrap", 0.0, INFINITE),
        ("step", 0.0, INFINITE),
    ):
        value = fields.get(key, least)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise DescriptionError(f"{where} has {key}={value!r}; it must be a number from {least:g} to {most:g}.")
    try:
        re.compile(fields.get("pattern", ""))
    except (re.error, TypeError) as error:
        raise DescriptionError(f"{where} has a pattern that is no regular expression: {error}.") from None
