"""Which tensor of a checkpoint fills which part of which parameter: one table serves reading and writing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Place:
    """One tensor of a checkpoint, and where it lies in the model.

    ``names``: what the checkpoint calls it; the first is written. A tied tensor has several, and a checkpoint may hold
    any of them. ``ours``: the parameter. ``rows``: its rows, where it holds several of theirs fused (queries, keys
    and values). ``transposed``: theirs is (in, out), as GPT-2's.
    """

    names: tuple[str, ...]
    ours: str
    rows: tuple[int, int] | None = None
    transposed: bool = False

    def of(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The part of the parameter, a view in the shape of the checkpoint's tensor."""
        part = self._part(parameters)
        return part.t() if self.transposed else part

    def put(self, parameters: Mapping[str, torch.Tensor], tensor: torch.Tensor) -> None:
        """Copy the checkpoint's tensor there; in the order of the parameter's memory, which is untouched until then."""
        self._part(parameters).copy_(tensor.t() if self.transposed else tensor)

    def _part(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        whole = parameters[self.ours]
        return whole if self.rows is None else whole[self.rows[0] : self.rows[1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All tensors of one class of transformers.

    ``prefix`` stands before the names of the base model where ``prefixed``; a checkpoint may have it or not, or one of
    ``also``. ``heads``
    start the names of what stands on top in any class of the type. Those of another class are left out, with a word
    in the log, and so are ``of_other_heads``. ``unread`` are what old versions stored beside the weights (masks,
    positions). ``renamed`` are (old, new) parts of names of old checkpoints. ``zero`` are tensors that add nothing as
    long as they are zero, and that the model would misread else.
    """

    places: tuple[Place, ...]
    prefix: str = ""
    heads: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    of_other_heads: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    zero: tuple[str, ...] = ()
    prefixed: bool = True
    also: tuple[str, ...] = ()

    def plain(self, name: str) -> str:
        """A checkpoint's name as ``places`` has it: without the prefix, in today's words."""
        for old, new in self.renamed:
            name = name.replace(old, new)
        prefix = next((prefix for prefix in (self.prefix, *self.also) if name.startswith(prefix)), "")
        return name.removeprefix(prefix)

    def written(self, name: str) -> str:
        """The name to write: with the prefix, unless it is of a head."""
        return self.prefix + name if self.prefixed and not name.startswith(self.heads) else name

    def is_unread(self, name: str) -> bool:
        """Whether nothing reads this tensor."""
        return _fits(name, self.unread)

    def is_of_another_head(self, name: str) -> bool:
        """Whether another class of the type has this tensor."""
        return name.startswith((*self.heads, *self.of_other_heads))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def without_place(places: Iterable[Place], parameters: Mapping[str, torch.Tensor]) -> list[str]:
    """Parameters that the places do not fill to the last number."""
    filled = dict.fromkeys(parameters, 0)
    for place in places:
        if place.ours in filled:
            filled[place.ours] += place.of(parameters).numel()
    return [name for name, tensor in parameters.items() if filled[name] != tensor.numel()]
