"""The steps of a run as its processes told them: of processes side by side one, of one after the other all."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from tonne.measure.journal import Line
from tonne.measure.members import Member
from tonne.measure.stretches import NodeReadings, energies_j, merged

NS_PER_S = 1e9


def steps_told(members: list[Member]) -> tuple[Line, ...]:
    """Lines about steps in their order, each with the time of the run so far [s] and the energy so far [J], if known.

    Where a run goes on after it was cut off, its steps go on from where it was saved: those beyond, which were lost,
    are left out.

    Args:
        members: The processes of the run.
    """
    found: list[Line] = []
    before_j = 0.0
    clock = _Clock(members)
    telling = _one_after_the_other(members)
    for member in telling:
        last_j = 0.0
        lines = sorted(member.progress, key=lambda line: int(line["t"]))
        found = [line for line in found if line["step"] < lines[0]["step"]]
        for line in lines:
            told = {**line, "s": clock.so_far_s(member, int(line["t"]))}
            if line.get("j") is not None:
                before_j += last_j if line["j"] < last_j else 0.0  # measuring was stopped and began again
                last_j = float(line["j"])
                told["j"] = before_j + last_j
            found.append(told)
        before_j += last_j
    return _with_energy(found, telling[0], members) if len(telling) == 1 else tuple(found)


class _Clock:
    """The time of a run that stretches of its processes make up: what lies between them is nobody's."""

    def __init__(self, members: list[Member]) -> None:
        self._of_node: dict[str, Member] = {}  # whose header tells its time: clocks jump, the monotonic one does not
        for member in members:
            self._of_node.setdefault(member.header["node"], member)
        stretches = merged([(self._ns(m, begin), self._ns(m, end)) for begin, end in m.stretches] for m in members)
        self._begins, self._lasted = [b for b, _ in stretches], [end - begin for begin, end in stretches]
        self._before = list(accumulate(self._lasted, initial=0))

    def _ns(self, member: Member, time_ns: int) -> int:
        header = self._of_node[member.header["node"]].header
        return time_ns - int(header["t"]) + int(header["unix_s"] * NS_PER_S)

    def so_far_s(self, member: Member, time_ns: int) -> float:
        """Time of the run up to a time of a process [s]."""
        at_ns = self._ns(member, time_ns)
        i = bisect_right(self._begins, at_ns) - 1
        return (self._before[i] + min(at_ns - self._begins[i], self._lasted[i])) / NS_PER_S if i >= 0 else 0.0


def _with_energy(told: list[Line], teller: Member, members: list[Member]) -> tuple[Line, ...]:
    """The lines of a process that does not read, with what the one that does had read by then, as `tonne run` does."""
    readers = [m for m in members if m.sections and m.header["node"] == teller.header["node"]]
    if len(readers) != 1 or len(readers[0].stretches) != 1 or any(line.get("j") is not None for line in told):
        return tuple(told)
    energies = energies_j(NodeReadings.of(readers), [int(line["t"]) for line in told])
    return tuple(told if energies is None else ({**line, "j": j} for line, j in zip(told, energies, strict=True)))


def _one_after_the_other(members: list[Member]) -> list[Member]:
    """Processes that told steps, none beside another: of those that did at once the one whose readings go with them."""
    chosen: list[Member] = []
    for member in sorted((m for m in members if m.progress), key=_worth, reverse=True):
        begin, end = _told_between(member)
        if all(end <= _told_between(other)[0] or _told_between(other)[1] <= begin for other in chosen):
            chosen.append(member)
    return sorted(chosen, key=_told_between)


def _worth(member: Member) -> tuple[int, int]:
    return sum(line.get("j") is not None for line in member.progress), len(member.progress)


def _told_between(member: Member) -> tuple[float, float]:
    """First and last time at which a process told a step, by the clock of its header [s]."""
    times = [member.unix_s(int(line["t"])) for line in member.progress]
    return min(times), max(times)
