"""For `tonne.train`, and for every loop that tells observers of its steps: `observers=[MeterObserver(site="FR")]`."""

from __future__ import annotations

from tonne.measure.observer import MeterObserver

__all__ = ["MeterObserver"]
