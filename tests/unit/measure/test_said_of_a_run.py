"""What is said of runs whose place, meters or folder are not what the user thinks."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from typer.testing import CliRunner

import tonne
from tonne.cli.main import app
from tonne.measure.sensors.protocol import Missing, Reading
from tonne.report.measured_line import closing_line

pytestmark = pytest.mark.usefixtures("read_at_once")

NO_FILE = "TONNE_METERS=/none.toml cannot be read: No such file or directory."


class Watts:
    """100 W, always."""

    name, part, kind, unit, covers = "x:node", "node", "power", "W", ("node",)
    error_fraction, wrap_j, window_s, ceiling_w, device, device_id = 0.0, None, 0.0, None, "", ""
    reads = 0

    def read(self):
        self.reads += 1
        return Reading(time.monotonic_ns(), 100.0)

    def close(self):
        return


class Silent(Watts):
    """A meter that never gives a number."""

    name = "x:dead"

    def read(self):
        self.reads += 1
        return Reading(time.monotonic_ns(), None, "it is off")


def measured(folder, *sensors, site=None, missing=()):
    with tonne.track("x", site=site, interval_s=0.02, folder=folder, open_sensors=lambda: (sensors, missing)) as meter:
        until = time.monotonic() + 60.0
        while any(sensor.reads < 4 for sensor in sensors):
            assert time.monotonic() < until
            time.sleep(0.01)
    return meter


def test_an_account_at_a_place_that_is_none_has_energy_and_says_so(tmp_path):
    meter = measured(tmp_path, Watts(), site="Frnce")
    account = meter.account()
    joules = 3.6e6 * account.energy.it_kwh.value
    assert joules == pytest.approx(100.0 * account.duration_s.value, rel=1e-3)
    assert account.carbon.operational_location_kgco2e is None
    assert any(note.startswith("its place 'Frnce' is unknown, and so is its CO2e: ") for note in account.notes)
    assert meter.share().energy.it_kwh == account.energy.it_kwh
    assert meter.expected() is None


def test_meters_that_cannot_be_opened_are_told_at_the_begin_and_in_the_account(tmp_path, caplog):
    meter = measured(tmp_path, missing=[Missing("own meters", NO_FILE, "correct /none.toml"), Missing("node", "none")])
    assert caplog.messages == [f"tonne: own meters are not read: {NO_FILE}"]
    assert f"own meters are not read: {NO_FILE}; correct /none.toml" in meter.account().notes


def test_of_a_sensor_that_never_spoke_nothing_is_said_to_be_bridged(tmp_path):
    notes = measured(tmp_path, Silent()).account().notes
    assert "x:dead gave no number that could be used" in notes
    assert not any("interpolated" in note or "bridged" in note for note in notes)


def test_the_closing_line_blames_no_place_where_energy_is_unknown(tmp_path):
    account = measured(tmp_path, Watts()).account()
    nothing = dataclasses.replace(account, energy=type(account.energy)())
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    read_s = [line["t"] / 1e9 + line["o"][0] / 1e6 for line in lines if "o" in line]
    ends_s = [next(line["t"] for line in lines if line.get("kind") == kind) / 1e9 for kind in ("start", "leave")]
    steps = (after - before for before, after in pairwise(min(max(at_s, ends_s[0]), ends_s[1]) for at_s in read_s))
    read_for_s = sum(step for step in steps if step <= 3 * 0.02)  # longer ones are not bridged
    share = read_for_s / account.duration_s.value  # all of it, but for a thread that came late
    assert closing_line(account, "r").endswith(
        f" · CO2e unknown (no place given) · {share:.0%} of it measured · tonne runs show r"
    )
    assert closing_line(nothing, None).endswith(" · energy unknown")


def tonne_at(home, *words):
    return CliRunner().invoke(app, words, env={"TONNE_HOME": str(home)})


def test_a_killed_run_with_a_folder_of_its_own_is_listed_and_recovered(tmp_path):
    code = """
import sys, time, tonne
with tonne.track("apart", folder=sys.argv[1], interval_s=0.1, open_sensors=lambda: ([], [])):
    time.sleep(60.0)
"""
    inbox = tmp_path / "home" / "inbox"
    environment = {**os.environ, "TONNE_HOME": str(tmp_path / "home")}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "apart")], env=environment)
    end = time.monotonic() + 60.0
    while not list(inbox.glob("*.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    statuses = []
    for words in (["runs", "--json"], ["recover"], ["runs", "--json"]):
        done = tonne_at(tmp_path / "home", *words)
        assert done.exit_code == 0, done.stderr
        if words[-1] == "--json":
            statuses += [(run["name"], run["status"]) for run in json.loads(done.stdout)["runs"]]
    assert statuses == [("apart", "interrupted"), ("apart", "recovered")]


def test_a_folder_that_is_not_there_is_bad_input(tmp_path):
    done = tonne_at(tmp_path, "runs", "--folder", str(tmp_path / "none"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{tmp_path / 'none'} is no folder" in " ".join(done.stderr.split())
