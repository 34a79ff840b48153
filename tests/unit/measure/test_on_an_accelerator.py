"""The script that is run by hand on a machine with an NVIDIA board, before a library that stands in for its driver."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from metered import SOURCE, wait_for

SCRIPT = Path(__file__).parents[3] / "benchmarks/on_an_accelerator.py"
BOARD = """\
-1 count 1
0 name NVIDIA H100 80GB HBM3
0 uuid GPU-aaaa
0 architecture 9
0 watts 350
0 power_mw 355000
0 limit_mw 700000
0 least_mw 200000
0 cap_mw 650000
"""
S = 1_000_000_000


def loaded():
    spec = importlib.util.spec_from_file_location("on_an_accelerator", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_power_by_the_counter_and_by_the_trapezoid():
    samples = loaded().Samples([0, S, 3 * S, 4 * S], [100.0, 400.0, 1000.0, None], [200.0, 400.0, 300.0, 300.0])
    told = samples.told()
    assert told["counter_w"] == pytest.approx(900 / 3)
    assert told["power_w"] == pytest.approx((300 * 1 + 350 * 2 + 300 * 1) / 4)
    assert told["power_over_counter"] == pytest.approx(325 / 300)
    assert told["counter_changes_every_s"] == pytest.approx(2.0)


def test_what_a_board_does_not_tell_is_not_told():
    told = loaded().Samples([0, S], [None, None], [200.0, 200.0]).told()
    assert (told["counter_w"], told["power_w"], told["power_over_counter"]) == (None, 200.0, None)
    assert told["power_changes_every_s"] is None


def started(nvml_library, boards: Path, *words: str) -> subprocess.Popen:
    preloaded = {"LD_PRELOAD": str(nvml_library), "TONNE_TEST_NVML": str(boards), "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "--device", "cpu", *words], env={**os.environ, **preloaded},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def caps_set(boards: Path) -> list[int]:
    """The caps that were set, one after the other [mW]; the first line is what was found."""
    return [int(line.split()[2]) for line in boards.read_text().splitlines() if " cap_mw " in line][1:]


@pytest.fixture
def boards(tmp_path) -> Path:
    """What the board says, in a file; nothing is said of caps, so that none is permitted."""
    pytest.importorskip("pynvml")
    pytest.importorskip("torch")
    told = tmp_path / "boards.txt"
    told.write_text(BOARD)
    return told


def permit_caps(boards: Path) -> None:
    boards.write_text(BOARD + "0 caps 1\n")


@pytest.mark.slow
def test_caps_go_down_and_the_one_that_was_found_is_set_again(nvml_library, boards, tmp_path):
    permit_caps(boards)
    process = started(nvml_library, boards, "--seconds", "0.5", "--caps", "--json", str(tmp_path / "found.json"))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    assert caps_set(boards) == [650_000, 700_000, 575_000, 450_000, 325_000, 200_000, 650_000]
    assert [row["cap_w"] for row in found["caps"]] == [700, 575, 450, 325, 200]
    assert found["idle"]["power_w"] == pytest.approx(355)
    assert found["products"]["power_w"] == pytest.approx(355)
    assert "not measured" not in out


@pytest.mark.slow
def test_who_is_ended_under_a_cap_sets_back_what_was_found(nvml_library, boards):
    permit_caps(boards)
    process = started(nvml_library, boards, "--seconds", "2", "--caps")
    wait_for(lambda: 575_000 in caps_set(boards) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert caps_set(boards)[-1] == 650_000


@pytest.mark.slow
def test_without_permission_nothing_is_set(nvml_library, boards):
    process = started(nvml_library, boards, "--seconds", "0.2", "--caps")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "does not permit a power cap" in out
    assert caps_set(boards) == []


@pytest.mark.parametrize(
    ("power_w", "capped_w", "expected"),
    [
        (600.0, 500.0, (345.9 / 245.9) ** (1 / 3.94)),  # 254.1 W of the 700 buy no speed
        (600.0, 650.0, 1.0),  # no slower at a higher power
        (600.0, 254.0, None),
        (600.0, 200.0, None),
        (None, 500.0, None),
        (600.0, None, None),
    ],
)
def test_what_tonne_says_of_a_cap(power_w, capped_w, expected):
    assert loaded().said(power_w, capped_w, 700.0) == (None if expected is None else pytest.approx(expected))


def test_without_a_board_there_is_nothing_to_measure():
    words = [sys.executable, str(SCRIPT), "--seconds", "0.1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        pytest.skip("there is a board on this machine")
    assert done.returncode == 1
    assert done.stdout.startswith("nothing to measure: ")
