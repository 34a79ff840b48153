"""A counter that wraps twice a second, read by a meter whose interval is a second."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tonne


@pytest.mark.slow
def test_meter_reads_oftener_than_asked_where_a_counter_would_wrap_unseen(tmp_path, monkeypatch):
    spec = tmp_path / "spec.json"
    zone = {"name": "package-0", "trace": ["constant", 100], "wrap_uj": 50_000_000}
    spec.write_text(json.dumps({"intel-rapl:0": zone}))
    words = [sys.executable, str(Path(__file__).with_name("powercap.py")), str(tmp_path / "live"), str(spec)]
    for name in ("HWMON", "SYS"):
        monkeypatch.setenv(f"TONNE_{name}_ROOT", str(tmp_path))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as following:
        monkeypatch.setenv("TONNE_POWERCAP_ROOT", following.stdout.readline().strip())
        before_s = time.monotonic()
        with tonne.track("wraps", folder=tmp_path / "run") as meter:
            begun_s = time.monotonic()
            time.sleep(3)
            ended_s = time.monotonic()
        after_s = time.monotonic()  # to begin and to end may take long on a busy machine
        following.stdin.close()
    read_j = 3.6e6 * meter.account().energy.cpu_kwh.value
    assert 95 * (ended_s - begun_s) <= read_j <= 105 * (after_s - before_s)  # a wrap that was missed would be 50 J
