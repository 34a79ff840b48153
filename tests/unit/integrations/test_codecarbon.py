"""Drop-ins for CodeCarbon: its names, columns and units; our energy, and no place that nobody gave."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.integrations.conftest import ACCELERATOR_W, CPU_W, MEMORY_W, measured_j, measured_s, status_of

from tonne.integrations.codecarbon import (
    BaseOutput,
    EmissionsTracker,
    FileOutput,
    GoogleCloudLoggerOutput,
    HTTPOutput,
    LoggerOutput,
    OfflineEmissionsTracker,
    OutputMethod,
    TaskEmissionsTracker,
    track_emissions,
    track_task_emissions,
)

# As codecarbon 3.3.2 writes them.
HEADER = (
    "timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,cpu_power,gpu_power,ram_power,"
    "cpu_energy,gpu_energy,ram_energy,energy_consumed,water_consumed,country_name,country_iso_code,region,"
    "cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,"
    "longitude,latitude,ram_total_size,tracking_mode,cpu_utilization_percent,gpu_utilization_percent,"
    "ram_utilization_percent,ram_used_gb,on_cloud,pue,wue"
)
FRANCE_G = 41.44  # grids_country.csv: FR, 2025, lifecycle


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CODECARBON_COUNTRY_ISO_CODE", "CODECARBON_PROJECT_NAME"):
        monkeypatch.delenv(name, raising=False)


def rows(path="emissions.csv"):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tracked(seconds=0.06, kind=OfflineEmissionsTracker, **settings):
    tracker = kind(**{"country_iso_code": "FRA", "measure_power_secs": 0.05, **settings})
    tracker.start()
    time.sleep(seconds)
    until = time.monotonic() + 60
    while "TONNE_METERS" in os.environ and not measured_s(tracker.meter.folder, 0.05)[-1]:  # the machine is busy
        assert time.monotonic() < until
        time.sleep(0.01)
    return tracker, tracker.stop()


def test_header_is_codecarbons():
    tracked()
    assert Path("emissions.csv").read_text().splitlines()[0] == HEADER
    assert len(HEADER.split(",")) == 38


def test_energy_power_and_emissions_are_in_codecarbons_units_with_pue():
    begun = time.monotonic()
    tracker, kg = tracked(0.2, pue=1.5)
    most_s = time.monotonic() - begun
    row = rows()[0]
    seconds = float(row["duration"])
    assert 0.2 <= seconds <= most_s
    for part, power_w in (("cpu", CPU_W), ("gpu", ACCELERATOR_W), ("ram", MEMORY_W)):
        assert float(row[f"{part}_power"]) == pytest.approx(1.5 * power_w, rel=0.02)
        assert float(row[f"{part}_energy"]) == pytest.approx(1.5 * power_w * seconds / 3.6e6, rel=0.02)
    energy_kwh = float(row["energy_consumed"])
    assert energy_kwh == pytest.approx(sum(float(row[f"{part}_energy"]) for part in ("cpu", "gpu", "ram")))
    assert kg == pytest.approx(energy_kwh * FRANCE_G / 1000)
    assert float(row["emissions"]) == kg == tracker.final_emissions == tracker.final_emissions_data.emissions
    assert float(row["emissions_rate"]) == pytest.approx(kg / seconds)
    assert (row["country_name"], row["country_iso_code"], row["pue"]) == ("France", "FRA", "1.5")


def test_water_is_that_of_the_it_energy():
    _, _ = tracked(pue=1.5, wue=2.0)
    row = rows()[0]
    assert float(row["water_consumed"]) == pytest.approx(2.0 * float(row["energy_consumed"]) / 1.5)


def test_an_unknown_place_is_unknown_and_no_script_breaks_over_it(caplog):
    with caplog.at_level(logging.WARNING):
        _, kg = tracked(kind=EmissionsTracker, country_iso_code=None)
    row = rows()[0]
    assert math.isnan(kg * 1000)  # what scripts do with it
    assert (row["emissions"], row["country_iso_code"]) == ("", "")
    assert float(row["energy_consumed"]) > 0
    assert any("CODECARBON_COUNTRY_ISO_CODE=FRA" in record.message for record in caplog.records)


def test_an_unknown_country_is_unknown(caplog):
    with caplog.at_level(logging.WARNING):
        _, kg = tracked(country_iso_code="ZZZ")
    assert math.isnan(kg)
    assert any("country_iso_code='ZZZ' is not known" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("place", "g_per_kwh"),  # grids_subnational.csv and grids_country.csv, newest years
    [
        ({"country_iso_code": "USA", "region": "california"}, 179.064),
        ({"country_iso_code": "CAN", "region": "quebec"}, 16.9),
        ({"country_iso_code": "USA", "region": "nowhere"}, 384.4),
        ({"country_iso_code": "FRA", "force_carbon_intensity_g_co2e_kwh": 100}, 100.0),
        ({"country_iso_code": None, "country_2letter_iso_code": "FR"}, FRANCE_G),
    ],
)
def test_places_are_those_of_the_tables(place, g_per_kwh):
    tracker, kg = tracked(**place)
    assert kg * 1000 / tracker.final_emissions_data.energy_consumed == pytest.approx(g_per_kwh)


def test_a_state_called_like_a_country_is_the_state():
    tracker, kg = tracked(country_iso_code="USA", region="Georgia")
    row = tracker.final_emissions_data
    assert (row.country_iso_code, row.region) == ("USA", "Georgia")
    from tonne.reference.grids import grid

    assert kg * 1000 / row.energy_consumed == pytest.approx(grid("US-GA").record.gco2e_per_kwh)


def test_a_clouds_region_is_its_grid():
    tracker, kg = tracked(country_iso_code=None, cloud_provider="gcp", cloud_region="europe-west9")
    row = tracker.final_emissions_data
    assert (row.country_iso_code, row.cloud_provider, row.cloud_region, row.on_cloud) == (
        "FRA",
        "gcp",
        "europe-west9",
        "Y",
    )
    assert kg > 0


def test_coordinates_are_written_only_where_they_are_given():
    tracked()
    tracked(latitude=48.9, longitude=2.4)
    first, second = rows()
    assert (first["latitude"], first["longitude"]) == ("", "")
    assert (second["latitude"], second["longitude"]) == ("48.9", "2.4")


def test_no_row_tells_the_hosts_name():
    import socket

    tracked(project_name="p")
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in Path("emissions.csv").read_text()


def test_power_that_the_script_gives_takes_the_place_of_memory():
    tracker, _ = tracked(force_ram_power=50)
    assert tracker.final_emissions_data.ram_power == pytest.approx(50, rel=0.02)
    assert tracker.final_emissions_data.cpu_power == pytest.approx(CPU_W, rel=0.02)  # it is read: nothing to assume


def test_design_power_that_the_script_gives_scales_what_no_sensor_reads(monkeypatch):
    monkeypatch.delenv("TONNE_METERS")
    monkeypatch.setenv("TONNE_POWERCAP_ROOT", "/nonexistent")
    seconds, power_w = 0.3, {}
    for tdp_w in (100, 200):
        tracker, _ = tracked(seconds, force_cpu_power=tdp_w)
        power_w[tdp_w] = tracker.final_emissions_data.cpu_power
        # Idle and full load of the curve's middle. A guest's busy threads draw more, on a host that is half idle, by
        # s(0.5) / 0.5 = 1.42: 0.14 + 0.58 x 1.42 = 0.96.
        assert 0.14 * tdp_w * 0.9 < power_w[tdp_w] < 0.97 * tdp_w


@pytest.mark.slow
def test_accelerators_that_are_not_wanted_are_not_counted():
    tracker, _ = tracked(gpu_ids=[1])
    row = tracker.final_emissions_data
    assert (row.gpu_energy, row.gpu_count) == (0.0, 0)
    tracker, _ = tracked(gpu_ids="0")
    row = tracker.final_emissions_data
    assert row.gpu_power == pytest.approx(ACCELERATOR_W, rel=0.02)
    assert row.gpu_count == 1


@pytest.mark.slow
def test_tasks_have_rows_of_their_own():
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05, experiment_name="exp")
    for name in ("load", "train"):
        begun = time.monotonic()
        tracker.start_task(name)
        time.sleep(0.2)
        row = tracker.stop_task()
        most_s = time.monotonic() - begun
        assert 0.2 <= row.duration <= most_s
        # A thread may stand still between the clock and the sensor, but for no longer than the calls took.
        away_kwh = CPU_W * (0.02 * row.duration + most_s - 0.2) / 3.6e6
        assert row.cpu_energy == pytest.approx(CPU_W * row.duration / 3.6e6, abs=away_kwh)
    time.sleep(0.2)  # between tasks and after them: nobody's
    kg = tracker.stop()
    tasks = rows(f"emissions_exp_{tracker.run_id}.csv")
    assert [task["task_name"] for task in tasks] == ["load", "train"]
    assert kg == pytest.approx(sum(float(task["emissions"]) for task in tasks))
    assert float(rows()[0]["duration"]) == pytest.approx(sum(float(task["duration"]) for task in tasks))


def test_tasks_within_a_started_tracker_are_parts_of_it():
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05)
    with tracker:
        with TaskEmissionsTracker("inner", tracker=tracker):
            time.sleep(0.05)
        time.sleep(0.05)
    task = rows(f"emissions_base_{tracker.run_id}.csv")[0]
    assert float(task["energy_consumed"]) < float(rows()[0]["energy_consumed"])


def test_a_second_task_waits_and_an_unknown_one_is_none(caplog):
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05)
    tracker.start_task("a")
    tracker.start_task("b")
    assert tracker.stop_task("b") is None
    assert tracker.stop_task("a") is not None
    tracker.stop()
    assert any("Stop it first" in record.message for record in caplog.records)


def test_flush_adds_a_row_and_goes_on():
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05)
    tracker.start()
    time.sleep(0.06)
    first = tracker.flush()
    time.sleep(0.06)
    assert tracker.stop() > first
    assert [row["run_id"] for row in rows()] == [str(tracker.run_id)] * 2


def test_update_keeps_one_row_a_run():
    tracked()
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05, on_csv_write="update")
    tracker.start()
    tracker.flush()
    kg = tracker.stop()
    assert len(rows()) == 2
    assert float(rows()[1]["emissions"]) == kg


def test_a_file_in_another_order_is_gone_on_with_and_one_of_other_columns_is_kept_aside():
    Path("emissions.csv").write_text(",".join(reversed(HEADER.split(","))) + "\n")
    tracked(project_name="reversed")
    assert rows()[0]["project_name"] == "reversed"
    Path("emissions.csv").write_text("a,b\n1,2\n")
    tracked(project_name="new")
    assert (rows()[0]["project_name"], Path("emissions.csv.bak").read_text()) == ("new", "a,b\n1,2\n")


def test_handlers_and_loggers_get_the_row(caplog):
    class Kept(BaseOutput):
        def __init__(self):
            self.rows, self.ended = [], False

        def out(self, total, delta):
            self.rows.append((total, delta))

        def exit(self):
            self.ended = True

    kept = Kept()
    logger = logging.getLogger("of-the-script")
    with caplog.at_level(logging.INFO, logger="of-the-script"):
        tracker = OfflineEmissionsTracker(
            country_iso_code="FRA",
            output_methods=[OutputMethod.LOGGER],
            logging_logger=LoggerOutput(logger),
            output_handlers=[kept],
        )
        tracker.start()
        tracker.flush()
        tracker.stop()
    (first, _), (total, delta) = kept.rows
    assert delta.energy_consumed == pytest.approx(total.energy_consumed - first.energy_consumed)
    assert kept.ended
    assert '"energy_consumed"' in caplog.text
    assert not Path("emissions.csv").exists()


def test_a_handler_that_raises_ends_nothing(caplog):
    class Fails(BaseOutput):
        def out(self, total, delta):
            raise OSError("the server is gone")

    _, kg = tracked(output_handlers=[Fails()])
    assert kg > 0
    assert len(rows()) == 1
    assert any("the server is gone" in record.message for record in caplog.records)


def test_settings_come_from_arguments_else_environment_else_files(tmp_path, monkeypatch):
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nproject_name = file\ncountry_iso_code = FRA\npue = 1.1\n"
    )
    monkeypatch.setenv("CODECARBON_PROJECT_NAME", "environment")
    tracker = EmissionsTracker(measure_power_secs=0.05)
    tracker.start()
    assert tracker.stop() > 0
    assert (rows()[0]["project_name"], rows()[0]["pue"]) == ("environment", "1.1")
    tracker = EmissionsTracker("argument")  # by position, as CodeCarbon's first one
    tracker.start()
    tracker.stop()
    assert rows()[1]["project_name"] == "argument"


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"measure_power": 1}, TypeError, "unexpected argument 'measure_power'"),
        ({"output_dir": "not-there"}, OSError, "'not-there' is not there"),
        ({"tracking_mode": "cluster"}, ValueError, "none of 'machine', 'process'"),
        ({"pue": "big"}, ValueError, "pue='big' is no number"),
        ({"pue": 0.9}, ValueError, "must be a number from 1"),
    ],
)
def test_settings_that_cannot_be_are_told(settings, error, text):
    with pytest.raises(error, match=text):
        EmissionsTracker(**settings)


def test_what_would_be_sent_is_told_not_to_be(caplog):
    with caplog.at_level(logging.WARNING):
        EmissionsTracker(save_to_api=True, api_key="k")
    assert any("save_to_api: nothing is sent" in record.message for record in caplog.records)


def test_a_read_only_folder_ends_nothing(caplog, monkeypatch):
    from tonne.integrations.codecarbon import files

    def full(path, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "add_row", full)
    tracker, kg = tracked()
    assert kg > 0
    assert tracker.final_emissions == kg
    assert any("No space left" in record.message for record in caplog.records)


def test_the_decorator_tracks_each_call_and_gives_the_result():
    @track_emissions(country_iso_code="FRA", measure_power_secs=0.05, project_name="decorated")
    def double(x):
        return 2 * x

    assert [double(2), double(3)] == [4, 6]
    assert [row["project_name"] for row in rows()] == ["decorated"] * 2


def test_the_decorator_without_brackets_and_after_an_error():
    @track_emissions
    def fails():
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        fails()
    assert len(rows()) == 1


def test_the_offline_decorator_needs_a_place():
    @track_emissions(offline=True)
    def nothing():
        return None

    with pytest.raises(ValueError, match="offline=True needs a place"):
        nothing()


def test_the_task_decorator_counts_calls_of_one_tracker():
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05)

    @track_task_emissions(tracker=tracker, task_name="work")
    def work():
        time.sleep(0.05)

    work()
    tracker.stop()
    assert rows(f"emissions_base_{tracker.run_id}.csv")[0]["task_name"] == "work"


def test_the_run_is_one_of_tonne_too():
    tracker, _ = tracked(project_name="both")
    assert status_of(tracker.meter.folder) == "finished"
    energy = tracker.meter.account().energy
    assert energy.measured_kwh.value == pytest.approx(measured_j(tracker.meter.folder, 0.05)[-1] / 3.6e6, rel=2e-3)
    assert measured_s(tracker.meter.folder, 0.05)[-1] <= tracker.final_emissions_data.duration + 1e-9  # both in floats


def test_a_second_stop_changes_nothing():
    tracker, kg = tracked()
    assert tracker.stop() == kg
    assert len(rows()) == 1


SCRIPT = """
from {package} import EmissionsTracker
tracker = EmissionsTracker(project_name="unmodified", measure_power_secs=0.1)
tracker.start()
{ending}
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["tracker.stop()", "", "raise SystemExit(3)", "1 / 0"])
def test_a_script_leaves_its_row_however_it_ends(ending):
    text = SCRIPT.format(package="tonne.integrations.codecarbon", ending=ending)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert len(rows()) == 1, done.stderr
    assert done.returncode == {"raise SystemExit(3)": 3, "1 / 0": 1}.get(ending, 0)


def _rank(barrier, seconds):
    tracker = OfflineEmissionsTracker(project_name="ranks", country_iso_code="FRA", measure_power_secs=0.1)
    tracker.start()
    barrier.wait(60)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    barrier.wait(60)
    tracker.stop()


@pytest.mark.slow
def test_ranks_that_stop_together_all_have_rows_that_add_up_to_the_node():
    ranks, context = 4, multiprocessing.get_context("spawn")
    barrier = context.Barrier(ranks)
    processes = [context.Process(target=_rank, args=(barrier, 3.0)) for _ in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    found = rows()
    assert len(found) == ranks
    longest_s = max(float(row["duration"]) for row in found)
    whole_kwh = sum(float(row["energy_consumed"]) for row in found)
    assert whole_kwh == pytest.approx((CPU_W + MEMORY_W + ACCELERATOR_W) * longest_s / 3.6e6, rel=0.1)


def messages(caplog):
    return " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"allow_multiple_runs": False}, "allow_multiple_runs=False is not done"),
        ({"force_mode_cpu_load": True}, "force_mode_cpu_load is not done"),
        ({"rapl_include_dram": True}, "rapl_include_dram is not done"),
        ({"rapl_prefer_psys": True}, "rapl_prefer_psys is not done"),
        ({"metadata": {"boamps": {"task": {}}}}, "metadata is not done"),
        ({"logger_preamble": "run 7"}, "logger_preamble is not done"),
        ({"output_methods": ["csv", "sci"]}, "output_methods: sci is none that is known"),
        ({"log_level": "verbose"}, "log_level='verbose' is none"),
        ({"gpu_ids": 0}, "gpu_ids=0 is no list"),
        (
            {"force_carbon_intensity_g_co2e_kwh": -3},
            "force_carbon_intensity_g_co2e_kwh=-3 must be a number from 0. It is",
        ),
    ],
)
def test_what_is_not_done_is_told_and_ends_nothing(settings, told, caplog):
    with caplog.at_level(logging.WARNING):
        _, kg = tracked(**settings)
    assert kg > 0
    assert told in messages(caplog)


def test_all_arguments_at_their_defaults_are_told_nothing_about(caplog):
    with caplog.at_level(logging.WARNING):
        tracked(
            api_call_interval=8,
            api_endpoint="https://api.codecarbon.io",
            save_to_api=False,
            save_to_prometheus=False,
            save_to_logfire=False,
            emissions_endpoint=None,
            co2_signal_api_token=None,
            logger_preamble="",
            force_mode_cpu_load=False,
            allow_multiple_runs=True,
            rapl_include_dram=False,
            rapl_prefer_psys=False,
            metadata=None,
            output_handlers=[],
        )
    assert messages(caplog) == ""


def test_a_bad_value_in_the_environment_is_told_and_left_out(monkeypatch, caplog):
    monkeypatch.setenv("CODECARBON_FORCE_RAM_POWER", "ten")
    monkeypatch.setenv("CODECARBON_PUE", "0.5")
    tracker, _ = tracked()
    assert tracker.final_emissions_data.ram_power == pytest.approx(MEMORY_W, rel=0.02)
    assert tracker.final_emissions_data.pue == 1.0
    assert "force_ram_power='ten' is no number" in messages(caplog)
    assert "pue='0.5' must be a number from 1. It is left out" in messages(caplog)


def test_a_log_level_holds_for_what_is_told_of_settings(caplog, request):
    logger = logging.getLogger("tonne.integrations.codecarbon")
    request.addfinalizer(lambda: logger.setLevel(logging.NOTSET))
    EmissionsTracker(log_level="error", save_to_api=True)
    assert messages(caplog) == ""


def test_design_power_of_version_2_is_for_processors_that_are_not_known(monkeypatch):
    from tonne.estimate import Basis, Estimate
    from tonne.integrations.codecarbon import energies
    from tonne.measure.models.cpu import DesignPower

    monkeypatch.delenv("TONNE_METERS")
    monkeypatch.setenv("TONNE_POWERCAP_ROOT", "/nonexistent")
    half = {}
    for known in (True, False):
        watts = Estimate.exact(100.0, Basis.ASSUMED, "test")
        monkeypatch.setattr(
            energies, "design_power", lambda _, k=known, w=watts: DesignPower(watts=w, known=k, note="")
        )
        tracker = OfflineEmissionsTracker(country_iso_code="FRA", default_cpu_power=50)
        tracker.start()
        time.sleep(0.2)
        tracker.stop()
        whole_kwh = tracker.meter.account().energy.cpu_kwh.value
        half[known] = tracker.final_emissions_data.cpu_energy / whole_kwh
    assert half == {True: pytest.approx(1.0), False: pytest.approx(0.5)}


def test_a_handler_is_told_that_its_live_rows_do_not_come(caplog):
    class Live(BaseOutput):
        def live_out(self, total, delta):
            raise AssertionError

    tracked(output_handlers=[Live(), LoggerOutput(logging.getLogger("silent"))])
    assert "live_out of Live is not called" in messages(caplog)


def test_a_handler_that_cannot_exit_ends_nothing(caplog):
    class Kept:
        def out(self, total, delta):
            self.total = total

    kept = Kept()
    _, kg = tracked(output_handlers=[kept])
    assert kept.total.emissions == kg
    assert "no attribute 'exit'" in messages(caplog)


def test_rows_go_to_files_and_loggers_that_a_script_names():
    class Cloud:
        def log_struct(self, row, severity):
            self.row, self.severity = row, severity

    cloud = Cloud()
    tracked(
        output_methods=[OutputMethod.LOGGER],
        output_handlers=[FileOutput("second.csv", "."), HTTPOutput("https://example.org")],
        logging_logger=GoogleCloudLoggerOutput(cloud, severity="INFO"),
    )
    assert not Path("emissions.csv").exists()
    assert len(rows("second.csv")) == 1
    assert (cloud.severity, list(cloud.row)) == ("INFO", HEADER.split(","))


def test_what_is_unknown_is_null_in_json():
    tracker, _ = tracked(kind=EmissionsTracker, country_iso_code=None)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(tracker.final_emissions_data.toJSON(), parse_constant=refuse)
    assert (found["emissions"], found["latitude"]) == (None, None)
    assert found["energy_consumed"] > 0


def test_a_tasks_row_is_a_dataclass_and_stays_with_the_tracker():
    class Kept(BaseOutput):
        def task_out(self, data, experiment_name):
            self.tasks = [dataclasses.asdict(one) for one in data]

    kept = Kept()
    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05, output_handlers=[kept])
    tracker.start_task("load")
    time.sleep(0.06)
    row = tracker.stop_task()
    tracker.stop()
    columns = [name for name in HEADER.split(",") if name not in ("experiment_id", "pue", "wue")]
    assert list(kept.tasks[0]) == ["task_name", *columns]
    assert kept.tasks[0]["energy_consumed"] == row.energy_consumed > 0
    # As CodeCarbon's own example of tasks reads them.
    assert {name: task.emissions_data for name, task in tracker._tasks.items()} == {"load": row}


def test_a_task_that_cannot_be_told_ends_nothing(monkeypatch, caplog):
    from tonne.errors import MeasurementError
    from tonne.integrations.codecarbon import tracker as module

    def fails(*_):
        raise MeasurementError("nothing was measured")

    tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=0.05)
    tracker.start_task("load")
    with monkeypatch.context() as patched:
        patched.setattr(module, "energies_of", fails)
        assert math.isnan(tracker.stop_task().energy_consumed)
    tracker.stop()
    assert "nothing was measured" in messages(caplog)


def test_a_row_that_was_cut_off_is_not_gone_on_with():
    Path("emissions.csv").write_text(f"{HEADER}\n2026-01-01T00:00:00,cut")
    tracked(project_name="next")
    lines = Path("emissions.csv").read_text().splitlines()
    assert (lines[1], len(lines)) == ("2026-01-01T00:00:00,cut", 3)
    assert rows()[1]["project_name"] == "next"


def test_a_file_that_is_put_aside_is_told(caplog):
    Path("emissions.csv").write_text("timestamp,project_name\n2020-01-01T00:00:00,old\n")
    tracked()
    assert "is now emissions.csv.bak" in messages(caplog)


@pytest.mark.parametrize(
    ("visible", "settings", "watts", "count"),
    [
        ("0", {}, ACCELERATOR_W, 1),
        ("1", {}, 0.0, 0),
        ("1", {"gpu_ids": [0]}, ACCELERATOR_W, 1),
        ("all", {}, ACCELERATOR_W, 1),
        ("", {}, ACCELERATOR_W, 1),  # as CodeCarbon, for which an empty variable says nothing
    ],
)
def test_accelerators_are_those_that_the_process_may_see(visible, settings, watts, count, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    row = tracked(**settings)[0].final_emissions_data
    assert (row.gpu_power, row.gpu_count) == (pytest.approx(watts, rel=0.02), count)
    assert row.cpu_power == pytest.approx(CPU_W, rel=0.02)


def test_names_and_ids_may_be_numbers_and_uuids():
    import uuid

    tracker, kg = tracked(project_name=123, experiment_id=uuid.UUID(int=7))
    assert kg > 0
    assert rows()[0]["project_name"] == "123"
    assert json.loads(tracker.final_emissions_data.toJSON())["experiment_id"] == "00000000-0000-0000-0000-000000000007"
