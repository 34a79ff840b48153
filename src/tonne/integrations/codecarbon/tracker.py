"""`EmissionsTracker` and `OfflineEmissionsTracker`: CodeCarbon's methods on a meter of tonne."""

from __future__ import annotations

import atexit
import json
import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import tonne
from tonne.integrations.codecarbon import machine
from tonne.integrations.codecarbon.chosen import opener_of, visible_among
from tonne.integrations.codecarbon.columns import UNKNOWN, EmissionsData, tag_of, task_row, with_rates
from tonne.integrations.codecarbon.energies import energies_of
from tonne.integrations.codecarbon.outputs import BaseOutput, FileOutput, LoggerOutput
from tonne.integrations.codecarbon.places import place_of
from tonne.integrations.codecarbon.settings import LOGGER, settings_of
from tonne.measure.meter import Meter, ending_of
from tonne.measure.windows import Window

KG_PER_G = 1e-3
INTERVAL_S = 1.0  # tonne's own; CodeCarbon's 15 s would be lost by a crash


@dataclass(slots=True)
class _Task:
    """A task that is open, or its row; scripts read it by these names."""

    task_name: str
    window: Window
    begun_s: float
    begun: machine.Moment
    emissions_data: EmissionsData | None = None

    @property
    def is_active(self) -> bool:
        """Whether it is open."""
        return self.emissions_data is None


class BaseEmissionsTracker:
    """Measures this machine between `start` and `stop`, and writes a row of CodeCarbon's columns.

    Takes CodeCarbon's arguments, by name or in its order, its environment variables and its configuration files, and
    `latitude` and `longitude` for those columns, which are never looked up. Nothing is sent or fetched. The run is one
    of tonne too: `tracker.meter.account()` is its account, with intervals, and a crash loses one interval of it.

    Raises:
        TypeError: An argument that CodeCarbon does not have.
        OSError: The folder for the file is not there.
        ValueError: A setting that cannot be.
    """

    final_emissions: float
    final_emissions_data: EmissionsData

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - CodeCarbon's 36, and those of the place
        """A tracker that does nothing yet."""
        self._settings = settings_of(arguments, named)
        self.run_id = uuid.uuid4()
        self.meter: Meter | None = None
        self._place = place_of(self._settings)
        self._begun_s: float | None = None  # of start(); without it, the tasks are all that is counted
        self._begun: machine.Moment | None = None
        self._tasks: dict[str, _Task] = {}
        self._active: str | None = None
        self._last_row: EmissionsData | None = None
        self._process = 0
        self._handlers = self._outputs()

    def start(self) -> None:
        """Begin to measure; a second call does nothing."""
        if self._begun_s is not None:
            LOGGER.warning("this tracker was started before.")
            return
        self._begun = machine.Moment.now()
        self._begun_s = self._meter_on()

    def stop(self) -> float | None:
        """End, and write the row.

        Returns:
            Emissions [kg CO2e]; NaN where the place, or the energy of a part, is not known.
        """
        if self.meter is None or self not in _LIVE:
            LOGGER.warning("this tracker was stopped before, or never started.")
            return getattr(self, "final_emissions", None)
        if self._active is not None:
            self.stop_task()
        self.meter.stop(ending_of(_handled()))
        _LIVE.discard(self)
        row = self._guarded_row(self._total)
        self.final_emissions_data, self.final_emissions = row, row.emissions
        self._write(row)
        self._tell(_exiting(handler) for handler in self._handlers)
        self._begun_s = None
        return row.emissions

    def flush(self) -> float | None:
        """Write a row of all so far, and go on.

        Returns:
            Emissions so far [kg CO2e], as of `stop`.
        """
        if self.meter is None or self not in _LIVE:
            LOGGER.error("this tracker is not running. Call start() first.")
            return None
        row = self._guarded_row(self._total)
        self._write(row)
        return row.emissions

    def start_task(self, task_name: str | None = None) -> None:
        """Begin a task, whose row is apart; one at a time."""
        if self._active is not None:
            LOGGER.warning("the task %r is being measured. Stop it first.", self._active)
            return
        name = task_name or str(uuid.uuid4())
        if name in self._tasks:
            name = f"{name}_{uuid.uuid4()}"
        self._meter_on()
        assert self.meter is not None
        self._tasks[name] = _Task(name, self.meter.window(name).open(), time.monotonic(), machine.Moment.now())
        self._active = name

    def stop_task(self, task_name: str | None = None) -> EmissionsData | None:
        """End a task.

        Returns:
            What it took; None where it was not open.
        """
        name = task_name or self._active
        task = self._tasks.get(name) if name is not None else None
        if name is None or task is None or not task.is_active:
            LOGGER.warning("there is no task %r to stop.", task_name or "")
            return None
        task.window.close()
        self._active = None
        lasted_s = time.monotonic() - task.begun_s
        task.emissions_data = self._guarded_row(lambda: self._row(lasted_s, task.begun, window=name))
        return task.emissions_data

    def service_shutdown(self, signum: int, frame: Any) -> None:  # noqa: ANN401 - a signal handler's
        """Stop when a signal comes, where a script registers this for it."""
        self.stop()

    def get_detected_hardware(self) -> dict[str, Any]:
        """What is known of this machine, by CodeCarbon's names."""
        found = machine.machine_columns(self._accelerators())
        return {**found, "cpu_physical_count": None, "gpu_ids": self._settings.gpu_ids}

    def __enter__(self) -> BaseEmissionsTracker:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an error goes on to whoever waits for it."""
        self.stop()

    def _outputs(self) -> list[BaseOutput]:
        chosen = self._settings
        handlers = list(chosen.output_handlers)
        live = [type(handler).__name__ for handler in handlers if _takes_live_rows(handler)]
        if live:
            LOGGER.warning("live_out of %s is not called: rows go out at flush() and stop().", ", ".join(live))
        if chosen.save_to_file:
            handlers.insert(0, FileOutput(chosen.output_file, chosen.output_dir, chosen.on_csv_write))
        if chosen.save_to_logger:
            given = chosen.logging_logger
            handlers.append(given if hasattr(given, "out") else LoggerOutput(given or LOGGER))
        return handlers

    def _meter_on(self) -> float:
        """Have the meter run; the time at which it was told to."""
        if self.meter is None:
            self.meter = tonne.track(
                self._settings.project_name,
                site=self._place.site,
                interval_s=self._settings.measure_power_secs or INTERVAL_S,
                tags=[tag_of(str(self.run_id))],
                open_sensors=opener_of(self._settings.gpu_ids),
            )
        self._process = os.getpid()
        _LIVE.add(self)
        begun_s = time.monotonic()
        self.meter.start()
        return begun_s

    def _guarded_row(self, made: Callable[[], EmissionsData]) -> EmissionsData:
        """The row; one of unknown numbers where it cannot be made: a script does not end over it."""
        try:
            return made()
        except Exception as error:
            LOGGER.error("no row could be made: %s: %s", type(error).__name__, error)
            return EmissionsData(project_name=self._settings.project_name, run_id=str(self.run_id))

    def _total(self) -> EmissionsData:
        if self._begun_s is not None and self._begun is not None:
            return self._row(time.monotonic() - self._begun_s, self._begun)
        rows = [task.emissions_data for task in self._tasks.values() if task.emissions_data is not None]
        total = rows[-1]
        for row in rows[:-1]:
            total = total.plus(row)
        return total

    def _row(self, lasted_s: float, begun: machine.Moment, window: str | None = None) -> EmissionsData:
        assert self.meter is not None
        chosen, place = self._settings, self._place
        energies = energies_of(self.meter, chosen, lasted_s, window)
        facility_kwh = energies.sum_kwh * chosen.pue
        factor = self._factor_g()
        row = EmissionsData(
            timestamp=datetime.now().strftime("%Y-%m-%dT%H:%M:%S"),  # noqa: DTZ005 - CodeCarbon's is local too
            project_name=chosen.project_name,
            run_id=str(self.run_id),
            experiment_id=chosen.experiment_id,
            duration=energies.lasted_s,
            emissions=UNKNOWN if factor is None else facility_kwh * factor * KG_PER_G,
            cpu_energy=energies.cpu_kwh * chosen.pue,
            gpu_energy=energies.accelerators_kwh * chosen.pue,
            ram_energy=energies.memory_kwh * chosen.pue,
            energy_consumed=facility_kwh,
            water_consumed=energies.sum_kwh * chosen.wue,
            country_name=place.country_name,
            country_iso_code=place.country_iso_code,
            region=place.region,
            cloud_provider=place.cloud_provider,
            cloud_region=place.cloud_region,
            on_cloud="Y" if place.cloud_provider else "N",
            os=platform.platform(),
            python_version=platform.python_version(),
            codecarbon_version=f"tonne {tonne.__version__}",
            longitude=chosen.longitude,
            latitude=chosen.latitude,
            tracking_mode=chosen.tracking_mode,
            pue=chosen.pue,
            wue=chosen.wue,
        )
        found = {**machine.machine_columns(self._accelerators()), **machine.busy_columns(begun, machine.Moment.now())}
        return with_rates(replace(row, **found))

    def _factor_g(self) -> float | None:
        """Grams of CO2e of a kWh at the place; None where it is not known."""
        from tonne.describe.site import Site  # noqa: PLC0415 - pydantic stays away until there is a row
        from tonne.impact.place import factors_of  # noqa: PLC0415 - as above

        found = factors_of(Site.model_validate(self._place.site)).factors.get("grid_gco2e_per_kwh")
        return None if found is None else float(found.value)

    def _accelerators(self) -> list[Any]:
        """Sensors of accelerators that this run's journal tells of."""
        if self.meter is None or self.meter.folder is None:
            return []
        found = machine.accelerators_of(list(_journal(self.meter.folder)))
        return found if self._settings.gpu_ids is not None else visible_among(found)

    def _write(self, row: EmissionsData) -> None:
        """The row into the file and to whoever takes rows; what fails is told, and ends nothing."""
        if os.getpid() != self._process:
            return  # a forked child: the row is its parent's
        delta = row if self._last_row is None else row.since(self._last_row)
        self._last_row = row
        tasks = [task_row(n, t.emissions_data) for n, t in self._tasks.items() if t.emissions_data is not None]
        name = self._settings.experiment_name
        self._tell(_telling(handler, row, delta, tasks, name) for handler in self._handlers)

    @staticmethod
    def _tell(sayings: Iterable[Callable[[], None]]) -> None:
        for say in sayings:
            try:
                say()
            except Exception as error:
                LOGGER.error("the row could not be written: %s: %s", type(error).__name__, error)


class EmissionsTracker(BaseEmissionsTracker):
    """CodeCarbon's tracker, without its look-up of the place: where none is given, emissions are unknown."""


class OfflineEmissionsTracker(BaseEmissionsTracker):
    """CodeCarbon's tracker for a place that is given: `country_iso_code` and `region`, or a cloud's region."""


_LIVE: set[BaseEmissionsTracker] = set()  # those that run


def _telling(handler: Any, row: EmissionsData, delta: EmissionsData, tasks: list[Any], name: str) -> Any:  # noqa: ANN401
    def tell() -> None:
        handler.out(row, delta)
        if tasks:
            handler.task_out(tasks, name)

    return tell


def _exiting(handler: Any) -> Callable[[], None]:  # noqa: ANN401 - as below
    def end() -> None:
        handler.exit()

    return end


def _takes_live_rows(handler: Any) -> bool:  # noqa: ANN401 - of any class
    """Whether a handler of the user's own has a `live_out` that does something."""
    method = getattr(type(handler), "live_out", None)
    return method is not None and not method.__qualname__.startswith(("BaseOutput.", "LoggerOutput."))


def _handled() -> BaseException | None:
    """The error that is being handled while a tracker stops; None where there is none."""
    return sys.exc_info()[1]


def _journal(folder: str) -> Iterator[dict[str, Any]]:
    for path in sorted(Path(folder).glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                if '"sensors"' in line:
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue  # the last line of a process that was killed


def _stop_all() -> None:
    """At the end of the process: the row of a tracker that the script never stopped, after an error too."""
    for tracker in list(_LIVE):
        if os.getpid() == tracker._process:
            tracker.stop()


atexit.register(_stop_all)
