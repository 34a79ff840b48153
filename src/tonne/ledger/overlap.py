"""Runs that went on side by side on one machine: each counts all that it drew, and a sum counts that several times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tonne.ledger.records import FORECAST, Run

LEAST_SHARE = 0.01  # of the shorter run, that two must have in common
FEW = 3  # runs that a note names
NOTE = (
    "{runs} runs went on side by side on one machine ({names}): each counts all that the machine drew, so that a sum "
    "counts it more than once. A run's own share: `tonne runs show ID --view job`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """When a run was on which machines, and what it counts of them."""

    id: str
    begun_unix_s: float
    ended_unix_s: float
    machines: frozenset[str] = frozenset()
    amounts: Mapping[str, float] = field(default_factory=dict)

    @property
    def lasted_s(self) -> float:
        """From its begin to its end."""
        return self.ended_unix_s - self.begun_unix_s


def machines_of(stamps: Iterable[str]) -> frozenset[str]:
    """The boots of machines that the stamps of a run's processes begin with."""
    return frozenset(stamp.partition("-")[0] for stamp in stamps)


def together(stays: Iterable[Stay]) -> tuple[Stay, ...]:
    """Those that went on while another one did, wherever they were, in the order of their begin."""
    found: dict[str, Stay] = {}
    ordered = sorted(stays, key=lambda stay: stay.begun_unix_s)
    for longest, stay in _beside(ordered):
        found |= {longest.id: longest, stay.id: stay}
    return tuple(sorted(found.values(), key=lambda stay: stay.begun_unix_s))


def _beside(ordered: Sequence[Stay]) -> Iterable[tuple[Stay, Stay]]:
    """Each that began before another had ended, with the one of those before it that ended last."""
    for longest, stay in zip(_last_to_end(ordered), ordered[1:], strict=False):
        common_s = min(longest.ended_unix_s, stay.ended_unix_s) - stay.begun_unix_s
        if common_s > LEAST_SHARE * min(longest.lasted_s, stay.lasted_s):
            yield longest, stay


def _last_to_end(ordered: Sequence[Stay]) -> Iterable[Stay]:
    longest = None
    for stay in ordered:
        longest = stay if longest is None or stay.ended_unix_s > longest.ended_unix_s else longest
        yield longest


def on_machines(stays: Iterable[Stay]) -> dict[str, list[Stay]]:
    """Machine -> the stays on it that others went on beside; machines that were never shared are left out."""
    on: dict[str, list[Stay]] = {}
    for stay in stays:
        for machine in stay.machines:
            on.setdefault(machine, []).append(stay)
    shared = {machine: list(together(of_it)) for machine, of_it in on.items()}
    return {machine: of_it for machine, of_it in shared.items() if of_it}


def counted_again(stays: Iterable[Stay]) -> dict[str, float]:
    """What a sum over runs holds more than once, by quantity.

    Equation: A = sum over machines and stretches of (k - 1) r t, with k = runs that went on in the stretch, t = its
    length, r = rate of the shortest of them, which knows best what the machine drew then; its amount over its time and
    its machines. Never more than all but the largest of the runs.

    Valid for: runs that drew evenly, and machines of a run that drew alike.
    """
    shared = on_machines(stays)
    found: dict[str, float] = {}
    for of_it in shared.values():
        for quantity, amount in _again_on_one(of_it).items():
            found[quantity] = found.get(quantity, 0.0) + amount
    all_of_them = {stay.id: stay for of_it in shared.values() for stay in of_it}.values()
    for quantity, amount in found.items():
        each = [stay.amounts[quantity] for stay in all_of_them if quantity in stay.amounts]
        found[quantity] = min(amount, sum(each) - max(each))
    return found


def _again_on_one(stays: Sequence[Stay]) -> dict[str, float]:
    found: dict[str, float] = {}
    times = sorted({time for stay in stays for time in (stay.begun_unix_s, stay.ended_unix_s)})
    waiting, going = sorted(stays, key=lambda stay: -stay.begun_unix_s), list[Stay]()
    for begin, end in pairwise(times):
        going = [stay for stay in going if stay.ended_unix_s > begin]
        while waiting and waiting[-1].begun_unix_s <= begin:
            going.append(waiting.pop())
        for quantity in {name for stay in going for name in stay.amounts}:
            knowing = [stay for stay in going if quantity in stay.amounts and stay.lasted_s > 0.0]
            if len(knowing) > 1:
                best = min(knowing, key=lambda stay: stay.lasted_s)
                rate = best.amounts[quantity] / best.lasted_s / len(best.machines)
                found[quantity] = found.get(quantity, 0.0) + (len(knowing) - 1) * rate * (end - begin)
    return found


def side_by_side(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs that were measured on a machine while another of them was, too, in the order of their begin."""
    by_id = {run.id: run for run in runs if run.kind != FORECAST and run.ended_unix_s is not None}
    stays = [
        Stay(
            id=run.id,
            begun_unix_s=run.begun_unix_s,
            ended_unix_s=run.begun_unix_s if run.ended_unix_s is None else run.ended_unix_s,
            machines=machines_of(run.evidence.journal_stamps),
        )
        for run in by_id.values()
    ]
    found = {stay.id for of_it in on_machines(stays).values() for stay in of_it}
    return tuple(sorted((by_id[id] for id in found), key=lambda run: (run.begun_unix_s, run.id)))


def overlap_notes(runs: Iterable[Run]) -> tuple[str, ...]:
    """The note on them, where there are any."""
    found = side_by_side(runs)
    return (NOTE.format(runs=len(found), names=named(found)),) if found else ()


def named(runs: Sequence[Run]) -> str:
    """The first of some runs by their ids."""
    return ", ".join(run.id for run in runs[:FEW]) + (", ..." if len(runs) > FEW else "")
