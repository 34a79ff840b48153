"""The steps of a run as its processes told them: of processes side by side one, of one after the other all."""

from __future__ import annotations

from tonne.measure.journal import Line
from tonne.measure.members import Member

NS_PER_S = 1e9


def steps_told(members: list[Member]) -> tuple[Line, ...]:
    """Lines about steps in their order, each with the time of the run so far [s] and the energy so far [J], if told.

    Where a run goes on after it was cut off, its steps go on from where it was saved: those beyond, which were lost,
    are left out.

    Args:
        members: The processes of the run.
    """
    found: list[Line] = []
    before_s = before_j = 0.0
    for member in _one_after_the_other(members):
        last_j = 0.0
        begun_ns = member.stretches[0][0] if member.stretches else int(member.header["t"])
        lines = sorted(member.progress, key=lambda line: int(line["t"]))
        found = [line for line in found if line["step"] < lines[0]["step"]]
        for line in lines:
            told = {**line, "s": before_s + (line["t"] - begun_ns) / NS_PER_S}
            if line.get("j") is not None:
                before_j += last_j if line["j"] < last_j else 0.0  # measuring was stopped and began again
                last_j = float(line["j"])
                told["j"] = before_j + last_j
            found.append(told)
        before_s += sum(end - begin for begin, end in member.stretches) / NS_PER_S
        before_j += last_j
    return tuple(found)


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
