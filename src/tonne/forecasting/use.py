"""The order of the stages for use: time of a request, then its energy, then what it means; and when use overtakes."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.energy import inference as serving_energy
from tonne.energy import power
from tonne.estimate import Number
from tonne.forecasting.outcome import outcome
from tonne.forecasting.serving import serving_joule, times_of
from tonne.impact.results import Values, impact_of, of_known
from tonne.timing import steps

ENERGY, LOCATION = "energy.facility_kwh", "carbon.operational_location_kgco2e"
EMBODIED = "carbon.embodied_kgco2e"


def request_outcome(x: Mapping[str, Number]) -> Values:
    """Every output of one request from its named inputs; None where an input it needs is unknown.

    Args:
        x: Inputs by name, units in the names.

    Returns:
        Outputs by their path in an Account, and prefill_s, time_per_output_token_s and replica_s (waiting included).
    """
    times = times_of(x)
    idle_s = serving_energy.waiting_s(times["replica_s"], x["busy_fraction"])
    held_h = steps.accelerator_hours(times["replica_s"] + idle_s, x["replica_accelerators"])
    energy = _energy(x, times, idle_s, held_h)
    return {
        "prefill_s": times["prefill_s"],
        "time_per_output_token_s": times["decode_step_s"] if x["decode_steps"] else None,
        "replica_s": times["replica_s"] + idle_s,
        "throughput.tokens_per_s": x["tokens_per_request"] / times["replica_s"],
        "accelerator_hours": held_h,
        **energy,
        **impact_of(x, {"accelerator_hours": held_h}, energy),
    }


def use_outcome(x: Mapping[str, Number], serving_names: Mapping[str, str], *, trains: bool) -> Values:
    """One request, and where a training run is among the inputs, the requests that take as much as it did.

    Args:
        x: Inputs of both by key. What both rest on, such as PUE and the grid, is one input and cancels in the ratio.
        serving_names: Name of an input of the serving side -> its key in x.
        trains: Whether x holds a training run.

    Returns:
        Outputs of a request, and ``overtakes.energy_requests`` and ``overtakes.carbon_requests``.
    """
    request = request_outcome({name: x[key] for name, key in serving_names.items()})
    if not trains:
        return request
    training = outcome(x)
    return request | {
        "overtakes.energy_requests": of_known(_over, training[ENERGY], request[ENERGY]),
        "overtakes.carbon_requests": of_known(_over, _carbon(training, request), _carbon(request, training)),
    }


def _over(a: Number, b: Number) -> Number:
    return a / b


def _carbon(values: Values, other: Values) -> Number | None:
    """Operational and embodied emissions together, or operational alone where either side's making is unknown."""
    operational, embodied = values[LOCATION], values[EMBODIED]
    if operational is None or embodied is None or other[EMBODIED] is None:
        return operational
    return operational + embodied


def _energy(x: Mapping[str, Number], times: Mapping[str, Number], idle_s: Number, held_h: Number) -> Values:
    """Energy of one request by part."""
    boards = _boards_kwh(x, times, idle_s, x.get("accelerator_power_w"))
    hosts = of_known(power.part_kwh, held_h, x.get("host_power_w"))
    servers = of_known(lambda a, b: a + b, boards, hosts)
    if "server_power_w" in x:  # TPUs: only whole servers' watts are known
        servers = _boards_kwh(x, times, idle_s, x["server_power_w"])
    network = of_known(power.part_kwh, held_h, x.get("network_power_w"))
    storage = of_known(power.part_kwh, held_h, x.get("storage_power_w"))
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


def _boards_kwh(
    x: Mapping[str, Number], times: Mapping[str, Number], idle_s: Number, full_w: Number | None
) -> Number | None:
    """Energy of what draws ``full_w`` while training: arithmetic, memory and waiting each at their own power."""
    if full_w is None:
        return None
    idle_w = x["idle_power_fraction"] * full_w
    joule = serving_joule(x, times, idle_w, full_w)
    return serving_energy.boards_kwh(x["replica_accelerators"], joule, idle_w, idle_s)
