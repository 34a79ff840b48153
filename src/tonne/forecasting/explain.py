"""Each number of a forecast: its equation, inputs and sources."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tonne.energy import power
from tonne.forecasting.outcome import outcome
from tonne.forecasting.single import dependencies
from tonne.impact import equations as impact
from tonne.timing import steps

if TYPE_CHECKING:
    from tonne.estimate import Estimate
    from tonne.forecasting.single import Forecast

EQUATIONS: dict[str, Callable[..., Any]] = {
    "duration_s": steps.duration_s,
    "accelerator_hours": steps.accelerator_hours,
    "energy.accelerators_kwh": power.accelerators_kwh,
    "energy.hosts_kwh": power.part_kwh,
    "energy.network_kwh": power.part_kwh,
    "energy.facility_kwh": power.facility_kwh,
    "carbon.operational_location_kgco2e": impact.operational_kgco2e,
    "carbon.operational_market_kgco2e": impact.operational_kgco2e,
    "carbon.embodied_kgco2e": impact.embodied_kgco2e,
    "water_on_site_l": impact.water_on_site_l,
    "water_off_site_l": impact.water_off_site_l,
    "cost_usd": impact.hours_cost_usd,
    "energy_cost_usd": impact.energy_cost_usd,
}


def explain(forecast: Forecast) -> list[dict[str, Any]]:
    """Each known number of a forecast with how it was reached.

    Returns:
        A list of {output, value, low, high, unit, equation, inputs, sources}; inputs are those that move it.
    """
    rows = []
    rests_on = dependencies(outcome, forecast.inputs)
    for output, function in EQUATIONS.items():
        estimate = _at(forecast.account, output)
        if estimate is None:
            continue
        names = list(forecast.account.uncertainty.get(output, {}))  # those that spread it most come first
        names += [name for name in rests_on[output] if name not in names]
        rows.append(
            {
                "output": output,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "unit": output.rsplit("_", 1)[-1],
                "equation": equation_of(function),
                "inputs": {name: forecast.inputs[name] for name in names},
                "sources": estimate.sources,
            }
        )
    return rows


def equation_of(function: Callable[..., Any]) -> str:
    """The equation that a function's docstring states."""
    found = re.search(r"Equation:\s*(.*?)\n\s*\n", inspect.getdoc(function) or "", re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _at(account: Any, path: str) -> Estimate | None:  # noqa: ANN401 - walks nested dataclasses
    for name in path.split("."):
        account = getattr(account, name)
    result: Estimate | None = account
    return result
