"""`tonne run`, `tonne attach`, `tonne runs` and `tonne recover`, as a shell calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[3] / "src")
TONNE = [sys.executable, "-m", "tonne.cli.entry"]


def started(*words: str, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*TONNE, *words],
        env={**os.environ, "PYTHONPATH": SOURCE, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def tonne(*words: str, **variables: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    process = started(*words, **variables)
    out, err = process.communicate(timeout=120)
    return process.returncode, out.decode(), err.decode()


def runs() -> list[dict]:
    return json.loads(tonne("runs", "--json")[1])["runs"]


def test_output_and_exit_status_are_those_of_the_command():
    code, out, err = tonne("run", "--", "sh", "-c", "printf 'a\\nb'; exit 7")
    assert (code, out) == (7, "a\nb")
    assert err.startswith("tonne: ")
    (run,) = runs()
    assert (run["name"], run["status"]) == ("sh", "failed")


def test_a_command_that_ends_well_is_finished_and_quiet_is_quiet():
    assert tonne("run", "--quiet", "--name", "well", "--", "true") == (0, "", "")
    (run,) = runs()
    assert (run["name"], run["status"]) == ("well", "finished")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_that_ended_the_command_is_told_as_shells_do(number):
    code, _, _ = tonne("run", "--quiet", "--", "sh", "-c", f"kill -{int(number)} $$")
    assert code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(number):
    code = f"trap 'echo got; exit 5' {int(number)}; echo ready; while :; do sleep 0.05; done"
    process = started("run", "--quiet", "--", "sh", "-c", code)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (5, b"got\n")


def test_a_command_that_is_not_there_is_told_as_shells_do():
    code, out, err = tonne("run", "--", "no-such-command")
    assert (code, out) == (127, "")
    assert "'no-such-command' cannot be run" in err


def test_standard_input_is_the_commands():
    process = subprocess.run(
        [*TONNE, "run", "--quiet", "--", "cat"],
        input=b"through",
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert process.stdout == b"through"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["run"], "there is no command to run"),
        (["run", "--max-kgco2e", "1", "--", "true"], "--max-kgco2e 1 cannot be watched: no place is given"),
        (["run", "--max-cost", "1", "--site", "FR", "--", "true"], "--max-cost 1 cannot be watched: no price"),
        (["run", "--enforce", "--", "true"], "--enforce has no limit to enforce"),
        (["run", "--site", "Atlantis", "--", "true"], "grids has no 'Atlantis'"),
        (["run", "--step-pattern", "(", "--", "true"], "is no regular expression"),
        (["run", "--step-pattern", "step", "--", "true"], "has no group for the step"),
        (["run", "--interval", "soon", "--", "true"], "'soon' is no time"),
        (["attach", "999999999"], "there is no process 999999999"),
    ],
)
def test_wrong_options_are_refused_before_the_command_runs(words, text):
    code, out, err = tonne(*words)
    assert (code, out) == (2, "")
    assert text in " ".join(err.split())
    assert runs() == []


@pytest.mark.slow
def test_a_limit_that_is_enforced_stops_the_command_with_status_3():
    begun = time.monotonic()
    words = ["--max-kwh", "1e-9", "--enforce", "--interval", "0.1s", "--", "sleep", "60"]
    code, _, err = tonne("run", *words)
    assert code == 3
    assert "over the limit; the command is stopped" in err
    assert time.monotonic() - begun < 50
    assert runs()[0]["status"] == "stopped"


@pytest.mark.slow
def test_a_limit_that_is_not_enforced_warns_once():
    code, _, err = tonne("run", "--max-kwh", "1e-9", "--interval", "0.1s", "--", "sleep", "1.5")
    assert code == 0
    assert err.count("over the limit; it goes on") == 1


@pytest.mark.slow
def test_a_limit_of_carbon_is_watched_where_the_place_is_known():
    code, _, err = tonne("run", "--max-kgco2e", "1e-12", "--site", "FR", "--interval", "0.1s", "--", "sleep", "1")
    assert code == 0
    assert "kg CO2e: over the limit" in err


def test_the_framework_of_commands_is_not_loaded_to_run_one():
    code = (
        "import sys; sys.argv = ['tonne', 'run', '--quiet', '--', 'true']\n"
        "from tonne.cli.entry import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print([name for name in ('typer', 'rich', 'pydantic', 'numpy', 'torch') if name in sys.modules])"
    )
    variables = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_program_that_tracks_itself_joins_the_run_of_its_command():
    code = "import tonne, time\nwith tonne.track('inner') as meter: time.sleep(0.1)\nprint(meter.run_id)"
    _, out, _ = tonne("run", "--quiet", "--name", "outer", "--", sys.executable, "-c", code)
    (run,) = runs()
    assert out.strip() == run["id"]
    shown = json.loads(tonne("runs", "show", run["id"], "--json")[1])["run"]
    assert shown["name"] == "outer"
    assert shown["windows"] == {"inner": 1}


@pytest.mark.slow
def test_steps_are_found_in_the_output_which_stays_as_it_is():
    code = 'for i in 1 2 3 4 5; do echo "step $i of 10"; sleep 0.3; done'
    words = ["--total-steps", "10", "--step-pattern", r"step (\d+)", "--interval", "0.1s", "--quiet"]
    _, out, _ = tonne("run", *words, "--", "sh", "-c", code)
    assert out == "".join(f"step {i} of 10\n" for i in range(1, 6))
    run = json.loads(tonne("runs", "show", runs()[0]["id"], "--json")[1])["run"]
    assert (run["expected"]["step"], run["expected"]["total_steps"]) == (5, 10)


@pytest.mark.slow
def test_steps_are_found_in_a_log_file(tmp_path):
    log = tmp_path / "log.txt"
    code = f'for i in 1 2 3 4; do echo "it {{$i}}" >> {log}; sleep 0.3; done'
    words = ["--total-steps", "8", "--step-pattern", r"it \{(\d+)", "--steps-from", str(log), "--interval", "0.1s"]
    tonne("run", "--quiet", *words, "--", "sh", "-c", code)
    run = json.loads(tonne("runs", "show", runs()[0]["id"], "--json")[1])["run"]
    assert run["expected"]["step"] == 4


@pytest.mark.slow
def test_attach_measures_a_process_until_it_ends():
    other = subprocess.Popen(["sleep", "1"])
    process = started("attach", "--quiet", "--name", "other", str(other.pid))
    other.wait()
    process.communicate(timeout=60)
    assert process.returncode == 0
    (run,) = runs()
    assert (run["name"], run["status"]) == ("other", "finished")
    assert run["duration_s"] < 60


@pytest.mark.slow
def test_runs_show_has_the_whole_account():
    tonne("run", "--quiet", "--name", "shown", "--site", "FR", "--", "sleep", "0.2")
    document = json.loads(tonne("runs", "show", "shown", "--json")[1])
    assert document["schema_version"] == "1"
    run = document["run"]
    assert run["status"] == "finished"
    assert run["account"]["duration_s"]["value"] >= 0.2
    assert {"cpu_kwh", "memory_kwh", "host_rest_kwh", "facility_kwh", "measured_kwh", "coverage"} <= set(
        run["account"]["energy"]
    )
    assert run["account"]["carbon"]["operational_location_kgco2e"]["value"] > 0
    text = tonne("runs", "show", "shown", "--view", "job")[1]
    assert text.startswith("Run  shown · finished · ")
    assert "this job's share" in text


def test_an_unknown_run_names_those_that_are_known():
    code, _, err = tonne("runs", "show", "nothing")
    assert code == 2
    assert "no run 'nothing' is known. The newest are: none." in err


@pytest.mark.slow
def test_a_run_that_was_killed_is_recovered_and_gone_on_with():
    process = started("run", "--quiet", "--name", "cut", "--", "sleep", "30")
    end = time.monotonic() + 30
    while not runs() and time.monotonic() < end:
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert runs()[0]["status"] == "interrupted"
    closed = json.loads(tonne("recover", "--json")[1])["recovered"]
    assert [run["status"] for run in closed] == ["recovered"]
    assert tonne("run", "--quiet", "--resume", "cut", "--", "true")[0] == 0
    (run,) = runs()
    assert (run["name"], run["status"]) == ("cut", "finished")


@pytest.mark.slow
def test_an_idle_baseline_is_measured_first(tmp_path):
    powercap = tmp_path / "powercap" / "intel-rapl:0"
    powercap.mkdir(parents=True)
    (powercap / "name").write_text("package-0\n")
    (powercap / "energy_uj").write_text("5000000\n")
    (powercap / "max_energy_range_uj").write_text("262143328850\n")
    words = ["run", "--quiet", "--baseline", "0.3s", "--interval", "0.1s", "--name", "idle", "--", "true"]
    assert tonne(*words, TONNE_POWERCAP_ROOT=str(tmp_path / "powercap"))[0] == 0
    journal = (Path(runs()[0]["folder"]) / "journal.jsonl").read_text().splitlines()
    baseline = next(line for line in map(json.loads, journal) if line.get("kind") == "baseline")
    assert baseline["watts"] == {"powercap:intel-rapl:0": 0.0} or all(w == 0.0 for w in baseline["watts"].values())
