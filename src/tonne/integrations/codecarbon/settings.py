"""What a CodeCarbon script asks for: arguments, else CODECARBON_* variables, else its two configuration files."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger("tonne.integrations.codecarbon")
FILE, SECTION, PREFIX = ".codecarbon.config", "codecarbon", "codecarbon_"

# In CodeCarbon's order, for scripts that give them by position.
PARAMETERS = (
    "project_name",
    "measure_power_secs",
    "api_call_interval",
    "api_endpoint",
    "api_key",
    "output_dir",
    "output_file",
    "output_methods",
    "save_to_file",
    "save_to_api",
    "save_to_logger",
    "logging_logger",
    "save_to_prometheus",
    "save_to_logfire",
    "prometheus_url",
    "output_handlers",
    "gpu_ids",
    "emissions_endpoint",
    "experiment_id",
    "experiment_name",
    "electricitymaps_api_token",
    "co2_signal_api_token",
    "tracking_mode",
    "log_level",
    "on_csv_write",
    "logger_preamble",
    "force_cpu_power",
    "force_ram_power",
    "pue",
    "wue",
    "force_carbon_intensity_g_co2e_kwh",
    "force_mode_cpu_load",
    "allow_multiple_runs",
    "rapl_include_dram",
    "rapl_prefer_psys",
    "metadata",
)
OLDER = ("default_cpu_power",)  # of its versions before 3
PLACE = ("country_iso_code", "region", "cloud_provider", "cloud_region", "country_2letter_iso_code")
OURS = ("latitude", "longitude", "interval_s")  # beyond CodeCarbon's
SENDING = (
    "save_to_api",
    "save_to_prometheus",
    "save_to_logfire",
    "emissions_endpoint",
    "electricitymaps_api_token",
    "co2_signal_api_token",
)
NOT_DONE = {  # and what is done instead
    "force_mode_cpu_load": "processors are read where a sensor reads them, else modelled by their load",
    "rapl_include_dram": "memory that a sensor reads is in ram_energy, not in cpu_energy",
    "rapl_prefer_psys": "processors are read by package, the rest of the machine is in tracker.meter.account()",
    "metadata": "nothing is written in the format of BoAmps",
    "logger_preamble": "messages go through Python's logging, whose formatter may have it",
}
WRITTEN = {"csv", "logger"}
NOT_WRITTEN = {"api", "prometheus", "logfire", "boamps"}


@dataclass(kw_only=True)
class Settings:
    """The settings that mean something here, with CodeCarbon's defaults."""

    project_name: str = "codecarbon"
    measure_power_secs: float | None = None  # left out: tonne's own interval, of which a crash loses one at most
    output_dir: str = "."
    output_file: str = "emissions.csv"
    save_to_file: bool = True
    save_to_logger: bool = False
    logging_logger: Any = None
    output_handlers: list[Any] = field(default_factory=list)
    gpu_ids: Any = None
    experiment_id: str = ""
    experiment_name: str = "base"
    tracking_mode: str = "machine"
    log_level: Any = None
    on_csv_write: str = "append"
    force_cpu_power: float | None = None
    default_cpu_power: float | None = None  # where the processor is not known
    force_ram_power: float | None = None
    pue: float = 1.0
    wue: float = 0.0
    force_carbon_intensity_g_co2e_kwh: float | None = None
    country_iso_code: str | None = None
    region: str | None = None
    cloud_provider: str | None = None
    cloud_region: str | None = None
    country_2letter_iso_code: str | None = None
    latitude: float | None = None
    longitude: float | None = None


FLOATS = (
    "measure_power_secs",
    "force_cpu_power",
    "default_cpu_power",
    "force_ram_power",
    "pue",
    "wue",
    "force_carbon_intensity_g_co2e_kwh",
    "latitude",
    "longitude",
)
LEAST = {
    "measure_power_secs": 0,
    "pue": 1,
    "wue": 0,
    "force_cpu_power": 0,
    "default_cpu_power": 0,
    "force_ram_power": 0,
    "force_carbon_intensity_g_co2e_kwh": 0,
}
TEXTS = ("project_name", "experiment_id", "experiment_name", "output_file")
BOOLS = ("save_to_file", "save_to_logger")
KNOWN = tuple(one.name for one in fields(Settings))


def settings_of(positional: tuple[Any, ...], named: Mapping[str, Any]) -> Settings:
    """The settings of a tracker.

    Args:
        positional: Arguments by position, in CodeCarbon's order.
        named: Arguments by name.

    Raises:
        TypeError: An argument that CodeCarbon does not have either.
        OSError: The folder for the file is not there.
        ValueError: A setting that has none of its values.
    """
    arguments = {**dict(zip(PARAMETERS, positional, strict=False)), **named}
    unknown = sorted(set(arguments) - set(PARAMETERS) - set(OLDER) - set(PLACE) - set(OURS))
    if unknown or len(positional) > len(PARAMETERS):
        raise TypeError(f"EmissionsTracker() got an unexpected argument {unknown[0] if unknown else positional[-1]!r}")
    told = {**configured(), **arguments}
    _set_level(told.get("log_level"))
    _warn_of_what_is_not_done(told)
    wanted = _ways_out(told)
    found = {name: _typed(name, told[name], arguments) for name in KNOWN if told.get(name) is not None}
    settings = Settings(**{**{name: value for name, value in found.items() if value is not None}, **wanted})
    _check(settings)
    return settings


def configured() -> dict[str, str]:
    """CodeCarbon's configuration: of the home folder, then of this folder, then of the environment."""
    found: dict[str, str] = {}
    for folder in (Path.home(), Path.cwd()):
        parser = ConfigParser(interpolation=None)
        parser.read(folder / FILE)
        if parser.has_section(SECTION):
            found |= dict(parser[SECTION])
    variables = {name.lower(): value for name, value in os.environ.items()}
    return found | {name.removeprefix(PREFIX): v for name, v in variables.items() if name.startswith(PREFIX)}


def _set_level(level: Any) -> None:  # noqa: ANN401 - a number or a name
    """Of this bridge's messages, before there are any."""
    if level is None:
        return
    try:
        LOGGER.setLevel(level.upper() if isinstance(level, str) else level)
    except (TypeError, ValueError):
        LOGGER.warning("log_level=%r is none: give debug, info, warning, error or critical.", level)


def _typed(name: str, value: Any, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the setting's type
    """The value of a setting; None for one that cannot be, where CodeCarbon goes on without it."""
    if name in BOOLS:
        return _is_true(value)
    if name in TEXTS:
        return str(value)
    if name not in FLOATS:
        return value
    try:
        return _number(name, value)
    except ValueError as error:
        if name in arguments and name != "force_carbon_intensity_g_co2e_kwh":
            raise
        LOGGER.warning("%s It is left out.", error)
        return None


def _number(name: str, value: Any) -> float:  # noqa: ANN401 - whatever is given for one
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={value!r} is no number. Give one, or leave it out.") from None
    if not LEAST.get(name, -float("inf")) <= number < float("inf"):
        raise ValueError(f"{name}={value!r} must be a number from {LEAST.get(name, '-infinity')}.")
    return number


def _is_true(value: Any) -> bool:  # noqa: ANN401 - a flag, or the text of one
    return value if isinstance(value, bool) else str(value).strip().lower() == "true"


def _ways_out(told: Mapping[str, Any]) -> dict[str, bool]:
    """Whether to write a file and to a logger, where a list of methods says so."""
    methods = told.get("output_methods")
    if methods is None:
        return {}
    names = methods.split(",") if isinstance(methods, str) else [getattr(one, "value", one) for one in methods]
    chosen = {str(name).strip().lower() for name in names}
    if strange := chosen - WRITTEN - NOT_WRITTEN - {""}:
        LOGGER.warning("output_methods: %s is none that is known here, and is left out.", ", ".join(sorted(strange)))
    if chosen & NOT_WRITTEN:
        LOGGER.warning(
            "nothing is written or sent as %s: tonne opens no socket.", ", ".join(sorted(chosen & NOT_WRITTEN))
        )
    return {"save_to_file": "csv" in chosen, "save_to_logger": "logger" in chosen}


def _warn_of_what_is_not_done(told: Mapping[str, Any]) -> None:
    asked = [name for name in SENDING if _is_asked(told.get(name))]
    if asked:
        LOGGER.warning("%s: nothing is sent or fetched, tonne opens no socket.", ", ".join(asked))
    for name, instead in NOT_DONE.items():
        if _is_asked(told.get(name)):
            LOGGER.warning("%s is not done: %s.", name, instead)
    if told.get("allow_multiple_runs") is not None and not _is_true(told["allow_multiple_runs"]):
        LOGGER.warning("allow_multiple_runs=False is not done: trackers do not wait for each other, all of them count.")


def _is_asked(value: Any) -> bool:  # noqa: ANN401 - of whatever type the setting is
    return bool(value) and str(value).strip().lower() not in {"false", "none", ""}


def _check(settings: Settings) -> None:
    choices = {"tracking_mode": ("machine", "process"), "on_csv_write": ("append", "update")}
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, allowed))}.")
    if settings.save_to_file and not Path(settings.output_dir).is_dir():
        raise OSError(f"the folder output_dir={settings.output_dir!r} is not there. Make it, or give another.")
