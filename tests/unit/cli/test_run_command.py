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
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.measure import processes

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


def document(*words: str) -> dict:
    """What a command prints as one document; it need not be a process of its own."""
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def runs() -> list[dict]:
    return document("runs")["runs"]


def shown(run: str) -> dict:
    return document("runs", "show", run)["run"]


def said_before_it_ended(tmp_path: Path, text: str, *words: str) -> tuple[int, str]:
    """Exit status and standard error of `tonne run` whose command ends when that was said, and a moment later."""
    said = tmp_path / "said"
    waits = f"until grep -q '{text}' {said}; do sleep 0.05; done; sleep 0.3"
    with said.open("w") as file:
        done = subprocess.run(
            [*TONNE, "run", *words, "--interval", "0.1s", "--", "sh", "-c", waits],
            env={**os.environ, "PYTHONPATH": SOURCE}, stderr=file, check=False, timeout=120,
        )  # fmt: skip
    return done.returncode, said.read_text()


def test_output_and_exit_status_are_those_of_the_command():
    code, out, err = tonne("run", "--", "sh", "-c", "printf 'a\\nb'; exit 7")
    assert (code, out) == (7, "a\nb")
    assert err.startswith("tonne: ")
    (run,) = runs()
    assert (run["name"], run["status"]) == ("sh", "failed")


@pytest.mark.slow
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
        (["run", "--total-steps", "0", "--", "true"], "'0' is no number of steps"),
        (["attach", "--total-steps", "9", "1"], "a process that runs already cannot be read. Give --steps-from"),
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
def test_a_limit_that_is_enforced_leaves_nothing_of_the_command_running(tmp_path):
    """A shell ends by itself and leaves what it started: here a program that has to be killed."""
    inner = tmp_path / "inner.sh"
    inner.write_text(f"trap '' TERM\necho $$ > {tmp_path}/pid\nwhile :; do sleep 0.1; done\n")
    words = ["--max-kwh", "1e-9", "--enforce", "--interval", "0.1s", "--grace", "1s", "--quiet"]
    status, _, _ = tonne("run", *words, "--", "sh", "-c", f"sh {inner}; echo after")
    assert status == 3
    end, pid = time.monotonic() + 10, int((tmp_path / "pid").read_text())
    while processes.started(pid) and time.monotonic() < end:  # to be killed takes a moment
        time.sleep(0.05)
    assert processes.started(pid) == 0


@pytest.mark.slow
def test_a_limit_that_is_not_enforced_warns_once(tmp_path):
    code, err = said_before_it_ended(tmp_path, "over the limit; it goes on", "--max-kwh", "1e-9")
    assert code == 0
    assert err.count("over the limit; it goes on") == 1


@pytest.mark.slow
def test_a_limit_of_carbon_is_watched_where_the_place_is_known(tmp_path):
    code, err = said_before_it_ended(tmp_path, "over the limit", "--max-kgco2e", "1e-12", "--site", "FR")
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
    found = shown(run["id"])
    assert found["name"] == "outer"
    assert found["windows"] == {"inner": 1}


# In a shell: wait until a step is in the journal. On a busy machine that may be when others were printed meanwhile.
TOLD = 'until grep -q "step.:$told," "$TONNE_RUN_FOLDER/journal.jsonl"; do sleep 0.05; done; sleep 0.1'


@pytest.mark.slow
def test_steps_are_found_in_the_output_which_stays_as_it_is():
    code = f'for told in 1 2 3 4 5; do echo "step $told of 10"; {TOLD}; done'
    words = ["--total-steps", "10", "--step-pattern", r"step (\d+)", "--interval", "0.1s", "--quiet"]
    _, out, _ = tonne("run", *words, "--", "sh", "-c", code)
    assert out == "".join(f"step {i} of 10\n" for i in range(1, 6))
    run = shown(runs()[0]["id"])
    assert (run["expected"]["step"], run["expected"]["total_steps"]) == (5, 10)


@pytest.mark.slow
def test_steps_of_common_trainers_need_no_pattern_and_may_say_the_total():
    bar = "printf '\\r %s%%|#  | %s/10 [00:01<00:12,  7.50it/s]' $i $i >&2"
    code = f"for i in 1 2 3 4 5; do {bar}; told=$((i - 1)); [ $told = 0 ] || {{ {TOLD}; }}; done; echo"
    tonne("run", "--total-steps", "auto", "--interval", "0.1s", "--quiet", "--", "sh", "-c", code)
    run = shown(runs()[0]["id"])
    assert run["expected"]["total_steps"] == 10
    assert run["expected"]["step"] in {4, 5}  # the last bar is not followed by another


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--step-pattern", r"batch (\d+)"], "--step-pattern has one group, and no --total-steps is given"),
        (["--step-pattern", r"batch (\d+)", "--total-steps", "auto"], "--step-pattern has one group"),
        (["--step-pattern", r"batch (\d+)(?: of (\d+))?"], "what it printed says steps but no total"),
        (["--step-pattern", r"batch (\d+)", "--total-steps", "3"], None),
    ],
)
def test_steps_without_a_total_are_counted_and_that_no_end_is_forecast_is_said(words, told):
    _, out, err = tonne("run", *words, "--quiet", "--", "sh", "-c", "for i in 1 2 3; do echo batch $i; done")
    assert out == "batch 1\nbatch 2\nbatch 3\n"
    assert err.count("the run's end is not forecast. Give --total-steps N") == (0 if told is None else 1)
    assert (told or "") in err
    run = json.loads(tonne("runs", "show", runs()[0]["id"], "--json")[1])["run"]
    assert run["work"]["steps"] == 3


@pytest.mark.slow
def test_a_command_that_printed_no_step_is_told_of():
    _, _, err = tonne("run", "--total-steps", "10", "--", "echo", "nothing")
    assert "no steps were found in what it printed" in err


@pytest.mark.slow
def test_steps_are_found_in_a_log_file(tmp_path):
    log = tmp_path / "log.txt"
    code = f'for told in 1 2 3 4; do echo "it {{$told}}" >> {log}; {TOLD}; done'
    words = ["--total-steps", "8", "--step-pattern", r"it \{(\d+)", "--steps-from", str(log), "--interval", "0.1s"]
    tonne("run", "--quiet", *words, "--", "sh", "-c", code)
    run = shown(runs()[0]["id"])
    assert run["expected"]["step"] == 4


@pytest.mark.slow
def test_attach_measures_a_process_until_it_ends():
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    process = started("attach", "--quiet", "--name", "other", str(other.pid))
    until_a_run_began()
    other.communicate()
    process.communicate(timeout=60)
    assert process.returncode == 0
    (run,) = runs()
    assert (run["name"], run["status"]) == ("other", "finished")
    assert run["duration_s"] < 60


def until_a_run_began() -> None:
    end = time.monotonic() + 60
    folder = Path(os.environ["TONNE_HOME"]) / "runs"
    while not any('"start"' in path.read_text() for path in folder.glob("*/journal.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_runs_show_has_the_whole_account():
    tonne("run", "--quiet", "--name", "shown", "--site", "FR", "--", "sleep", "1")
    told = document("runs", "show", "shown")
    assert told["schema_version"] == "1"
    run = told["run"]
    assert run["status"] == "finished"
    assert run["account"]["duration_s"]["value"] >= 1
    assert {"cpu_kwh", "memory_kwh", "host_rest_kwh", "facility_kwh", "measured_kwh", "coverage"} <= set(
        run["account"]["energy"]
    )
    assert run["account"]["carbon"]["operational_location_kgco2e"]["value"] > 0
    text = tonne("runs", "show", "shown", "--view", "job")[1]
    assert text.startswith("Run  shown · finished · ")
    assert "this job's share" in text


@pytest.mark.slow
def test_an_unknown_run_names_those_that_are_known():
    code, _, err = tonne("runs", "show", "nothing")
    assert code == 2
    assert "no run 'nothing' is known. The newest are: none." in err


@pytest.mark.slow
def test_a_run_that_was_killed_is_recovered_and_gone_on_with():
    process = subprocess.Popen(
        [*TONNE, "run", "--quiet", "--name", "cut", "--", "cat"],  # which ends with whoever would write to it
        env={**os.environ, "PYTHONPATH": SOURCE}, stdin=subprocess.PIPE,
    )  # fmt: skip
    until_a_run_began()
    process.kill()
    process.communicate()
    assert runs()[0]["status"] == "interrupted"
    closed = document("recover")["recovered"]
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
