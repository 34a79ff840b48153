"""From a journal to the Account: parts, shares, place, and what it means. The same type as a forecast's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tonne.account import Account, Carbon, Throughput
from tonne.energy.power import facility_kwh
from tonne.energy.use import EnergyUse
from tonne.errors import DescriptionError, MeasurementError, TonneError, UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate, weakest
from tonne.impact.place import Factors, factors_of, making_of, nowhere, prices_of
from tonne.impact.results import impact_of, of_known
from tonne.measure.attribution import Shares, job_of, rank_of, visible_of
from tonne.measure.choice import Part, Read, accelerators_in, device_of, parts_of, silent_accelerators
from tonne.measure.hourly import use_hours
from tonne.measure.parts import JOULES_PER_KWH, Node, node_energy
from tonne.measure.replay import Measured, NodeUse
from tonne.measure.sensors.protocol import ACCELERATOR, OWN_METERS, Missing
from tonne.measure.sites import site_of
from tonne.reference import DATA_VERSION
from tonne.reference.accelerators import accelerator
from tonne.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from tonne.describe.site import Site

VIEWS = ("node", "job", "others")
PARTS = ("accelerators_kwh", "cpu_kwh", "memory_kwh", "host_rest_kwh")
SUMS = (*PARTS, "hosts_kwh", "servers_kwh", "measured_kwh")
LEFT_OUT = ("network", "storage")
CLOCK = "the clock of the machine"
WORTH_A_NOTE = 0.001  # of the time without a reading
NOT_LOOKED_FOR = "the run was over before its sensors were open: what accelerators drew is unknown, and so is the total"

Sharing = Callable[[NodeUse, Collection[str]], Shares | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedUse:
    """What is counted of one node: its energy, and the hours of its accelerators."""

    energy: EnergyUse
    accelerator_hours: float
    devices: tuple[str, ...]
    notes: tuple[str, ...]


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

    def sharing(node: NodeUse, boards: Collection[str]) -> Shares:
        if view == "node":
            return Shares()
        shares = job_of(node, boards)
        return shares if view == "job" else shares.rest()

    return _account(measured, site, sharing)


def placed(measured: Measured, site: Any) -> Measured:  # noqa: ANN401 - see site_of
    """A run at the place that its program gave; where that is none, without one and with a note: its energy is good.

    Args:
        measured: The run, from its journal.
        site: As of `account_of`.
    """
    given = measured.site if site is None else site
    try:
        return replace(measured, site=site_of(given))
    except TonneError as error:
        note = f"its place {given!r} is unknown, and so is its CO2e: {error}"
        return replace(measured, site=None, notes=(*measured.notes, note))


def visible_account(measured: Measured, *, site: Any = None) -> Account:  # noqa: ANN401 - as above
    """What a run took, with no accelerators but those that its processes may see.

    Args:
        measured: The run, from its journal.
        site: As of `account_of`.
    """
    return _account(measured, site, visible_of)


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
    return _account(measured, site, lambda node, boards: rank_of(node, boards, stamp))


def _account(measured: Measured, site: Any, sharing: Sharing) -> Account:  # noqa: ANN401 - as above
    uses: list[SharedUse] = []
    for node in measured.nodes:
        boards = accelerators_in(parts_of(read_of(node))[0])
        shares = sharing(node, [*boards, *_silent(node, boards)])
        if shares is not None:
            uses.append(shared_use(node, boards, shares))
    place = site_of(measured.site if site is None else site)
    return _assembled(uses, place, measured.lasted_s, measured)


def read_of(node: NodeUse) -> list[Read]:
    """A node's sensors and what each added up to."""
    return [(use.of, use.total) for use in node.sensors]


def shared_use(node: NodeUse, boards: dict[str, Part], shares: Shares) -> SharedUse:
    """A node's energy by part, of which only the shares are counted."""
    absent = _absent(node)
    silent = _silent(node, boards)
    seen = Node(
        read=read_of(node),
        facts=node.facts,
        load=node.load,
        time_s=node.lasted_s,
        silent_accelerators=tuple(one.device for one in absent),
    )
    whole, notes = _whole_energy(node, seen)
    names = {part: device_of(seen.read, part) for part in boards} | silent
    held = sum(shares.accelerators.get(part, 1.0) for part in names)  # a package of two dies is one, as in the tables
    advice = tuple(f"{one.part} is not measured: {one.reason}; {one.mend or 'nothing mends it'}" for one in absent)
    return SharedUse(
        energy=_shared(whole, _board_share(boards, silent, shares), shares),
        accelerator_hours=held * node.lasted_s / SECONDS_PER_HOUR,
        devices=tuple(name for part, name in names.items() if shares.accelerators.get(part, 1.0) > 0),
        notes=(*notes, *_meters_note(node), *advice, *reading_notes(node), *shares.notes),
    )


def _absent(node: NodeUse) -> list[Missing]:
    """The accelerators without a sensor, each once, whoever read the node."""
    covered = {part for use in node.sensors for part in use.of.covers}
    by_part = {one.part: one for one in reversed(node.missing) if one.part.startswith(ACCELERATOR)}
    return [one for part, one in reversed(by_part.items()) if part not in covered]


def _silent(node: NodeUse, boards: dict[str, Part]) -> dict[str, str]:
    """The accelerators that nothing measured, and what each is called."""
    return silent_accelerators(read_of(node), boards) | {one.part: one.device for one in _absent(node)}


def _meters_note(node: NodeUse) -> list[str]:
    """That the user's own meters are not in the account, where they cannot be opened."""
    own = [one for one in node.missing if one.part == OWN_METERS]
    return [f"{one.part} are not read: {one.reason}; {one.mend}" for one in own]


def _looked_for(node: NodeUse) -> bool:
    """Whether the node's sensors were opened: each part then has one, or is said to have none."""
    return bool(node.sensors or node.missing)


def _whole_energy(node: NodeUse, seen: Node) -> tuple[EnergyUse, tuple[str, ...]]:
    """A node's energy and notes; unknown where nothing has lasted.

    Where no sensor was opened, nobody knows whether there are accelerators: processor and memory are modelled alone.
    """
    if node.lasted_s <= 0:
        return EnergyUse(), ("nothing has lasted yet",)
    use, notes = node_energy(seen)
    if _looked_for(node):
        return use, notes
    return EnergyUse(cpu_kwh=use.cpu_kwh, memory_kwh=use.memory_kwh), (*notes, NOT_LOOKED_FOR)


def _board_share(boards: Mapping[str, Part], silent: Collection[str], shares: Shares) -> float:
    """Share of the energy of all accelerators; one that nothing measured weighs as much as the others do."""
    weights = {part: one.energy_j.value for part, one in boards.items()}
    mean_j = sum(weights.values()) / len(weights) if any(weights.values()) else 1.0
    weights |= dict.fromkeys(silent, mean_j)
    whole_j = sum(weights.values())
    counted_j = sum(weight * shares.accelerators.get(part, 1.0) for part, weight in weights.items())
    return counted_j / whole_j if whole_j > 0 else shares.host_rest


def _shared(use: EnergyUse, boards: float, shares: Shares) -> EnergyUse:
    """The shares of a node's parts. Sums keep their relative interval; what sensors read goes with the sum."""
    accelerators, cpu = scaled(use.accelerators_kwh, boards), scaled(use.cpu_kwh, shares.cpu)
    memory, rest = scaled(use.memory_kwh, shares.memory), scaled(use.host_rest_kwh, shares.host_rest)
    hosts = _in_proportion(use.hosts_kwh, [use.cpu_kwh, use.memory_kwh, use.host_rest_kwh], [cpu, memory, rest])
    servers = _in_proportion(use.servers_kwh, [use.accelerators_kwh, use.hosts_kwh], [accelerators, hosts])
    return EnergyUse(
        accelerators_kwh=accelerators,
        cpu_kwh=cpu,
        memory_kwh=memory,
        host_rest_kwh=rest,
        hosts_kwh=hosts,
        servers_kwh=servers,
        measured_kwh=_in_proportion(use.measured_kwh, [use.servers_kwh], [servers]),
    )


def _in_proportion(whole: Estimate | None, of: list[Estimate | None], to: list[Estimate | None]) -> Estimate | None:
    """A whole made smaller as its parts were; a part that is not known goes with the others."""
    pairs = [(a.value, b.value) for a, b in zip(of, to, strict=True) if a is not None and b is not None]
    before = sum(a for a, _ in pairs)
    return scaled(whole, sum(b for _, b in pairs) / before if before > 0 else 1.0)


def scaled(estimate: Estimate | None, share: float) -> Estimate | None:
    """A share of an estimate; one that is neither nothing nor all is a model's."""
    if estimate is None or share == 1.0:
        return estimate
    return Estimate(
        value=estimate.value * share,
        low=estimate.low * share,
        high=estimate.high * share,
        basis=weakest([estimate.basis, Basis.MODELLED]),
        sources=estimate.sources,
    )


def reading_notes(node: NodeUse) -> tuple[str, ...]:
    """What sensors did not say, and for how long; what they read before the run."""
    notes = []
    for of, total in read_of(node):
        if total.energy_j is None:
            continue  # a model stands in for it, and a note of the part's says so
        whole_s = total.measured_s + total.gap_s
        if total.gap_s > WORTH_A_NOTE * whole_s:
            why = ", ".join(f"{reason} ({seconds:.1f} s)" for reason, seconds in total.gaps.items())
            notes.append(
                f"{of.name}: {total.gap_s:.1f} s of {whole_s:.1f} s were not read, and are interpolated: {why}"
            )
        faults = sum(total.faults.values())
        if faults:
            across = "its counter holds what went on meanwhile" if of.kind == "counter" else "they are bridged"
            notes.append(f"{of.name}: {faults} readings could not be used (NaN, negative or failed); {across}")
    if node.baseline_w:
        idle_w = sum(node.baseline_w.values())
        idle_kwh = idle_w * node.lasted_s / JOULES_PER_KWH
        notes.append(f"idle, before the run, the sensors read {idle_w:.3g} W: {idle_kwh:.3g} kWh in its time")
    return tuple(notes)


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


def _assembled(uses: list[SharedUse], site: Site | None, lasted_s: float, measured: Measured) -> Account:
    """All nodes together, and what their energy means at that place."""
    kwh = {name: added([getattr(one.energy, name) for one in uses]) for name in SUMS}
    hours = sum(one.accelerator_hours for one in uses)
    brought = _factors(site, {name for one in uses for name in one.devices} if hours else set())
    if measured.header.get("hourly"):
        by_hour = Counter[int]()
        for node in measured.nodes:
            by_hour.update(node.hours)
        use_hours(site, by_hour, brought)
    inputs = {**brought.factors, "accelerator_hours": Estimate.exact(hours, source=CLOCK)}
    if kwh["servers_kwh"] is not None:
        inputs["servers_kwh"] = kwh["servers_kwh"]
    found = propagate(_meaning, inputs, drivers=_drivers(inputs))
    out = found.outputs
    notes = dict.fromkeys([*measured.notes, *(note for one in uses for note in one.notes), *brought.notes])
    return Account(
        duration_s=Estimate.exact(lasted_s, source=CLOCK),
        accelerator_hours=Estimate.exact(hours, source=CLOCK) if all(map(_looked_for, measured.nodes)) else None,
        throughput=throughput_of(measured),
        energy=EnergyUse(
            accelerators_kwh=kwh["accelerators_kwh"],
            cpu_kwh=kwh["cpu_kwh"],
            memory_kwh=kwh["memory_kwh"],
            host_rest_kwh=kwh["host_rest_kwh"],
            hosts_kwh=kwh["hosts_kwh"],
            servers_kwh=kwh["servers_kwh"],
            measured_kwh=kwh["measured_kwh"],
            it_kwh=out["energy.it_kwh"],
            facility_kwh=out["energy.facility_kwh"],
            coverage=_coverage(kwh["measured_kwh"], out["energy.it_kwh"]),
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
    return {**energy, **means}


def _drivers(inputs: Mapping[str, Estimate]) -> dict[str, list[str]]:
    """What each output rests on, for its basis and its sources."""
    energy = ["servers_kwh", "pue"]
    making = ["embodied_card_kgco2e", "embodied_host_kgco2e", "lifetime_years", "lifetime_use"]
    rent = ["usd_per_accelerator_hour", "accelerator_hours"]
    price = [*energy, "usd_per_kwh"]
    return {
        "energy.it_kwh": ["servers_kwh"],
        "energy.facility_kwh": energy,
        "carbon.operational_location_kgco2e": [*energy, "grid_gco2e_per_kwh"],
        "carbon.operational_market_kgco2e": [*energy, "market_gco2e_per_kwh"],
        "carbon.embodied_kgco2e": ["accelerator_hours", *making],
        "water_on_site_l": ["servers_kwh", "wue_l_per_kwh"],
        "water_off_site_l": [*energy, "grid_wue_l_per_kwh"],
        "water_l": [*energy, "wue_l_per_kwh", "grid_wue_l_per_kwh"],
        "cost_usd": rent if "usd_per_accelerator_hour" in inputs else price,
        "energy_cost_usd": price,
    }


def _factors(site: Site | None, devices: set[str]) -> Factors:
    """What the place brings, and the making and rent of the accelerators where all are of one known kind."""
    found = nowhere() if site is None else factors_of(site)
    ids: set[str] = set()
    for name in devices:
        try:
            ids.add(accelerator(name).record.id)
        except UnknownReferenceError:
            ids.add("")
            found.notes.append(f"the accelerator {name!r} is not in the tables: its making and its rent are unknown.")
    one = next(iter(ids)) or None if len(ids) == 1 else None
    has_price = site is not None and site.usd_per_kwh is not None
    extra = [prices_of(site, one)] if one is not None or has_price else []
    extra += [making_of(one)] if one is not None else []
    for brought in extra:
        found.factors.update(brought.factors)
        found.notes += brought.notes
    return found


def _coverage(measured_kwh: Estimate | None, it_kwh: Estimate | None) -> float | None:
    """Share of the energy that sensors read."""
    if measured_kwh is None or it_kwh is None or it_kwh.value <= 0:
        return None
    return min(float(measured_kwh.value / it_kwh.value), 1.0)


def throughput_of(measured: Measured) -> Throughput:
    """Speed of training, from the steps and tokens that were told."""
    if len(measured.progress) < 2:
        return Throughput()
    first, last = measured.progress[0], measured.progress[-1]
    seconds, steps = last["s"] - first["s"], last["step"] - first["step"]
    if seconds <= 0 or steps <= 0:
        return Throughput()
    tokens = last.get("tokens", 0) - first.get("tokens", 0)
    told_by = "steps that the program told"
    return Throughput(
        step_time_s=Estimate.exact(seconds / steps, Basis.MEASURED, told_by),
        tokens_per_s=Estimate.exact(tokens / seconds, Basis.MEASURED, told_by) if tokens > 0 else None,
    )
