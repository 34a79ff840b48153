"""Each number of a model's use: its equation, inputs and sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tonne.energy import inference as serving_energy
from tonne.energy import power
from tonne.forecasting.explain import equation_of
from tonne.forecasting.single import dependencies
from tonne.forecasting.use import request_outcome
from tonne.impact import equations as impact
from tonne.timing import inference as timing

if TYPE_CHECKING:
    from tonne.estimate import Estimate
    from tonne.forecasting.inference import InferenceForecast

EQUATIONS: dict[str, Callable[..., Any]] = {
    "prefill_s": timing.prefill_s,
    "time_per_output_token_s": timing.decode_step_s,
    "energy.accelerators_kwh": serving_energy.boards_kwh,
    "energy.facility_kwh": power.facility_kwh,
    "carbon.operational_location_kgco2e": impact.operational_kgco2e,
    "carbon.embodied_kgco2e": impact.embodied_kgco2e,
    "cost_usd": impact.hours_cost_usd,
}


def explain_inference(forecast: InferenceForecast) -> list[dict[str, Any]]:
    """Each known number of one request with how it was reached.

    Returns:
        A list of {output, value, low, high, unit, equation, inputs, sources}; inputs are those that move it, the ones
        that spread it most first.
    """
    rows = []
    rests_on = dependencies(request_outcome, forecast.inputs)
    for output, function in EQUATIONS.items():
        estimate = _of_request(forecast, output)
        if estimate is None:
            continue
        spread = [name.removeprefix("serving_") for name in forecast.uncertainty.get(output, {})]
        names = spread + [name for name in rests_on[output] if name not in spread]
        rows.append(
            {
                "output": f"request.{output}",
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "unit": output.rsplit("_", 1)[-1],
                "equation": equation_of(function),
                "inputs": {name: forecast.inputs[name] for name in names if name in forecast.inputs},
                "sources": estimate.sources,
            }
        )
    return rows


def _of_request(forecast: InferenceForecast, output: str) -> Estimate | None:
    """One of a request's figures by its path."""
    if output in {"prefill_s", "time_per_output_token_s"}:
        found: Estimate | None = getattr(forecast, output)
        return found
    amount: Estimate | None = getattr(forecast.per_request, output.rsplit(".", 1)[-1])
    return amount
