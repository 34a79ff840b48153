"""The inputs that the hardware brings: watts per accelerator, and what its making emitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.describe.plan import TrainingPlan
from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate, scaled
from tonne.impact.place import making_of
from tonne.reference.power import PowerFamily, power_family
from tonne.timing.power_cap import STATIC_SHARE

if TYPE_CHECKING:
    from tonne.forecasting.inputs import Collected

LOST_TIME_POWER = Estimate(
    value=0.6, low=0.25, high=1.0, basis=Basis.ASSUMED, sources=("default: between idle (0.17) and repeated steps (1)",)
)
CAP_ERROR = Estimate(
    value=1.0, low=0.92, high=1.08, basis=Basis.MODELLED, sources=("error of the cap's slow-down, one GPU left out",)
)


def add_hardware(plan: TrainingPlan, found: Collected) -> None:
    """Add watts and embodied emissions of the plan's cluster, with their notes."""
    cluster, record = plan.cluster, plan.cluster.record
    family = power_family(record.id)
    if cluster.accelerator_power_w is not None:
        found.factors["accelerator_power_w"] = cluster.accelerator_power_w.estimate()
    elif family.fraction_value is None and family.whole_server_w is not None:
        found.factors["server_power_w"] = _interval(family, "whole_server", "w")
        found.notes.append(f"of {record.id} only whole servers' watts are known: accelerators and hosts are not apart.")
    elif family.fraction_value is not None and record.board_power_limit_w is not None:
        found.factors["accelerator_power_w"] = scaled(
            _interval(family, "fraction", "value"), record.board_power_limit_w
        )
    else:
        raise DescriptionError(
            f"neither the power nor the board limit of {record.id} is in the tables. "
            f"Give [cluster] accelerator_power_w, the mean watts of one while training."
        )
    _add_hosts(plan, family, found)
    if "server_power_w" not in found.factors and plan.schedule.accelerator_hours is None:
        _add_cap(plan, found)
    elif cluster.power_cap_w is not None:
        found.notes.append("power_cap_w is not used: it needs the board's own watts and a run timed by the model.")
    if plan.schedule.accelerator_hours is None:
        found.factors["lost_time_power_fraction"] = LOST_TIME_POWER
    making = making_of(record.id)
    found.factors.update(making.factors)
    found.notes += making.notes


def _interval(family: PowerFamily, prefix: str, central: str) -> Estimate:
    """One of a family's quantities as an Estimate."""
    value, low, high = (getattr(family, f"{prefix}_{name}") for name in (central, "low", "high"))
    source = f"{family.source} (power family {family.family})"
    return Estimate(value=value, low=low, high=high, basis=Basis(family.basis), sources=(source,))


def _add_hosts(plan: TrainingPlan, family: PowerFamily, found: Collected) -> None:
    cluster, site = plan.cluster, plan.site
    if cluster.host_power_w is not None:
        found.factors["host_power_w"] = cluster.host_power_w.estimate()
    elif family.host_w is not None and "server_power_w" not in found.factors:
        found.factors["host_power_w"] = _interval(family, "host", "w")
    elif "server_power_w" not in found.factors:
        found.notes.append("host power is unknown for this accelerator: give host_power_w (0 where it is included).")
    if cluster.network_power_w is not None:
        found.factors["network_power_w"] = cluster.network_power_w.estimate()
    elif "server_power_w" in found.factors:
        found.factors["network_power_w"] = Estimate.exact(0.0, Basis.PUBLISHED, "in the whole servers' watts")
    else:
        several = 1.0 if cluster.accelerators is None else cluster.accelerators > cluster.accelerators_per_node
        found.factors["network_power_w"] = scaled(_interval(family, "network", "w"), several * 1.0)
    if site.storage_power_w is not None:
        found.factors["storage_power_w"] = site.storage_power_w.estimate()
    else:
        found.left_out.append("storage")


def _add_cap(plan: TrainingPlan, found: Collected) -> None:
    cap, record = plan.cluster.power_cap_w, plan.cluster.record
    if cap is None:
        return
    limit = record.board_power_limit_w
    if limit is None:
        raise DescriptionError(f"the board limit of {record.id} is not in the tables: leave power_cap_w out.")
    found.factors["power_cap_w"] = Estimate.exact(cap)
    found.factors["board_power_limit_w"] = Estimate.exact(limit, Basis.PUBLISHED, record.source)
    found.factors["cap_slow_down_error"] = CAP_ERROR
    least = STATIC_SHARE * limit * 1.1
    smallest = cap if isinstance(cap, int | float) else cap.min()
    if smallest < least:
        raise DescriptionError(
            f"power_cap_w={smallest:g} is below what the model of caps covers for {record.id} "
            f"({limit:g} W board): give at least {least:.0f} W."
        )
