"""Whole documents packed into sequences of one length, none cut that would fit: best fit by counting.

Best fit decreasing puts the longest piece that is left where the least room remains. Pieces of one length are alike,
so it is done for counts of lengths and not for pieces: as many steps as there are lengths, not as there are documents.
A pack is then told by arithmetic from the plan, in O(1) and without a list of packs.

Source: krell2021packing, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Plan:
    """Packs in groups: those of one group hold pieces of the same lengths.

    Attributes:
        ends: Where each group ends in the row of all packs, of shape (groups,).
        patterns: For each group, (length, rank) of each piece of its first pack: the rank among the pieces of that
        length;
            the next pack of the group has the next ranks.
        order: The pieces by length, those of one length in their own order, of shape (pieces,).
        first: Where the pieces of each length begin in `order`, of shape (capacity + 2,).
    """

    ends: NDArray[np.int64]
    patterns: tuple[tuple[tuple[int, int], ...], ...]
    order: NDArray[np.int64]
    first: NDArray[np.int64]

    @property
    def packs(self) -> int:
        """How many sequences there are."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def pack(self, number: int) -> NDArray[np.int64]:
        """The pieces of a pack."""
        group = int(np.searchsorted(self.ends, number, side="right"))
        within = number - (int(self.ends[group - 1]) if group else 0)
        places = [int(self.first[length]) + rank + within for length, rank in self.patterns[group]]
        return self.order[places]


@dataclass(slots=True)
class _Group:
    """Packs being filled alike: how many, and the pieces of the first of them."""

    packs: int
    pieces: tuple[tuple[int, int], ...]


def best_fit(lengths: NDArray[np.int64], capacity: int) -> Plan:
    """A plan that packs each piece once.

    Args:
        lengths: Of the pieces, 1 to capacity, of shape (pieces,).
        capacity: Tokens that a pack holds.
    """
    counts = np.bincount(lengths, minlength=capacity + 1)
    by_room: list[list[_Group]] = [[] for _ in range(capacity + 1)]
    for length in range(capacity, 0, -1):
        _place(length, int(counts[length]), by_room, capacity)
    groups = [group for room in by_room for group in room]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ends = np.cumsum([group.packs for group in groups], dtype=np.int64)
    patterns = tuple(group.pieces for group in groups)
    # Numbers of 16 bits are sorted by counting, several times faster.
    keys = lengths.astype(np.uint16) if capacity < 2**16 else lengths
    return Plan(ends, patterns, np.argsort(keys, kind="stable"), first)


def _place(length: int, count: int, by_room: list[list[_Group]], capacity: int) -> None:
    """Place `count` pieces of one length: where the least room is left, and where there is none, in new packs."""
    placed = 0
    for room in range(length, capacity):
        while placed < count and by_room[room]:
            placed += _fill(by_room[room].pop(), room, length, (placed, count), by_room)
    while placed < count:
        each = min(capacity // length, count - placed)
        packs = (count - placed) // each
        group = _Group(packs, tuple((length, placed + part * packs) for part in range(each)))
        by_room[capacity - each * length].append(group)
        placed += each * packs


def _fill(group: _Group, room: int, length: int, progress: tuple[int, int], by_room: list[list[_Group]]) -> int:
    """Put one piece, or as many as fit, into each pack of a group; packs that get none stay a group by themselves."""
    placed, count = progress
    left = count - placed
    each = min(room // length, left)  # one pack is filled before the next: it has the least room left
    packs = min(group.packs, left // each)
    if packs < group.packs:
        rest = tuple((known, rank + packs) for known, rank in group.pieces)
        by_room[room].append(_Group(group.packs - packs, rest))
    added = tuple((length, placed + part * packs) for part in range(each))
    by_room[room - each * length].append(_Group(packs, (*group.pieces, *added)))
    return each * packs
