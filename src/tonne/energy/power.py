"""Energy of a run from watts per accelerator: accelerators, hosts, network and storage apart; PUE once."""

from __future__ import annotations

from tonne.estimate import Number
from tonne.units import energy_kwh


def accelerators_kwh(
    accelerator_hours: Number, accelerator_power_w: Number, goodput: Number, lost_time_power_fraction: Number
) -> Number:
    """Energy of the accelerators' boards.

    Equation: E_a = H P (g + (1 - g) l) / 1000, with H = accelerator_hours, P = accelerator_power_w, g = goodput,
    l = lost_time_power_fraction.

    Args:
        accelerator_hours: Hours that the accelerators are held [h].
        accelerator_power_w: Mean power of one while stepping [W].
        goodput: Useful share of the hours.
        lost_time_power_fraction: Power in the lost share of the hours, relative to stepping.

    Returns:
        Energy [kWh], PUE not included.

    Source: tonne
    """
    return energy_kwh(accelerator_power_w, accelerator_hours) * (goodput + (1.0 - goodput) * lost_time_power_fraction)


def part_kwh(accelerator_hours: Number, power_w: Number) -> Number:
    """Energy of hosts, network or storage, which run whether steps are made or not.

    Equation: E_p = H P / 1000, with H = accelerator_hours, P = power_w (per accelerator).

    Args:
        accelerator_hours: Hours that the accelerators are held [h].
        power_w: Power of the part per accelerator [W].

    Returns:
        Energy [kWh], PUE not included.

    Source: tonne
    """
    return energy_kwh(power_w, accelerator_hours)


def facility_kwh(it_kwh: Number, pue: Number) -> Number:
    """Energy at the building's meter. The one place where PUE is applied.

    Equation: E = E_IT PUE, with E_IT = it_kwh.

    Args:
        it_kwh: Energy of servers, network and storage [kWh].
        pue: Power usage effectiveness, facility energy over IT energy, at least 1.

    Returns:
        Energy [kWh].

    Source: isoiec30134, part 2.
    """
    return it_kwh * pue
