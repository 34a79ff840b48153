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
    "force_ram_power",
    "pue",
    "wue",
    "force_carbon_intensity_g_co2e_kwh",
    "latitude",
    "longitude",
)
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
    unknown = sorted(set(arguments) - set(PARAMETERS) - set(PLACE) - set(OURS))
    if unknown or len(positional) > len(PARAMETERS):
        raise TypeError(f"EmissionsTracker() got an unexpected argument {unknown[0] if unknown else positional[-1]!r}")
    told = {**configured(), **arguments}
    _warn_of_what_is_not_done(told)
    wanted = _ways_out(told)
    found = {name: _typed(name, told[name]) for name in KNOWN if told.get(name) is not None}
    settings = Settings(**{**found, **wanted})
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


def _typed(name: str, value: Any) -> Any:  # noqa: ANN401 - of whatever type the setting is
    if name in BOOLS:
        return value if isinstance(value, bool) else str(value).strip().lower() == "true"
    if name not in FLOATS:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={value!r} is no number. Give one, or leave it out.") from None


def _ways_out(told: Mapping[str, Any]) -> dict[str, bool]:
    """Whether to write a file and to a logger, where a list of methods says so."""
    methods = told.get("output_methods")
    if methods is None:
        return {}
    names = methods.split(",") if isinstance(methods, str) else [getattr(one, "value", one) for one in methods]
    chosen = {str(name).strip().lower() for name in names}
    if chosen & NOT_WRITTEN:
        LOGGER.warning(
            "nothing is written or sent as %s: tonne opens no socket.", ", ".join(sorted(chosen & NOT_WRITTEN))
        )
    return {"save_to_file": "csv" in chosen, "save_to_logger": "logger" in chosen}


def _warn_of_what_is_not_done(told: Mapping[str, Any]) -> None:
    asked = [name for name in SENDING if told.get(name) and str(told[name]).lower() != "false"]
    if asked:
        LOGGER.warning("%s: nothing is sent or fetched, tonne opens no socket.", ", ".join(asked))


def _check(settings: Settings) -> None:
    choices = {"tracking_mode": ("machine", "process"), "on_csv_write": ("append", "update")}
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, allowed))}.")
    if settings.save_to_file and not Path(settings.output_dir).is_dir():
        raise OSError(f"the folder output_dir={settings.output_dir!r} is not there. Make it, or give another.")
    least = {"pue": 1, "wue": 0, "force_cpu_power": 0, "force_ram_power": 0, "force_carbon_intensity_g_co2e_kwh": 0}
    for name, at_least in least.items():
        value = getattr(settings, name)
        if value is not None and not at_least <= value < float("inf"):
            raise ValueError(f"{name}={value!r} must be a number from {at_least}.")
