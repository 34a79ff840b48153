"""The one line of a run: what it took, and what is unknown for want of what."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import page_samples as samples

from tonne.account import Carbon
from tonne.energy.use import EnergyUse
from tonne.report.measured_line import closing_line


def test_only_where_the_energy_is_known_is_it_the_place_that_is_wanting():
    whole = samples.gpu_account()
    nowhere = replace(whole, carbon=Carbon())
    assert "1.56 MWh" in closing_line(whole, "r1") or "1.6 MWh" in closing_line(whole, "r1")
    assert "kg (" in closing_line(whole, "r1")
    assert "CO2e unknown (no place given)" in closing_line(nowhere, "r1")
    assert closing_line(replace(nowhere, energy=EnergyUse()), "r1").endswith("energy unknown · tonne runs show r1")
