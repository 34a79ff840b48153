"""What the formulas of simpler tools say of a run whose chip-hours are known."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.reference.accelerators import AcceleratorRecord, accelerator
from tonne.reference.power import power_family
from tonne.units import energy_kwh

MLCO2 = "ML CO2 Impact"
GREEN = "Green Algorithms"
MEMORY_W_PER_GB = 0.3725  # Green Algorithms' constant
MEMORY_GB = 64.0  # host memory per accelerator: no row gives it, and the tool asks its user; usage factor 1
DEFAULT_PUE = 1.67  # Green Algorithms' default
KWH_PER_MWH = 1000.0


def peer_energy_mwh(row: Mapping[str, str]) -> dict[str, float]:
    """Energy of a run by the formulas of other tools [MWh].

    Equation: ML CO2 Impact: E = H W, with W the calculator's watts (the board's limit; of TPUs the servers' mean of
    Patterson 2021), without PUE. Green Algorithms: E = H (TDP + 0.3725 M) PUE, with M = MEMORY_GB and PUE that of the
    row, else 1.67.

    Returns:
        Energy by name of the tool; without those that lack a constant.

    Source: lacoste2019mlco2, calculator; lannelongue2021green, methods.
    """
    chip, hours = accelerator(row["chip"]).record, float(row["chip_hours"])
    watts = calculator_w(chip)
    found = {} if watts is None else {MLCO2: energy_kwh(watts, hours) / KWH_PER_MWH}
    if chip.board_power_limit_w is not None:
        pue = float(row["pue"] or DEFAULT_PUE)
        power_w = chip.board_power_limit_w + MEMORY_W_PER_GB * MEMORY_GB
        found[GREEN] = energy_kwh(power_w, hours) * pue / KWH_PER_MWH
    return found


def calculator_w(chip: AcceleratorRecord) -> float | None:
    """Watts in ML CO2 Impact's calculator: TDP, or for TPUs what Patterson 2021 measured of servers [W]."""
    family = power_family(chip.id)
    return family.whole_server_w if family.fraction_value is None else chip.board_power_limit_w
