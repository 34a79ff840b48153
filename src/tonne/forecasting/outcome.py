"""The one place where the order of the stages is written: time, then energy, then what it means."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.energy import power
from tonne.estimate import Number
from tonne.impact import equations as impact
from tonne.impact.results import Values, impact_of, of_known
from tonne.timing import goodput, power_cap, steps
from tonne.units import SECONDS_PER_HOUR


def outcome(x: Mapping[str, Number]) -> Values:
    """Every output of a forecast from its named inputs; None where an input it needs is unknown.

    Args:
        x: Inputs by name, units in the names; floats, or arrays of one shape.

    Returns:
        Outputs by their path in the Account, units in the names.
    """
    time = _time(x)
    energy = _energy(x, time)
    return {**time, **energy, **impact_of(x, time, energy), **_development(x, energy, time)}


def _capped(x: Mapping[str, Number]) -> tuple[Number | None, Number]:
    """Power of one accelerator under its cap, and how much longer its steps take."""
    power_w = x.get("accelerator_power_w")
    if power_w is None or "power_cap_w" not in x:
        return power_w, 1.0
    capped_w = power_cap.smaller(power_w, x["power_cap_w"])
    slower = power_cap.slow_down(power_w, capped_w, x["board_power_limit_w"])
    return capped_w, slower * x["cap_slow_down_error"]


def _goodput(x: Mapping[str, Number]) -> Number:
    """The share of the time that steps take: given, or by failures, people and routine."""
    if "goodput" in x:
        return x["goodput"]
    n, mtbf_h = x["accelerators"], x["accelerator_mtbf_h"]
    best = goodput.best_goodput(n, mtbf_h, x["restart_s"], x["checkpoint_s"])
    met = goodput.failure_met(n, x["run_h"], mtbf_h)
    return goodput.goodput(best, met, x["recovery_share"], x["routine_share"])


def _time(x: Mapping[str, Number]) -> Values:
    accelerators = x.get("accelerators")
    _, slower = _capped(x)
    if "accelerator_hours" in x:
        held_h: Number | None = x["accelerator_hours"]
        wall_s = None if accelerators is None else x["accelerator_hours"] * SECONDS_PER_HOUR / accelerators
        return {"duration_s": wall_s, "accelerator_hours": held_h}
    fraction = x["achieved_peak_fraction"] / slower
    useful_s = steps.useful_time_s(x["training_flop"], accelerators, x["peak_flop_per_s"], fraction)
    share = _goodput(x)
    wall_s = steps.duration_s(useful_s, share, x.get("pace", 1.0))
    return {
        "duration_s": wall_s,
        "accelerator_hours": steps.accelerator_hours(wall_s, accelerators),
        "throughput.tokens_per_s": of_known(lambda tokens: tokens / useful_s, x.get("tokens")),
        "throughput.examples_per_s": of_known(lambda examples: examples / useful_s, x.get("examples")),
        "throughput.step_time_s": of_known(lambda steps_: useful_s / steps_, x.get("steps")),
        "throughput.achieved_peak_fraction": fraction,
        "throughput.goodput": share,
    }


def _energy(x: Mapping[str, Number], time: Values) -> Values:
    held_h = time["accelerator_hours"]
    power_w, _ = _capped(x)
    share, lost = time.get("throughput.goodput", 1.0), x.get("lost_time_power_fraction", 1.0)
    boards = of_known(power.accelerators_kwh, held_h, power_w, share, lost)
    hosts = of_known(power.part_kwh, held_h, x.get("host_power_w"))
    network = of_known(power.part_kwh, held_h, x.get("network_power_w"))
    storage = of_known(power.part_kwh, held_h, x.get("storage_power_w"))
    servers = of_known(lambda a, b: a + b, boards, hosts)
    if "server_power_w" in x:  # TPUs: only whole servers' watts are known
        servers = of_known(power.accelerators_kwh, held_h, x["server_power_w"], share, lost)
    it_kwh = of_known(lambda a, b: a + b, servers, network)
    it_kwh = it_kwh if storage is None else of_known(lambda a: a + storage, it_kwh)
    return {
        "energy.accelerators_kwh": boards,
        "energy.hosts_kwh": hosts,
        "energy.servers_kwh": servers,
        "energy.network_kwh": network,
        "energy.storage_kwh": storage,
        "energy.it_kwh": it_kwh,
        "energy.facility_kwh": of_known(power.facility_kwh, it_kwh, x.get("pue")),
    }


def _development(x: Mapping[str, Number], energy: Values, time: Values) -> Values:
    """The project around the run: the run times its multiplier, never part of the run's own figures."""
    m = x.get("development_multiplier")
    location = of_known(impact.operational_kgco2e, energy["energy.facility_kwh"], x.get("grid_gco2e_per_kwh"))
    times = lambda a, b: a * b  # noqa: E731 - named where it is used twice
    return {
        "development.multiplier": m,
        "development.facility_kwh": of_known(times, energy["energy.facility_kwh"], m),
        "development.operational_location_kgco2e": of_known(times, location, m),
    }
