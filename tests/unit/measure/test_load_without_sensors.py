"""Where nothing reads the power of a machine, its model still goes by how busy it was."""

from __future__ import annotations

import time

import pytest

import tonne
from tonne.measure.replay import measured
from tonne.measure.sensors.protocol import Missing


@pytest.mark.skipif("not __import__('os').path.exists('/proc/stat')", reason="the kernel does not tell")
@pytest.mark.usefixtures("read_at_once")
def test_a_node_without_a_sensor_has_a_load():
    meter = tonne.track("unread", interval_s=0.05, open_sensors=lambda: ([], [Missing("cpu", "none")]))
    meter.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    meter.stop()
    [node] = measured(meter.folder).nodes
    assert node.sensors == ()
    assert node.load is not None
    assert node.load.time_s == pytest.approx(node.lasted_s, rel=0.5)
    assert 0 < sum(time_s * share for time_s, share in node.load.shares()) <= node.load.time_s
