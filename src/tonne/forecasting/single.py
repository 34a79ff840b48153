"""One plan, forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tonne.account import Account, Carbon, Development, Throughput
from tonne.count.memory import Memory
from tonne.count.module import WorkCounts
from tonne.count.workload import Counts
from tonne.describe.plan import TrainingPlan
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError
from tonne.estimate import Estimate, propagate
from tonne.forecasting.inputs import Inputs, inputs_of
from tonne.forecasting.modification import Modification
from tonne.forecasting.outcome import outcome
from tonne.reference import DATA_VERSION
from tonne.reference.calibration import Calibration, shipped
from tonne.showing import Shown
from tonne.timing.search import LayoutFound

NUDGE = 1.01  # an input on which an output rests moves it


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast(Shown):
    """What a planned run will take: the plan, the work counted, the account, and what was chosen on the way."""

    plan: TrainingPlan
    counts: Counts | WorkCounts | None
    memory: Memory | None
    account: Account
    notes: tuple[str, ...]
    inputs: dict[str, Estimate]
    modification: Modification | None = None
    layout: LayoutFound | None = None  # None where the plan gives its own, or no search was needed


def forecast(plan: TrainingPlan, calibration: Calibration | None = None) -> Forecast:
    """What the planned training run will take, before it is run.

    Args:
        plan: What is trained, how, on what, where.
        calibration: Fitted coefficients; the shipped ones where left out: own measured runs are used where they are
            passed (`shipped().with_own(own_runs(path))`), while commands read their file by themselves.

    Returns:
        Counts, memory per accelerator, and the account: every figure an Estimate with its 90 % interval, or None.

    Raises:
        DescriptionError: The plan is not a TrainingPlan, or cannot be run as described.
    """
    if not isinstance(plan, TrainingPlan):
        raise DescriptionError(
            f"forecast() takes a TrainingPlan, not {type(plan).__name__}. "
            f"Make one with TrainingPlan.from_toml(path) or TrainingPlan.from_fields({{...}})."
        )
    given = inputs_of(plan, calibration or shipped())
    rests_on = dependencies(outcome, given.factors)
    found = propagate(outcome, given.factors, drivers=rests_on)
    account = account_of(found.outputs, found.shares, given)
    return Forecast(
        plan=plan,
        counts=given.counts,
        memory=given.memory,
        account=account,
        notes=given.notes,
        inputs=given.factors,
        modification=given.modification,
        layout=given.layout,
    )


def dependencies(
    function: Callable[[Mapping[str, float]], Mapping[str, float | None]], inputs: Mapping[str, Estimate]
) -> dict[str, list[str]]:
    """Inputs that each output rests on, found by moving one input at a time."""
    centre = {name: e.value for name, e in inputs.items()}
    base = function(centre)
    rests_on: dict[str, list[str]] = {output: [] for output in base}
    for name, value in centre.items():
        moved = function({**centre, name: value * NUDGE if value else 1.0})
        for output, before in base.items():
            if before is not None and moved[output] != before:
                rests_on[output].append(name)
    return rests_on


def account_of(
    outputs: Mapping[str, Estimate | None], shares: Mapping[str, Mapping[str, float]], given: Inputs
) -> Account:
    """The outputs by path, put into their places in an Account."""

    def section(name: str) -> dict[str, Estimate | None]:
        return {path.removeprefix(f"{name}."): e for path, e in outputs.items() if path.startswith(f"{name}.")}

    development = section("development")
    multiplier = development.pop("multiplier")
    return Account(
        duration_s=outputs["duration_s"],
        accelerator_hours=outputs["accelerator_hours"],
        throughput=Throughput(**section("throughput")),
        energy=_energy_use(section("energy"), given.left_out),
        carbon=Carbon(**section("carbon")),
        water_l=outputs["water_l"],
        water_on_site_l=outputs["water_on_site_l"],
        water_off_site_l=outputs["water_off_site_l"],
        cost_usd=outputs["cost_usd"],
        energy_cost_usd=outputs["energy_cost_usd"],
        development=None if multiplier is None else Development(multiplier=multiplier, **development),
        uncertainty={path: dict(parts) for path, parts in shares.items() if parts},
        data_version=DATA_VERSION,
        notes=given.notes,
    )


def _energy_use(parts: Mapping[str, Estimate | None], left_out: tuple[str, ...]) -> EnergyUse:
    return EnergyUse(
        accelerators_kwh=parts["accelerators_kwh"],
        hosts_kwh=parts["hosts_kwh"],
        servers_kwh=parts["servers_kwh"],
        network_kwh=parts["network_kwh"],
        storage_kwh=parts["storage_kwh"],
        it_kwh=parts["it_kwh"],
        facility_kwh=parts["facility_kwh"],
        left_out=left_out,
    )
