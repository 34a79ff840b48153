"""Counting by dispatch: every operator that torch executes passes by here, once, with its tensors."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from tonne.model.ahead import is_ahead
from tonne.model.operations import FORMULAS, Arguments, Work, may_multiply

Pass = Literal["forward", "backward"]


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Executes what it sees, and counts it. `now` says which pass the FLOP belong to."""

    supports_higher_order_operators = True

    def __init__(self, tracker: ModuleTracker | None) -> None:
        """Start from nothing, in the forward pass; `tracker` knows which submodules are running."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: Pass = "forward"
        self.passes: Counter[Pass] = Counter()
        self.operations: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self.repeated = 0
        self.tracker = tracker

    def __torch_dispatch__(  # torch's protocol
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Execute an operator; count it where it has a formula, name it where it may do work without one."""
        given = kwargs or {}
        name = _name(func)
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._higher_order(func, name, args, given)
        if name not in FORMULAS and _is_composite(func):  # inference mode hands these over whole
            with self:
                taken_apart = func.decompose(*args, **given)
            if taken_apart is not NotImplemented:
                return taken_apart
        out = _grouped(args, given) if name == "aten::_grouped_mm" and _is_hollow(args[0]) else func(*args, **given)
        self._count(name, func, args, given, out)
        return out

    def _higher_order(self, func: Any, name: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:  # noqa: ANN401
        if name in FORMULAS:
            named = dict(zip(("query", "key", "value"), args, strict=False))
            self._add(name, FORMULAS[name](named))
        else:
            self.uncounted[name] += 1
        return func(*args, **given)

    def _count(self, name: str, func: Any, args: tuple[Any, ...], given: dict[str, Any], out: Any) -> None:  # noqa: ANN401
        formula = FORMULAS.get(name)
        if formula is not None:
            try:
                work = formula({**_named(func, args, given), "out": out})
            except (RuntimeError, LookupError, ValueError):  # a kind of tensor without plain shapes
                self.uncounted[name] += 1
            else:
                self._add(name, work)
        elif may_multiply(name):
            self.uncounted[name] += 1

    def _add(self, name: str, work: Work) -> None:
        whole = work.flop + work.gradients
        self.passes["backward" if is_ahead() else self.now] += work.flop
        self.passes["backward"] += work.gradients
        self.operations[name] += whole
        self.repeated += work.repeated
        parents = set() if self.tracker is None else self.tracker.parents
        for path in {"", *map(_path, parents)}:
            self.modules[path] += whole


def _name(func: Any) -> str:  # noqa: ANN401 - an operator
    """The qualified name without the overload; an operator that works in place is its plain twin."""
    if isinstance(func, torch._ops.HigherOrderOperator):
        return f"higher_order::{func.__name__}"
    name: str = func.name().partition(".")[0]
    plain = name.rstrip("_")
    return plain if plain in FORMULAS else name


def _is_composite(func: Any) -> bool:  # noqa: ANN401 - an operator
    """Whether torch defines the operator by others."""
    key = "CompositeImplicitAutograd"
    return func.namespace == "aten" and bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key))


def _is_hollow(tensor: Any) -> bool:  # noqa: ANN401 - a tensor
    return isinstance(tensor, FakeTensor) or tensor.device.type == "meta"


def _grouped(args: tuple[Any, ...], given: dict[str, Any]) -> torch.Tensor:
    """The result of a grouped product without numbers: torch's own refuses all types but bf16, devices do not."""
    left, right = args[:2]
    starts: Any = args[2] if len(args) > 2 else given.get("offs")
    groups: list[int] = []
    if left.dim() == right.dim():
        groups = [left.shape[0]] if left.dim() == 3 else [starts.shape[0]]
    kind = given.get("out_dtype") or left.dtype
    result: torch.Tensor = left.new_empty([*groups, left.shape[-2], right.shape[-1]], dtype=kind)
    return result


def _named(func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Arguments:  # noqa: ANN401 - an operator
    """The arguments by their names in the schema, defaults filled in."""
    schema = list(func._schema.arguments)
    named = {a.name: a.default_value for a in schema if a.has_default_value()}
    positional = dict(zip((a.name for a in schema), args, strict=False))
    return {a.name: {**named, **positional, **given}[a.name] for a in schema if a.name in {*named, *positional, *given}}


def _path(parent: str) -> str:
    """Path of a module within the one counted, from the tracker's name for it."""
    return "" if parent == "Global" else parent.partition(".")[2]
