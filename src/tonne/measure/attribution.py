"""Whose energy it is: the job's share of each part of a node, and each rank's.

Accelerators belong to who may see them. Of a processor's energy the dynamic part goes by CPU time; the idle part goes
by the cores that the job is bound to, or by CPU time too where it is bound to none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tonne.measure.members import Member
from tonne.measure.models.cpu import curve
from tonne.measure.models.load import Load
from tonne.measure.replay import NodeUse
from tonne.measure.sensors.protocol import ACCELERATOR, CPU
from tonne.measure.visible import CUDA, is_visible
from tonne.reference.measuring import measuring_constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of a node's parts, 0 to 1; all of them where nothing is said."""

    accelerators: Mapping[str, float] = field(default_factory=dict)  # by part
    cpu: float = 1.0
    memory: float = 1.0
    host_rest: float = 1.0
    notes: tuple[str, ...] = ()

    def rest(self) -> Shares:
        """What these shares leave."""
        left = {part: 1.0 - share for part, share in self.accelerators.items()}
        return Shares(accelerators=left, cpu=1.0 - self.cpu, memory=1.0 - self.memory, host_rest=1.0 - self.host_rest)


def job_of(node: NodeUse, boards: Collection[str]) -> Shares:
    """The job's shares of a node."""
    by_device = {part: _job_board(node, part) for part in boards}
    job_cpu_s = _job_cpu_s(node.members)
    notes: tuple[str, ...] = ()
    if not node.busy_cpu_s:
        dynamic = 1.0
        notes = ("CPU time of the other processes is not known: processors and memory are counted as this job's.",)
    else:
        dynamic = min(job_cpu_s / node.busy_cpu_s, 1.0)
    bound = _bound_share(node)
    idle = dynamic if bound is None else bound
    idle_share = _idle_by_baseline(node)
    idle_share = idle_part(node.load) if idle_share is None else idle_share
    cpu = idle * idle_share + dynamic * (1.0 - idle_share)
    rest = sum(by_device.values()) / len(by_device) if by_device else idle
    memory = _limited_memory(node)
    return Shares(
        accelerators=by_device, cpu=cpu, memory=idle if memory is None else memory, host_rest=rest, notes=notes
    )


def visible_of(node: NodeUse, boards: Collection[str]) -> Shares:
    """All of a node, but of its accelerators those alone that the job's processes may see."""
    held = {part: _held_slices(node.members, part, node) for part in boards if slices_of(part, node)}
    seen = {part: float(any(sees(member, part, node) for member in node.members)) for part in boards}
    return Shares(accelerators={**seen, **held})


def _job_cpu_s(members: Iterable[Member]) -> float:
    """CPU time of the job [s]: of all in its control group where that is a scheduler's, else of its process trees."""
    own: dict[str, float] = {}
    group: dict[str, float] = {}
    for member in topmost(members):
        told = member.header.get("group") or {"id": "", "is_job": False}
        id_ = str(told["id"]) if told["is_job"] else ""
        own[id_] = own.get(id_, 0.0) + member.cpu_s
        group[id_] = max(group.get(id_, 0.0), member.group_s)
    return sum(max(own[id_], group[id_]) for id_ in own)


def _limited_memory(node: NodeUse) -> float | None:
    """Share of the node's memory that its control groups let the job hold; None where one has no limit."""
    limits: dict[str, int] = {}
    for member in topmost(node.members):
        group = member.header.get("group") or {}
        if not group.get("memory_bytes"):
            return None
        limits[group["id"]] = int(group["memory_bytes"])
    whole_bytes = node.facts.memory_bytes
    return sum(limits.values()) / whole_bytes if 0 < sum(limits.values()) < whole_bytes else None


def idle_part(load: Load | None) -> float:
    """Share of a processor's energy that it would have drawn idle.

    Equation: i = a / (a + b s(u)), with s from the curve of the processor's power, u = busy share of its threads.

    Source: codecarbon, load sweeps of four machines.
    """
    idle, rise = (measuring_constant(f"cpu_{name}_fraction").value for name in ("idle", "range"))
    curvature = measuring_constant("cpu_curvature").value
    if load is None:
        return float(idle / (idle + rise * curve(measuring_constant("host_utilisation").value, curvature)))
    mean = sum(curve(share, curvature) * time_s for time_s, share in load.shares()) / load.time_s
    return float(idle / (idle + rise * mean))


def _idle_by_baseline(node: NodeUse) -> float | None:
    """As `idle_part`, from what the processors' sensors read of the idle machine; None where they did not."""
    pairs = [(node.baseline_w.get(u.of.name), u.total.energy_j) for u in node.sensors if u.of.part == CPU]
    known = [(watts, energy_j) for watts, energy_j in pairs if watts is not None and energy_j]
    if not known or len(known) < len(pairs):
        return None
    return min(sum(w for w, _ in known) * node.lasted_s / sum(j for _, j in known), 1.0)


def topmost(members: Iterable[Member]) -> list[Member]:
    """Processes that no other process of the run is above: the CPU time of a tree holds that of its branches."""
    members = list(members)
    known = [member.identity for member in members]
    return [member for member in members if not any(one in known for one in member.header["process"]["parents"])]


def ranks_of(node: NodeUse) -> list[Member]:
    """The processes that do the run's work; where only a watcher is known, it stands for them."""
    return [member for member in node.members if member.is_rank] or list(node.members)


def rank_of(node: NodeUse, boards: Collection[str], stamp: str) -> Shares | None:
    """A rank's shares of a node; those of all ranks add up to it. None where the rank is not of this node."""
    ranks = ranks_of(node)
    if not any(rank.stamp == stamp for rank in ranks):
        return None
    own_s = {rank.stamp: own_cpu_s(rank, ranks) for rank in ranks}
    all_s, even = sum(own_s.values()), 1.0 / len(ranks)
    by_cpu = own_s[stamp] / all_s if all_s > 0 else even
    by_device: dict[str, float] = {}
    for part in boards:
        held = {rank.stamp: held_part(rank, part, node) for rank in ranks}
        by_device[part] = held[stamp] / sum(held.values()) if any(held.values()) else even
        times_s = {rank.stamp: board_s(node, part, rank.pids) for rank in ranks}
        if sum(times_s.values()) > 0 and not _tell_the_same(ranks) and not slices_of(part, node):
            by_device[part] = times_s[stamp] / sum(times_s.values())
    return Shares(accelerators=by_device, cpu=by_cpu, memory=even, host_rest=even)


def _job_board(node: NodeUse, part: str) -> float:
    """The job's share of an accelerator: of its time, where the driver told whose it was, else all that it may see."""
    if slices_of(part, node):
        return _held_slices(node.members, part, node)
    seen = _seen_part(node.members, part, node)
    pids = frozenset(pid for member in node.members for pid in member.pids)
    whole_s = board_s(node, part, None)
    return board_s(node, part, pids) / whole_s if pids and whole_s > 0 else seen


def slices_of(part: str, node: NodeUse) -> Mapping[str, float]:
    """Id of each slice (MIG) of an accelerator and its share of it; empty where it is not sliced."""
    names = [use.of.name for use in node.sensors if part in use.of.covers]
    return next((node.slices[name] for name in names if name in node.slices), {})


def held_part(member: Member, part: str, node: NodeUse) -> float:
    """As much of an accelerator as a process may use, of 1: all of it, or the slices that it names."""
    return _held_slices([member], part, node) if slices_of(part, node) else _seen_part([member], part, node)


def _seen_part(members: Iterable[Member], part: str, node: NodeUse) -> float:
    """As much of a package as any of some processes may use: of its dies or partitions, those that one of them sees."""
    covers = next((use.of.covers for use in node.sensors if part in use.of.covers), (part,))
    devices = [one for one in covers if one.startswith(ACCELERATOR)]
    return sum(any(sees(member, one, node) for member in members) for one in devices) / len(devices)


def _held_slices(members: Iterable[Member], part: str, node: NodeUse) -> float:
    """The slices of an accelerator that any of some processes may use; one that names none, all that are shown."""
    slices = slices_of(part, node)
    held: set[str] = set()
    for member in members:
        words = [word.strip() for word in str(member.header.get("devices") or "").split(",")]
        named = {uuid for uuid in slices for word in words if word.startswith("MIG-") and uuid.startswith(word)}
        if named or any(word.startswith("MIG-") for word in words):
            held |= named
        elif sees(member, part, node):
            held |= set(slices)
    return min(sum(slices[uuid] for uuid in held), 1.0)


def board_s(node: NodeUse, part: str, pids: frozenset[int] | None) -> float:
    """Time of an accelerator that some processes took [s]; None for all of them."""
    sensors = [use.of.name for use in node.sensors if part in use.of.covers]
    return sum(
        time_s
        for sensor in sensors
        for pid, time_s in node.board_s.get(sensor, {}).items()
        if pids is None or pid in pids
    )


def _tell_the_same(ranks: list[Member]) -> bool:
    """Whether two ranks claim one process, as a parent and its child do; then its time is not told apart."""
    return sum(len(rank.pids) for rank in ranks) > len(frozenset(pid for rank in ranks for pid in rank.pids))


def own_cpu_s(rank: Member, ranks: list[Member]) -> float:
    """CPU time of a rank without that of ranks that it started [s]."""
    below = [other for other in ranks if rank.identity in other.header["process"]["parents"]]
    nearest = [one for one in below if not any(o.identity in one.header["process"]["parents"] for o in below)]
    return max(rank.cpu_s - sum(one.cpu_s for one in nearest), 0.0)


def sees(member: Member, part: str, node: NodeUse) -> bool:
    """Whether a process may use an accelerator, as its variables for devices say; without one, all."""
    told, boards = member.header.get("visible"), [use.of for use in node.sensors]
    if told is None:  # a journal from before the variables' names were kept
        devices = member.header.get("devices")
        told = {} if devices is None else {CUDA: str(devices)}
    return is_visible(part, boards, told)


def _bound_share(node: NodeUse) -> float | None:
    """Share of the node's CPUs that the job is bound to; None where it may run on all of them."""
    cpus = max(int(member.header.get("cpus") or 1) for member in node.members)
    groups: dict[str, list[Member]] = {}
    for member in topmost(node.members):
        groups.setdefault(str((member.header.get("group") or {}).get("id", "")), []).append(member)
    bound = sum(_bound_cpus(members, cpus) for members in groups.values())
    return None if bound >= cpus else bound / cpus


def _bound_cpus(members: list[Member], cpus: int) -> float:
    """CPUs that processes of one control group may use together: those they are bound to, no more than it may take."""
    rows = [member.header.get("cpu_list") for member in members]
    if all(rows):
        ends = [list(zip(row[::2], row[1::2], strict=True)) for row in rows if row]
        allowed = len({cpu for row in ends for first, last in row for cpu in range(first, last + 1)})
    else:
        allowed = sum(int(member.header.get("cpus_allowed") or cpus) for member in members)
    quota = (members[0].header.get("group") or {}).get("cpus")
    return min(allowed, cpus if quota is None else quota)
