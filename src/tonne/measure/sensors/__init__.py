"""Sensors: what this machine can tell of its energy."""

from __future__ import annotations

from tonne.measure.sensors.opening import open_sensors
from tonne.measure.sensors.protocol import Description, Missing, Reading, Sensor

__all__ = ["Description", "Missing", "Reading", "Sensor", "open_sensors"]
