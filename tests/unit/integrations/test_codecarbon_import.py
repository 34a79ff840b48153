"""CodeCarbon's files read as accounts: its units, its gaps, its faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from tonne.describe.site import Site
from tonne.errors import MeasurementError
from tonne.estimate import Basis
from tonne.integrations.codecarbon.reading import read_codecarbon
from tonne.measure.sites import site_of

pytestmark = pytest.mark.slow  # interpreters of their own

# A row as codecarbon 3.3.2 writes it, PUE in its energies: 1.2 x (0.10 + 0.25 + 0.05) = 0.48 kWh; 0.0264 kg: 55 g/kWh
ROW = {
    "timestamp": "2026-03-01T12:00:00",
    "project_name": "bert",
    "run_id": "aa",
    "experiment_id": "e",
    "duration": "3600",
    "emissions": "0.0264",
    "emissions_rate": "7.33e-06",
    "cpu_power": "120",
    "gpu_power": "300",
    "ram_power": "60",
    "cpu_energy": "0.12",
    "gpu_energy": "0.3",
    "ram_energy": "0.06",
    "energy_consumed": "0.48",
    "water_consumed": "0",
    "country_name": "France",
    "country_iso_code": "FRA",
    "region": "",
    "codecarbon_version": "3.3.2",
    "gpu_count": "2",
    "gpu_model": "2 x NVIDIA A100",
    "longitude": "",
    "latitude": "",
    "tracking_mode": "machine",
    "on_cloud": "N",
    "pue": "1.2",
    "wue": "0.5",
}


def written(folder, *rows, name="emissions.csv"):
    lines = [",".join(ROW), *(",".join(({**ROW, **row}).values()) for row in rows)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def account(folder, **row):
    return read_codecarbon(written(folder, row)).runs[0].account


def test_energy_is_that_of_it_and_pue_is_applied_once(tmp_path):
    a = account(tmp_path)
    assert a.energy.cpu_kwh.value == pytest.approx(0.10)
    assert a.energy.accelerators_kwh.value == pytest.approx(0.25)
    assert a.energy.memory_kwh.value == pytest.approx(0.05)
    assert a.energy.it_kwh.value == pytest.approx(0.40)
    assert a.energy.facility_kwh.value == pytest.approx(0.48)
    assert a.energy.left_out == ("host_rest", "network", "storage")
    assert (a.duration_s.value, a.accelerator_hours.value) == (3600.0, 2.0)


def test_intervals_are_those_of_what_codecarbon_may_have_done(tmp_path):
    energy = account(tmp_path).energy
    # measuring_constants.csv: a modelled processor x 0.553 to 1.808; a module of memory 2 to 9 W beside its 5 W
    assert (energy.cpu_kwh.low, energy.cpu_kwh.high) == (pytest.approx(0.0553), pytest.approx(0.1808))
    assert (energy.memory_kwh.low, energy.memory_kwh.high) == (pytest.approx(0.02), pytest.approx(0.09))
    assert energy.cpu_kwh.basis is Basis.MODELLED
    assert energy.accelerators_kwh.basis is Basis.MEASURED
    assert energy.facility_kwh.basis is Basis.MODELLED


def test_emissions_are_those_of_the_row_with_their_factor_told(tmp_path):
    a = account(tmp_path)
    assert a.carbon.operational_location_kgco2e.value == pytest.approx(0.0264)
    assert any("grid France: 55 g/kWh, as CodeCarbon 3.3.2 took it." in note for note in a.notes)


def test_water_is_that_of_the_it_energy(tmp_path):
    assert account(tmp_path).water_on_site_l.value == pytest.approx(0.20)  # 0.5 L/kWh of 0.40 kWh


def test_quebec_is_not_believed_where_nothing_found_it(tmp_path):
    fallback = {"country_name": "Canada", "country_iso_code": "CAN", "region": "Quebec"}
    a = account(tmp_path, **fallback)
    assert a.carbon.operational_location_kgco2e is None
    assert any("where it could not find the place" in note for note in a.notes)
    found = account(tmp_path, **fallback, longitude="-73.6", latitude="45.5")
    assert found.carbon.operational_location_kgco2e is not None


def test_a_place_that_is_given_takes_the_place_of_the_files(tmp_path):
    run = read_codecarbon(written(tmp_path, {}), Site(grid_gco2e_per_kwh=100)).runs[0]
    assert run.account.carbon.operational_location_kgco2e.value == pytest.approx(0.048)


def test_accelerators_that_were_not_read_are_unknown_and_so_is_the_sum(tmp_path):
    energy = account(tmp_path, gpu_energy="0").energy
    assert (energy.accelerators_kwh, energy.it_kwh) == (None, None)
    assert energy.hosts_kwh.value == pytest.approx(0.15)
    assert account(tmp_path, gpu_energy="0", gpu_count="0").energy.accelerators_kwh.value == 0


def test_a_nan_is_unknown(tmp_path):
    a = account(tmp_path, cpu_energy="nan", energy_consumed="nan", emissions="nan")
    assert (a.energy.cpu_kwh, a.energy.it_kwh, a.carbon.operational_location_kgco2e) == (None, None, None)


def test_a_run_keeps_the_place_and_the_accelerators_of_its_row(tmp_path):
    run = read_codecarbon(written(tmp_path, {})).runs[0]
    assert run.hardware == {"NVIDIA A100": 2}
    # 26.4 g of 0.48 kWh: 55 g/kWh
    assert run.site["grid"] == "FR"
    assert run.site["grid_gco2e_per_kwh"]["value"] == pytest.approx(55.0)
    assert run.site["pue"]["value"] == 1.2
    assert Site.model_validate(run.site).grid == "FR"
    given = read_codecarbon(written(tmp_path, {}), site_of("DE")).runs[0].site
    assert (given["grid"], "grid_gco2e_per_kwh" in given) == ("DE", False)


@pytest.mark.parametrize(
    ("row", "hardware"),
    [
        ({"gpu_count": "5", "gpu_model": "4 x NVIDIA A401 x NVIDIA A100 80GB PCIe"}, {}),
        ({"gpu_count": "4", "gpu_model": "2 x NVIDIA A100"}, {}),
        ({"gpu_count": "", "gpu_model": ""}, {}),
        ({"gpu_count": "1", "gpu_model": "1 x NVIDIA GeForce RTX 3090"}, {"NVIDIA GeForce RTX 3090": 1}),
    ],
)
def test_accelerators_of_several_kinds_run_together_and_are_not_read(tmp_path, row, hardware):
    assert read_codecarbon(written(tmp_path, row)).runs[0].hardware == hardware


def test_a_place_that_nobody_found_is_no_place_of_the_run(tmp_path):
    quebec = {"country_name": "Canada", "country_iso_code": "CAN", "region": "quebec"}
    assert read_codecarbon(written(tmp_path, quebec)).runs[0].site is None
    assert read_codecarbon(written(tmp_path, {"country_iso_code": ""})).runs[0].site is None


def test_of_rows_of_one_run_the_last_counts(tmp_path):
    later = {"timestamp": "2026-03-01T13:00:00", "duration": "7200", "cpu_energy": "0.24"}
    runs = read_codecarbon(written(tmp_path, later, {})).runs
    assert len(runs) == 1
    assert runs[0].account.energy.cpu_kwh.value == pytest.approx(0.2)
    assert (runs[0].begun, runs[0].ended) == ("2026-03-01T11:00:00", "2026-03-01T13:00:00")


def test_rows_that_overlap_are_told(tmp_path):
    found = read_codecarbon(written(tmp_path, {}, {"run_id": "bb"}, {"run_id": "cc"}))
    assert len(found.runs) == 3
    assert any(note.startswith("3 rows overlap in time") for note in found.notes)
    apart = read_codecarbon(written(tmp_path, {}, {"run_id": "bb", "timestamp": "2026-03-02T12:00:00"}))
    assert apart.notes == ()


def test_rows_that_are_torn_shifted_or_negative_are_left_out_and_told(tmp_path):
    path = written(tmp_path, {}, {"run_id": "b", "timestamp": "x"}, {"run_id": "c", "cpu_energy": "-1"})
    path.write_text(path.read_text() + "2026-03-01T12:00:00,torn\n" + ",".join(ROW) + "\n")
    found = read_codecarbon(path)
    assert [run.id for run in found.runs] == ["codecarbon-aa"]
    assert [note.partition(":")[0] for note in found.notes] == [
        "line 3 has timestamp='x', which is no time",
        "line 4 has cpu_energy=-1, which cannot be",
        "line 5 has another number of cells than the header",
    ]


def test_an_older_file_without_pue_is_read(tmp_path):
    old = {name: value for name, value in ROW.items() if name not in {"pue", "wue", "run_id", "water_consumed"}}
    path = tmp_path / "old.csv"
    path.write_text(",".join(old) + "\n" + ",".join(old.values()) + "\n")
    assert read_codecarbon(path).runs[0].account.energy.facility_kwh.value == pytest.approx(0.48)


FIRST = (  # columns of codecarbon 1, a row of its example
    "timestamp,experiment_id,project_name,duration,emissions,energy_consumed,country_name,country_iso_code,region,"
    "on_cloud,cloud_provider,cloud_region\n"
)
GAMMA = "2020-03-23T09:26:11,68f53844,project_gamma,34,4,8,USA,USA,Ohio,Y,aws,us-east-2\n"


def test_a_file_from_before_there_were_parts_keeps_its_energy_and_emissions(tmp_path):
    path = tmp_path / "first.csv"
    path.write_text(FIRST + GAMMA)
    a = read_codecarbon(path).runs[0].account
    assert (a.energy.cpu_kwh, a.energy.accelerators_kwh, a.energy.memory_kwh) == (None, None, None)
    it = a.energy.it_kwh
    assert (it.value, it.basis) == (8.0, Basis.MODELLED)
    # measuring_constants.csv: no less than modules of 2 W for 5 W, no more than processors at 1.8 of their curve
    assert it.low < 8.0 * 0.6
    assert it.high > 8.0 * 1.5
    assert a.carbon.operational_location_kgco2e.value == pytest.approx(4.0)
    assert "the row says its energy as a sum, not by part." in a.notes


def test_a_row_whose_parts_are_empty_keeps_its_sum(tmp_path):
    no_gpu = {"gpu_energy": "", "gpu_count": "", "gpu_model": ""}
    energy = account(tmp_path, **no_gpu, energy_consumed="0.18").energy
    assert (energy.cpu_kwh.value, energy.accelerators_kwh) == (pytest.approx(0.1), None)
    assert energy.it_kwh.value == pytest.approx(0.15)  # with PUE 1.2
    assert account(tmp_path, gpu_energy="").energy.it_kwh is None  # two accelerators that nobody read
    assert account(tmp_path, **no_gpu, energy_consumed="0.1").energy.it_kwh is None  # less than its parts


def test_runs_of_files_without_ids_are_told_apart(tmp_path):
    ids = []
    for name, row in (("a.csv", GAMMA), ("b.csv", GAMMA.replace("gamma", "delta"))):
        (tmp_path / name).write_text(FIRST + row)
        ids += [run.id for run in read_codecarbon(tmp_path / name).runs]
    assert len(set(ids)) == 2
    assert [run.id for run in read_codecarbon(tmp_path / "a.csv").runs] == ids[:1]


def test_tasks_of_one_run_are_all_read(tmp_path):
    path = tmp_path / "emissions_base_aa.csv"
    row = {**ROW, "run_id": "c22c5176-f7ef-4790-aeb7-87e1d045d864"}
    lines = [",".join(["task_name", *row]), *(",".join([f"inference {n}", *row.values()]) for n in (0, 1))]
    path.write_text("\n".join(lines) + "\n")
    reading = read_codecarbon(path)
    assert [run.name for run in reading.runs] == ["bert: inference 0", "bert: inference 1"]
    assert len({run.id for run in reading.runs}) == 2
    assert ["counted twice" in note for note in reading.notes] == [True]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,b\n1,2\n", "no file of CodeCarbon: it has no column 'timestamp'"),
        ("", "no file of CodeCarbon"),
        (",".join(ROW) + "\n", "no row that can be used"),
    ],
)
def test_other_files_are_refused(tmp_path, text, error):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=error):
        read_codecarbon(path)
    with pytest.raises(MeasurementError, match="cannot be read: No such file"):
        read_codecarbon(tmp_path / "none.csv")


def tonne(*arguments):
    code = "from tonne.cli.main import run; run()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_prints_runs_and_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TONNE_HOME", str(tmp_path / "home"))
    path = written(tmp_path, {"run_id": "../../escape"})
    done = tonne("import", "codecarbon", str(path), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    run = document["runs"][0]
    assert (document["schema_version"], run["name"], run["status"]) == ("1", "bert", "finished")
    assert run["account"]["energy"]["facility_kwh"]["value"] == pytest.approx(0.48)
    kept = list((tmp_path / "home" / "inbox").iterdir())
    assert [str(one) for one in kept] == [run["file"]]
    assert json.loads(kept[0].read_text())["run"]["account"] == run["account"]
    assert json.loads(kept[0].read_text())["run"]["hardware"] == {"NVIDIA A100": 2}
    text = tonne("import", "codecarbon", str(path), "--site", "FR").stdout
    assert "bert" in text
    assert "grid FR: 41 g/kWh" in text


def test_the_command_refuses_other_files(tmp_path):
    path = Path(tmp_path / "x.csv")
    path.write_text("a\n1\n")
    done = tonne("import", "codecarbon", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no file of CodeCarbon" in done.stderr


def test_a_row_of_the_drop_in_is_read_back(tmp_path, monkeypatch):
    from tonne.integrations.codecarbon import OfflineEmissionsTracker

    monkeypatch.chdir(tmp_path)
    with OfflineEmissionsTracker(country_iso_code="FRA", pue=1.5, measure_power_secs=0.05) as tracker:
        time.sleep(0.4)
    account = read_codecarbon(tmp_path / "emissions.csv").runs[0].account
    assert account.energy.facility_kwh.value == pytest.approx(tracker.final_emissions_data.energy_consumed)
    assert account.carbon.operational_location_kgco2e.value == pytest.approx(tracker.final_emissions)


def test_what_the_drop_in_measured_is_not_imported_a_second_time(tmp_path, monkeypatch):
    """The ledger has the run from its journal: its row and those of its tasks are told, and enter nothing."""
    from tonne.integrations.codecarbon import OfflineEmissionsTracker

    monkeypatch.chdir(tmp_path)
    with OfflineEmissionsTracker("mine", country_iso_code="FRA", measure_power_secs=0.05) as tracker:
        tracker.start_task("load")
        time.sleep(0.2)
        tracker.stop_task()
    for path in [Path("emissions.csv"), *tmp_path.glob("emissions_*.csv")]:
        done = tonne("import", "codecarbon", str(path), "--json")
        [run] = json.loads(done.stdout)["runs"]
        assert (run["known_as"], run["file"]) == (tracker.meter.run_id, None)
        done = tonne("import", "codecarbon", str(path))
        assert f"tonne itself measured it, and the ledger has it as {tracker.meter.run_id}" in done.stderr
        assert "The ledger keeps" not in done.stderr
    assert json.loads(tonne("runs", "totals", "--json").stdout)["totals"]["runs"] == 1
    exported = tmp_path / "exported.csv"
    exported.write_text(tonne("export", "mine", "--as", "codecarbon").stdout)
    assert json.loads(tonne("import", "codecarbon", str(exported), "--json").stdout)["runs"][0]["known_as"]
    monkeypatch.setenv("TONNE_HOME", str(tmp_path / "elsewhere"))  # a ledger that does not have it
    assert "The ledger keeps 1 of them" in tonne("import", "codecarbon", "emissions.csv").stderr
    assert json.loads(tonne("runs", "totals", "--json").stdout)["totals"]["runs"] == 1


@pytest.mark.parametrize(
    ("row", "is_known"),
    [
        ({}, True),
        ({"timestamp": "2026-03-01T12:00:02"}, True),  # whole seconds, and a little work at the end
        ({"timestamp": "2026-03-01T12:00:30"}, False),
        ({"duration": "1800"}, False),  # began half an hour later
        ({"project_name": "other"}, False),
        ({"codecarbon_version": "3.3.2"}, False),  # CodeCarbon itself, beside tonne
    ],
)
def test_a_row_from_before_there_were_tags_is_told_by_its_name_and_times(tmp_path, row, is_known):
    from tonne.cli.imports import Labels, codecarbon
    from tonne.ledger.book import Ledger
    from tonne.ledger.records import Run

    ended = datetime(2026, 3, 1, 12).astimezone().timestamp()
    run = Run(id="20260301-bert", name="bert", kind="measured", status="finished", begun_unix_s=ended - 3600.0,
              ended_unix_s=ended)  # fmt: skip
    with Ledger.open() as ledger:
        ledger.put(run)
    path = written(tmp_path, {"codecarbon_version": "tonne 0.1.0", **row})
    codecarbon(str(path), site=None, labels=Labels(), as_json=False)
    with Ledger.open() as ledger:
        assert ledger.count() == (1 if is_known else 2)
