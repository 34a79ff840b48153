"""What a run will take on this very machine, before its first step: an Account of the same type as a measured one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tonne.account import Account, Carbon, Throughput
from tonne.energy.power import facility_kwh
from tonne.energy.use import EnergyUse
from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate, Number, propagate
from tonne.impact.place import Factors, factors_of, making_of, nowhere, prices_of
from tonne.impact.results import Values, impact_of, of_known
from tonne.reference import DATA_VERSION
from tonne.reference.accelerators import accelerator
from tonne.train.ahead import EVALUATION, STAGES, STEPPING
from tonne.units import SECONDS_PER_HOUR, energy_kwh
from tonne.workflow.durations import BY_DISK, START, STEP, crowd_factor, piece_times_s, start_time_s, step_time_s
from tonne.workflow.machine import PARTS, power_w

if TYPE_CHECKING:
    from tonne.describe.site import Site
    from tonne.train.ahead import Ahead, Timed
    from tonne.workflow.machine import Looked
    from tonne.workflow.paces import Pace

HOSTS, SUMS = ("cpu", "memory", "host_rest"), ("hosts", "servers", "it", "facility")
LEFT_OUT = ("network", "storage")
FASTEST = "fastest product of this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """A run's account before its first step, and what it is made of: factors by name, units in the names."""

    account: Account
    inputs: Mapping[str, Estimate]
    ahead: Ahead
    timed: Timed


def foretold(ahead: Ahead, timed: Timed, looked: Looked, *, paces: list[Pace], site: Site | None) -> Foretold:
    """The forecast of a run on this machine.

    Args:
        ahead: The run.
        timed: Its pieces, tried here and now.
        looked: The machine, and how busy it was meanwhile.
        paces: What is kept of earlier runs here.
        site: Where the machine stands; None: unknown, and so is CO2e.
    """
    watts, power_notes = power_w(ahead, looked, paces)
    place = _place(ahead, site)
    pieces = piece_times_s(ahead, timed, paces)
    inputs = {
        "step_time_s": step_time_s(ahead, timed, paces),
        "start_s": start_time_s(ahead, timed, paces),
        "crowd_factor": crowd_factor(ahead, timed),
        **{f"{stage}_s": one for stage, one in pieces.items()},
        **{f"{part}_w": one for part, one in watts.items()},
        **place.factors,
    }
    early = ("[run] patience may end it before: this is the time of all its steps.",) if ahead.may_stop_early else ()
    return Foretold(
        account=_account(inputs, ahead, (*power_notes, *place.notes, *early)),
        inputs={**inputs, **_fixed(ahead)},
        ahead=ahead,
        timed=timed,
    )


def for_work(
    inputs: Mapping[str, Estimate], ahead: Ahead, steps: int, counts: Mapping[str, int]
) -> tuple[Account, dict[str, Estimate]]:
    """What would have been forecast for so many steps, and its inputs: for a run that ended before its last one.

    Args:
        inputs: Of the forecast.
        ahead: The run.
        steps: That were made.
        counts: Evaluations, checkpoints, samples and finishes that were made, by stage.
    """
    made = replace(ahead, steps=steps, times=dict(counts))
    fixed = _fixed(made)
    uncertain = {name: one for name, one in inputs.items() if name not in fixed}
    return _account(uncertain, made, ()), {**uncertain, **fixed}


def _fixed(ahead: Ahead) -> dict[str, Estimate]:
    """What a plan says, and the fastest product: inputs without an interval, for whoever compares."""
    tokens = ahead.steps * ahead.tokens_per_step
    return {
        "steps": Estimate.exact(ahead.steps, source="plan"),
        "tokens": Estimate.exact(tokens, source="plan"),
        "training_flop": Estimate.exact(tokens * ahead.flop_per_token, source="plan"),
        "peak_flop_per_s": Estimate.exact(ahead.peak_flop_per_s / ahead.processes, Basis.MEASURED, FASTEST),
    }


def outcome(x: Mapping[str, Number], ahead: Ahead) -> Values:
    """Every output of the forecast from its named inputs; None where an input it needs is unknown.

    Equation: T = c (T_start + n t + sum_i n_i t_i) + sum_j n_j t_j, with c = crowd_factor, n = steps, t = step_time_s,
    n_i and t_i = number and time of evaluations and samples, n_j and t_j = of what waits for the disk: checkpoints and
    the finish; E = T P for each part.
    """
    seconds = stage_times_s(x, ahead)
    lasted_s = sum(seconds.values())
    hours = lasted_s / SECONDS_PER_HOUR
    nodes = ahead.processes / ahead.processes_here
    held_h = hours * len(ahead.chips) * nodes
    kwh = {part: of_known(lambda w: energy_kwh(w * nodes, hours), x.get(f"{part}_w")) for part in PARTS}
    hosts = of_known(lambda *parts: sum(parts), *(kwh[part] for part in HOSTS))
    servers = of_known(lambda a, b: a + b, kwh["accelerators"], hosts)
    facility = of_known(facility_kwh, servers, x.get("pue"))
    energy = {"energy.it_kwh": servers, "energy.facility_kwh": facility}
    work_flop = ahead.steps * ahead.tokens_per_step * ahead.flop_per_token
    stepping_s, step_s = seconds[STEPPING], x["crowd_factor"] * x["step_time_s"]
    return {
        "duration_s": lasted_s,
        "accelerator_hours": held_h,
        **{f"energy.{part}_kwh": value for part, value in kwh.items()},
        "energy.hosts_kwh": hosts,
        "energy.servers_kwh": servers,
        **energy,
        **impact_of(x, {"accelerator_hours": held_h or None}, energy),
        "throughput.step_time_s": step_s,
        "throughput.tokens_per_s": ahead.tokens_per_step / step_s,
        "throughput.achieved_peak_fraction": work_flop / ahead.peak_flop_per_s / stepping_s if stepping_s else None,
        "throughput.goodput": stepping_s / lasted_s if lasted_s else None,
    }


def stage_times_s(x: Mapping[str, Number], ahead: Ahead) -> dict[str, Number]:
    """Time of each stage of the run [s]; the start is a part of stepping."""
    crowd = x["crowd_factor"]
    times = {stage: ahead.times.get(stage, 0) * x.get(f"{stage}_s", 0.0) for stage in STAGES if stage != STEPPING}
    others = {stage: seconds if stage in BY_DISK else crowd * seconds for stage, seconds in times.items()}
    return {STEPPING: crowd * (ahead.steps * x["step_time_s"] + x["start_s"] * (ahead.steps > 0)), **others}


def _place(ahead: Ahead, site: Site | None) -> Factors:
    """What the place brings, and the making and rent of the accelerators where a table knows them."""
    found = nowhere() if site is None else factors_of(site)
    kind: str | None = None
    if ahead.chips:
        try:
            kind = accelerator(ahead.chips[0]).record.id
        except UnknownReferenceError:
            found.notes.append(f"the accelerator {ahead.chips[0]!r} is not in the tables: its making is unknown.")
    priced = site is not None and site.usd_per_kwh is not None
    for brought in [*([prices_of(site, kind)] if kind or priced else []), *([making_of(kind)] if kind else [])]:
        found.factors.update(brought.factors)
        found.notes += brought.notes
    return found


def _drivers(inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """What outputs rest on, for their basis and sources: of a duration the steps, of a part its power too."""
    time = ["step_time_s"]
    parts = {part: [*time, f"{part}_w"] for part in PARTS}
    hosts = [name for part in HOSTS for name in parts[part]]
    servers = [*hosts, *parts["accelerators"]]
    facility = [*servers, "pue"]
    price = [*facility, "usd_per_kwh"]
    making = ["embodied_card_kgco2e", "embodied_host_kgco2e", "lifetime_years", "lifetime_use"]
    return {
        "duration_s": time,
        "accelerator_hours": time,
        **{f"energy.{part}_kwh": names for part, names in parts.items()},
        "energy.hosts_kwh": hosts,
        "energy.servers_kwh": servers,
        "energy.it_kwh": servers,
        "energy.facility_kwh": facility,
        "carbon.operational_location_kgco2e": [*facility, "grid_gco2e_per_kwh"],
        "carbon.operational_market_kgco2e": [*facility, "market_gco2e_per_kwh"],
        "carbon.embodied_kgco2e": [*time, *making],
        "water_on_site_l": [*servers, "wue_l_per_kwh"],
        "water_off_site_l": [*facility, "grid_wue_l_per_kwh"],
        "water_l": [*facility, "wue_l_per_kwh", "grid_wue_l_per_kwh"],
        "cost_usd": [*time, "usd_per_accelerator_hour"] if "usd_per_accelerator_hour" in inputs else price,
        "energy_cost_usd": price,
        **{f"throughput.{name}": time for name in ("step_time_s", "tokens_per_s", "achieved_peak_fraction")},
        "throughput.goodput": [*time, f"{EVALUATION}_s"],
    }


def _account(inputs: Mapping[str, Estimate], ahead: Ahead, notes: tuple[str, ...]) -> Account:
    found = propagate(lambda x: outcome(x, ahead), inputs, drivers=_drivers(inputs))
    out = found.outputs
    names = ("step_time_s", "tokens_per_s", "achieved_peak_fraction", "goodput")
    parts: dict[str, Any] = {f"{name}_kwh": out[f"energy.{name}_kwh"] for name in (*PARTS, *SUMS)}
    return Account(
        duration_s=out["duration_s"],
        accelerator_hours=out["accelerator_hours"],
        throughput=Throughput(**{name: out[f"throughput.{name}"] for name in names}),
        energy=EnergyUse(**parts, left_out=LEFT_OUT),
        carbon=Carbon(**{name: out[f"carbon.{name}"] for name in Carbon.__dataclass_fields__}),
        water_l=out["water_l"],
        water_on_site_l=out["water_on_site_l"],
        water_off_site_l=out["water_off_site_l"],
        cost_usd=out["cost_usd"],
        energy_cost_usd=out["energy_cost_usd"],
        development=None,
        uncertainty={path: parts for path, parts in found.shares.items() if parts},
        data_version=DATA_VERSION,
        notes=tuple(dict.fromkeys(notes)),
    )


__all__ = ["START", "STEP", "Foretold", "foretold", "outcome", "stage_times_s"]
