"""From a journal to the Account: parts, shares, place, and what it means. The same type as a forecast's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tonne.account import Account, Carbon, Throughput
from tonne.describe.site import Site
from tonne.energy.power import facility_kwh
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError, MeasurementError, UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate, weakest
from tonne.impact.place import Factors, factors_of, making_of, prices_of
from tonne.impact.results import impact_of, of_known
from tonne.measure.attribution import Shares, job_of, rank_of, whole_of
from tonne.measure.parts import NO_ACCELERATOR, NodeParts, parts_of
from tonne.measure.replay import Measured, NodeUse
from tonne.measure.sites import site_of
from tonne.reference import DATA_VERSION
from tonne.reference.accelerators import accelerator
from tonne.units import JOULES_PER_KWH, SECONDS_PER_HOUR

VIEWS = ("node", "job", "others")
PARTS = ("cpu", "memory", "host_rest")
SUMS = ("accelerators", *PARTS, "hosts", "servers")
LEFT_OUT = ("network", "storage")
CLOCK = "the clock of the machine"

Sharing = Callable[[NodeUse, NodeParts], Shares | None]


@dataclass(slots=True, kw_only=True)
class NodeEnergy:
    """One node's energy [kWh] by part and sum, what sensors read of it, and the hours of its accelerators."""

    kwh: dict[str, Estimate | None]
    measured_kwh: float
    accelerator_hours: float
    devices: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def account_of(measured: Measured, *, site: Any = None, view: str = "node") -> Account:  # noqa: ANN401 - see site_of
    """What a run took.

    Args:
        measured: The run, from its journal.
        site: Where it ran; left out, what its journal says.
        view: "node" for all that its nodes took, "job" for the job's share of it, "others" for the rest.

    Raises:
        DescriptionError: There is no such view, or the site is none.
    """
    if view not in VIEWS:
        raise DescriptionError(f"view={view!r} is none. Use 'node', 'job' or 'others'.")

    def sharing(node: NodeUse, parts: NodeParts) -> Shares:
        if view == "node":
            return whole_of(parts)
        shares = job_of(node, parts)
        return shares if view == "job" else shares.rest()

    return _account(measured, site, sharing)


def share_of(measured: Measured, *, stamp: str, site: Any = None) -> Account:  # noqa: ANN401 - as above
    """One rank's share of its node; the shares of all ranks of a node add up to it.

    Args:
        measured: The run, from its journal.
        stamp: Of the rank.
        site: As of `account_of`.

    Raises:
        MeasurementError: The process was not in this run.
    """
    nodes = [node for node in measured.nodes if any(member.stamp == stamp for member in node.members)]
    if not nodes:
        raise MeasurementError(f"this process ({stamp}) was not in the run {measured.run}, so that it has no share.")
    return _account(measured, site, lambda node, parts: rank_of(node, parts, stamp))


def _account(measured: Measured, site: Any, sharing: Sharing) -> Account:  # noqa: ANN401 - as above
    energies: list[NodeEnergy] = []
    for node in measured.nodes:
        parts = parts_of(node)
        shares = sharing(node, parts)
        if shares is not None:
            energies.append(node_energy(node, parts, shares))
    place = site_of(measured.site if site is None else site)
    lasted_s = max((node.lasted_s for node in measured.nodes), default=0.0)
    return _assembled(energies, place, lasted_s, measured)


def node_energy(node: NodeUse, parts: NodeParts, shares: Shares) -> NodeEnergy:
    """A node's energy by part and sum, of which only the shares are counted."""
    inputs = {f"accelerator {part}": one for part, one in parts.accelerators.items()}
    named = {"cpu": parts.cpu_j, "memory": parts.memory_j, "host_rest": parts.host_rest_j}
    wholes = {"host": parts.host_j, "node": parts.node_j}
    inputs |= {name: one for name, one in {**named, **wholes}.items() if one is not None}

    def sums(values: Mapping[str, float]) -> dict[str, float | None]:
        return _sums_kwh(values, parts, shares)

    rests_on = {**{name: [*inputs] for name in SUMS}, "accelerators": [n for n in inputs if n.startswith("accel")]}
    rests_on |= {name: [name] for name in PARTS}
    if parts.node_j is not None:
        rests_on |= {"servers": ["node"], "host_rest": ["node"]}
    elif parts.host_j is not None:
        rests_on |= {"hosts": ["host"], "host_rest": ["host"], "servers": [*rests_on["accelerators"], "host"]}
    found = propagate(sums, inputs, drivers=rests_on).outputs
    if parts.accelerators_known and not parts.accelerators:
        found["accelerators"] = Estimate.exact(0.0, source=NO_ACCELERATOR)
    hours = node.lasted_s / SECONDS_PER_HOUR
    boards = sum(shares.accelerators[part] * parts.boards.get(part, 1) for part in parts.accelerators)
    return NodeEnergy(
        kwh=found,
        measured_kwh=sum(_share(shares, part) * j for part, j in parts.measured.items()) / JOULES_PER_KWH,
        accelerator_hours=boards * hours,
        devices=tuple(parts.devices[part] for part in parts.accelerators if shares.accelerators[part] > 0),
        notes=[*parts.notes, *shares.notes],
    )


def _sums_kwh(values: Mapping[str, float], parts: NodeParts, shares: Shares) -> dict[str, float | None]:
    """Parts and sums of a node [kWh] from its parts [J]; the rest of a whole is what is not told within it."""
    all_boards_j = sum(values[f"accelerator {part}"] for part in parts.accelerators)
    inside_j = values.get("cpu", 0.0) + values.get("memory", 0.0)
    rest_j = values.get("host_rest")
    if "node" in values:
        rest_j = max(values["node"] - all_boards_j - inside_j, 0.0)
    elif "host" in values:
        rest_j = max(values["host"] - inside_j, 0.0)
    boards_j = sum(values[f"accelerator {part}"] * shares.accelerators[part] for part in parts.accelerators)
    told: dict[str, float | None] = {
        "accelerators": boards_j if parts.accelerators_known else None,
        "cpu": of_known(lambda j: j * shares.cpu, values.get("cpu")),
        "memory": of_known(lambda j: j * shares.memory, values.get("memory")),
        "host_rest": of_known(lambda j: j * shares.host_rest, rest_j),
    }
    hosts_j = of_known(lambda a, b, c: a + b + c, told["cpu"], told["memory"], told["host_rest"])
    told |= {"hosts": hosts_j, "servers": of_known(lambda a, b: a + b, told["accelerators"], hosts_j)}
    return {name: of_known(lambda j: j / JOULES_PER_KWH, j) for name, j in told.items()}


def _share(shares: Shares, part: str) -> float:
    """The share that goes with a part of which sensors read something; of a whole machine, that of its host."""
    if part in shares.accelerators:
        return shares.accelerators[part]
    return {"cpu": shares.cpu, "memory": shares.memory}.get(part, shares.host_rest)


def added(estimates: list[Estimate | None]) -> Estimate | None:
    """The sum of what nodes took, whose errors go the same way; unknown where one is."""
    known = [one for one in estimates if one is not None]
    if len(known) < len(estimates) or not known:
        return None
    sources = tuple(dict.fromkeys(source for one in known for source in one.sources))
    return Estimate(
        value=sum(one.value for one in known),
        low=sum(one.low for one in known),
        high=sum(one.high for one in known),
        basis=weakest(one.basis for one in known),
        sources=sources,
    )


def _assembled(energies: list[NodeEnergy], site: Site, lasted_s: float, measured: Measured) -> Account:
    """All nodes together, and what their energy means at that place."""
    kwh = {name: added([one.kwh.get(name) for one in energies]) for name in SUMS}
    hours = sum(one.accelerator_hours for one in energies)
    devices = {name for one in energies for name in one.devices}
    brought = _factors(site, devices if hours else set())
    inputs = {**brought.factors, "accelerator_hours": Estimate.exact(hours, source=CLOCK)}
    if kwh["servers"] is not None:
        inputs["servers_kwh"] = kwh["servers"]
    found = propagate(_meaning, inputs, drivers=_drivers(inputs))
    out = found.outputs
    measured_kwh = sum(one.measured_kwh for one in energies)
    notes = dict.fromkeys([*measured.notes, *(note for one in energies for note in one.notes), *brought.notes])
    return Account(
        duration_s=Estimate.exact(lasted_s, source=CLOCK),
        accelerator_hours=Estimate.exact(hours, source=CLOCK),
        throughput=throughput_of(measured),
        energy=EnergyUse(
            **{f"{name}_kwh": kwh[name] for name in SUMS},
            it_kwh=out["it_kwh"],
            facility_kwh=out["facility_kwh"],
            measured_kwh=Estimate.exact(measured_kwh, source="sensors"),
            coverage=_coverage(measured_kwh, out["it_kwh"]),
            left_out=LEFT_OUT,
        ),
        carbon=Carbon(**{name: out[f"carbon.{name}"] for name in Carbon.__dataclass_fields__}),
        water_l=out["water_l"],
        water_on_site_l=out["water_on_site_l"],
        water_off_site_l=out["water_off_site_l"],
        cost_usd=out["cost_usd"],
        energy_cost_usd=out["energy_cost_usd"],
        development=None,
        uncertainty={path: parts for path, parts in found.shares.items() if parts},
        data_version=DATA_VERSION,
        notes=tuple(notes),
    )


def _meaning(x: Mapping[str, float]) -> dict[str, float | None]:
    """Energy at the building's meter, and CO2e, water and money."""
    it_kwh = x.get("servers_kwh")
    energy = {"energy.it_kwh": it_kwh, "energy.facility_kwh": of_known(facility_kwh, it_kwh, x.get("pue"))}
    held_h = x["accelerator_hours"] or None  # nobody rents no accelerators
    means = impact_of(x, {"accelerator_hours": held_h}, energy)
    return {"it_kwh": it_kwh, "facility_kwh": energy["energy.facility_kwh"], **means}


def _drivers(inputs: Mapping[str, Estimate]) -> dict[str, list[str]]:
    """What each output rests on, for its basis and its sources."""
    energy = ["servers_kwh", "pue"]
    making = ["embodied_card_kgco2e", "embodied_host_kgco2e", "lifetime_years", "lifetime_use"]
    rent = ["usd_per_accelerator_hour", "accelerator_hours"]
    price = [*energy, "usd_per_kwh"]
    return {
        "it_kwh": ["servers_kwh"],
        "facility_kwh": energy,
        "carbon.operational_location_kgco2e": [*energy, "grid_gco2e_per_kwh"],
        "carbon.operational_market_kgco2e": [*energy, "market_gco2e_per_kwh"],
        "carbon.embodied_kgco2e": ["accelerator_hours", *making],
        "water_on_site_l": ["servers_kwh", "wue_l_per_kwh"],
        "water_off_site_l": [*energy, "grid_wue_l_per_kwh"],
        "water_l": [*energy, "wue_l_per_kwh", "grid_wue_l_per_kwh"],
        "cost_usd": rent if "usd_per_accelerator_hour" in inputs else price,
        "energy_cost_usd": price,
    }


def _factors(site: Site, devices: set[str]) -> Factors:
    """What the place brings, and the making and rent of the accelerators where all are of one known kind."""
    found = factors_of(site)
    ids: set[str] = set()
    for name in devices:
        try:
            ids.add(accelerator(name).record.id)
        except UnknownReferenceError:
            found.notes.append(f"the accelerator {name!r} is not in the tables: its making and its rent are unknown.")
    one = next(iter(ids)) if len(ids) == 1 else None
    extra = [prices_of(site, one)] if one is not None or site.usd_per_kwh is not None else []
    extra += [making_of(one)] if one is not None else []
    for brought in extra:
        found.factors.update(brought.factors)
        found.notes += brought.notes
    return found


def _coverage(measured_kwh: float, it_kwh: Estimate | None) -> float | None:
    """Share of the energy that sensors read."""
    if it_kwh is None or it_kwh.value <= 0:
        return None
    return min(float(measured_kwh / it_kwh.value), 1.0)


def throughput_of(measured: Measured) -> Throughput:
    """Speed of training, from the steps and tokens that were told."""
    told = [line for line in measured.progress if line.get("t")]
    if len(told) < 2:
        return Throughput()
    first, last = told[0], told[-1]
    seconds, steps = (last["t"] - first["t"]) / 1e9, last["step"] - first["step"]
    if seconds <= 0 or steps <= 0:
        return Throughput()
    tokens = last.get("tokens", 0) - first.get("tokens", 0)
    told_by = "steps that the program told"
    return Throughput(
        step_time_s=Estimate.exact(seconds / steps, Basis.MEASURED, told_by),
        tokens_per_s=Estimate.exact(tokens / seconds, Basis.MEASURED, told_by) if tokens > 0 else None,
    )
