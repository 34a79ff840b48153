"""Count any PyTorch module: run a copy of it on an example, and count what it executes."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.nn.parameter import is_lazy
from torch.utils.module_tracker import ModuleTracker

from tonne.count.module import ModuleCounts
from tonne.errors import DescriptionError
from tonne.model.dispatch import Counting
from tonne.model.shadow import hollow, module_copy, solid, values_copy

Loss = Callable[[Any], torch.Tensor]
UNFOLLOWED = "_will_engine_execute_node"  # torch's tracker of modules fails under autograd.grad, naming this
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What is to be counted."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Loss | None
    backward: bool


def count_module(
    module: nn.Module,
    example: Any,  # noqa: ANN401 - whatever the module takes
    *,
    backward: bool = True,
    loss: Loss | None = None,
    examples: int | None = None,
) -> ModuleCounts:
    """The numbers a PyTorch module holds and the FLOP of one call on an example, counted by dispatch.

    A copy that holds no numbers is run, so that a module on the meta device, or one larger than memory, is counted as
    well. Where the module reads numbers (a loop that depends on its data), a copy with numbers is run instead, and a
    note says so. The module given is never run, and neither it nor the random generators change. It is counted in the
    mode it is in: call `module.train()` before where training takes another path.

    Args:
        module: Any `torch.nn.Module`, on any device.
        example: What one call takes: a tensor, a tuple of positional or a dict of keyword arguments.
        backward: Whether the backward pass is counted too.
        loss: From the module's output to the tensor whose gradient is taken. Left out, it is the output's own `loss`
            where there is one, else every tensor of the output that has a gradient.
        examples: The batch of the example; left out, the first dimension of its first tensor.

    Returns:
        ModuleCounts: FLOP of this call [FLOP], by pass, operator and submodule, and what could not be counted.

    Raises:
        DescriptionError: The module is none, or cannot be run on the example.
    """
    call = _call_of(module, example, loss, backward=backward)
    batch = _batch(call) if examples is None else examples
    if batch < 1:
        raise DescriptionError(f"the example holds {batch} examples. Give at least one, or say how many: examples=1.")
    notes: list[str] = []
    with _generators_kept(call.module):
        counting = _counted(call, notes)
    if counting.uncounted:
        notes.append(f"no formula for {', '.join(sorted(counting.uncounted))}: their FLOP are missing.")
    if counting.repeated:
        notes.append(f"fused kernels repeat {counting.repeated:,} FLOP inside the backward pass; they are not counted.")
    inner = call.module
    return ModuleCounts(
        parameters=sum(p.numel() for p in inner.parameters()),
        trainable_parameters=sum(p.numel() for p in inner.parameters() if p.requires_grad),
        buffers=sum(b.numel() for b in inner.buffers()),
        examples=batch,
        forward_flop=counting.passes["forward"],
        backward_flop=counting.passes["backward"],
        repeated_flop=counting.repeated,
        flop_by_operation=dict(sorted(counting.operations.items())),
        flop_by_module=dict(sorted(counting.modules.items())),
        uncounted=dict(sorted(counting.uncounted.items())),
        notes=tuple(notes),
    )


def _call_of(module: Any, example: Any, loss: Loss | None, *, backward: bool) -> _Call:  # noqa: ANN401 - unchecked yet
    """The call, its module unwrapped and its example in arguments.

    Raises:
        DescriptionError: Either is of the wrong kind.
    """
    if not isinstance(module, nn.Module):
        raise DescriptionError(
            f"module is {_kind(module)}, not a torch.nn.Module. Give the module itself, e.g. count_module(model, x)."
        )
    while isinstance(module, WRAPPERS) or isinstance(getattr(module, "_orig_mod", None), nn.Module):
        module = module.module if isinstance(module, WRAPPERS) else module._orig_mod
    lazy = [name for name, p in [*module.named_parameters(), *module.named_buffers()] if is_lazy(p)]
    if lazy:
        raise DescriptionError(f"{lazy[0]} has no shape yet. Call the module once, then count it.")
    args, kwargs = _arguments(example)
    return _Call(module=module, args=args, kwargs=kwargs, loss=loss, backward=backward)


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:  # noqa: ANN401 - whatever was given
    """Positional and keyword arguments of an example."""
    if isinstance(example, Mapping):
        if not all(isinstance(name, str) for name in example):
            raise DescriptionError(f"the keys of example must be names of arguments, not {list(example)!r}.")
        return (), dict(example)
    if isinstance(example, tuple):
        return example, {}
    if isinstance(example, torch.Tensor | list):
        return (example,), {}
    raise DescriptionError(
        f"example is {_kind(example)}. Give what one call of the module takes: a tensor, a tuple of positional "
        f"arguments, or a dict of keyword arguments, e.g. torch.zeros(1, 3, 224, 224)."
    )


def _counted(call: _Call, notes: list[str]) -> Counting:
    """A run of a copy without numbers; where that fails, of one with."""
    log, mode = logging.getLogger("torch._subclasses.fake_tensor"), FakeTensorMode(allow_non_fake_inputs=True)
    disabled, log.disabled = log.disabled, True  # what fails without numbers is tried again with them
    try:
        return _run(call, hollow(mode), mode, notes)
    except Exception as error:
        if any(t.device.type == "meta" for t in _tensors([*call.module.parameters(), *call.module.buffers()])):
            raise _failed(call, error) from error
        without = error
    finally:
        log.disabled = disabled
    try:
        counting = _run(call, solid, nullcontext(), notes)
    except Exception as error:
        raise _failed(call, error) from error
    notes.append(f"run with numbers, in memory: without them it stops at {type(without).__name__}.")
    return counting


def _run(call: _Call, copied: Callable[[torch.Tensor], torch.Tensor], mode: Any, notes: list[str]) -> Counting:  # noqa: ANN401
    """Copy, call forward, call backward; without following the submodules where torch cannot."""
    try:
        return _followed(call, copied, mode, notes, ModuleTracker())
    except RuntimeError as error:
        if UNFOLLOWED not in str(error):
            raise
    counting = _followed(call, copied, mode, notes, None)
    notes.append("the module takes gradients itself: its FLOP are not told apart by submodule.")
    return counting


def _followed(
    call: _Call,
    copied: Callable[[torch.Tensor], torch.Tensor],
    mode: Any,  # noqa: ANN401 - a context
    notes: list[str],
    tracker: ModuleTracker | None,
) -> Counting:
    """One run of a copy."""
    counting = Counting(tracker)
    with torch.inference_mode(False):
        module, without = module_copy(call.module, copied)
        if isinstance(mode, FakeTensorMode):
            copied = hollow(mode, _only_device(call.module))
        args, kwargs = values_copy((call.args, call.kwargs), copied)
        with ExitStack() as stack:
            contexts = (*_eager(), mode, torch.set_grad_enabled(call.backward), tracker or nullcontext(), counting)
            for context in contexts:
                stack.enter_context(context)
            output = module(*args, **kwargs)
            if call.backward:
                counting.now = "backward"
                _go_back(output, call.loss, notes)
    if without:
        notes.append(f"hooks left out: {', '.join(dict.fromkeys(without))}.")
    return counting


def _eager() -> list[Any]:
    """Nothing is compiled while counting."""
    stance = getattr(torch.compiler, "set_stance", None)
    return [stance("force_eager")] if stance is not None and "torch._dynamo" in sys.modules else []


def _go_back(output: Any, loss: Loss | None, notes: list[str]) -> None:  # noqa: ANN401 - whatever a module returns
    """The backward pass from the loss, or from all of the output."""
    ends = [loss(output)] if loss is not None else _ends(output)
    if loss is not None and not isinstance(ends[0], torch.Tensor):
        raise DescriptionError(f"loss returned {_kind(ends[0])}. Let it return a tensor.")
    ends = [t.clone() for t in ends if t.requires_grad]  # no end itself, lest the last module's hooks are not called
    if not ends:
        notes.append("nothing in the output has a gradient: there is no backward pass.")
        return
    torch.autograd.backward(ends, [torch.ones_like(t) for t in ends])


def _ends(output: Any) -> list[torch.Tensor]:  # noqa: ANN401 - whatever a module returns
    """Its own loss, else every tensor of it that has a gradient."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return [t for t in _tensors(own if isinstance(own, torch.Tensor) else output) if t.requires_grad]


def _tensors(values: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401 - any nesting
    """The tensors of nested tuples, lists, mappings and objects with fields."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
    elif hasattr(values, "__dataclass_fields__"):
        for name in values.__dataclass_fields__:
            yield from _tensors(getattr(values, name))


def _batch(call: _Call) -> int:
    """First dimension of the first tensor; 1 without one."""
    first = next(_tensors([call.args, call.kwargs]), None)
    return int(first.shape[0]) if first is not None and first.dim() else 1


def _only_device(module: nn.Module) -> torch.device | None:
    """The device that all of a module lies on; None for several or none."""
    places = {t.device for t in _tensors([*module.parameters(), *module.buffers()])}
    return places.pop() if len(places) == 1 else None


@contextmanager
def _generators_kept(module: nn.Module) -> Iterator[None]:
    """The random generators of torch, Python and NumPy (where it is loaded) are as they were afterwards."""
    devices = {t.device for t in _tensors([*module.parameters(), *module.buffers()]) if t.device.type == "cuda"}
    numpy, python = sys.modules.get("numpy"), random.getstate()
    others = None if numpy is None else numpy.random.get_state()
    with torch.random.fork_rng(devices=sorted(device.index or 0 for device in devices)):
        try:
            yield
        finally:
            random.setstate(python)
            if numpy is not None:
                numpy.random.set_state(others)


def _failed(call: _Call, error: Exception) -> DescriptionError:
    """Why the module could not be run, and on what."""
    if isinstance(error, DescriptionError):
        return error
    given = [*map(_kind, call.args), *(f"{name}={_kind(value)}" for name, value in call.kwargs.items())]
    cause = (str(error).strip().splitlines() or ["no message"])[0]
    cause = cause if cause.endswith((".", "!", "?")) else f"{cause}."
    mend = "Give an example that the module takes: a tensor, a tuple of positional or a dict of keyword arguments."
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        mend = "It reads numbers, which the meta device does not hold. Give the module in memory."
    return DescriptionError(
        f"{type(call.module).__name__}({', '.join(given)}) cannot be run: {type(error).__name__}: {cause} {mend}"
    )


def _kind(value: Any) -> str:  # noqa: ANN401 - anything
    """What a value is, in a word; of a tensor its type and shape."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
    return repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
