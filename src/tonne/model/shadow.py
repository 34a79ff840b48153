"""Copies to run in place of the user's module: one without memory, and one with."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

OWN = ("_parameters", "_buffers", "_modules")  # what holds the tensors and parts of a torch.nn.Module
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Copying(TorchFunctionMode):
    """While it is active, `copy.deepcopy` copies each tensor by a function, and a shared one once."""

    def __init__(self, copied: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Copy tensors by `copied`."""
        super().__init__()
        self.copied = copied

    def __torch_function__(  # torch's protocol
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Take the place of the tensors' own deep copy."""
        if func is torch.Tensor.clone:  # that is how a parameter makes its deep copy
            return self.copied(args[0])
        if func is not torch.Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        if id(tensor) not in memo:
            memo[id(tensor)] = self.copied(tensor).requires_grad_(tensor.requires_grad)
            memo.setdefault(id(memo), []).append(tensor)  # as deepcopy does: an id must not be used again
        return memo[id(tensor)]


def hollow(mode: FakeTensorMode, device: torch.device | None = None) -> Callable[[torch.Tensor], torch.Tensor]:
    """Tensors of the same shape and kind that hold no numbers; on `device` where one is given.

    Those of the meta device become ones of the CPU, as the tensors are that a module makes on its way.
    """

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.device if device is None else device
        place = torch.device("cpu") if place.type == "meta" else place
        if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized:
            return mode.from_tensor(tensor, static_shapes=True)
        with mode:
            new = torch.empty_strided(tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device=place)
            return new.clone()  # a view of something larger becomes a tensor of its own, as in `solid`

    return copied


def solid(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same numbers in memory of its own."""
    return tensor.detach().clone()


def module_copy(module: nn.Module, copied: Callable[[torch.Tensor], torch.Tensor]) -> tuple[nn.Module, list[str]]:
    """A copy of a module to run, and the names of the user's hooks that it does not have.

    Compiled modules are copied as what was compiled. Hooks that are plain functions of the user's could write to what
    the user keeps (a list of features): they are left out; those of torch itself compute weights and stay.
    """
    with Copying(copied):
        try:
            twin = _twin(module, {})
        except (TypeError, RuntimeError):  # it keeps something that cannot be copied, such as a lock
            twin = _twin(module, _shared(module))
    return twin, [name for part in twin.modules() for name in _without_foreign_hooks(part)]


def _twin(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy in which compiled parts are what was compiled."""
    for part in module.modules():
        inner = getattr(part, "_orig_mod", None)
        if isinstance(inner, nn.Module):
            memo[id(part)] = copy.deepcopy(inner, memo)
    return copy.deepcopy(module, memo)


def _shared(module: nn.Module) -> dict[int, Any]:
    """What the copy shares with the module, as `copy.deepcopy` takes it: the attributes that cannot be copied."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in OWN and not isinstance(value, nn.Module):
                try:
                    copy.deepcopy(value, {})
                except (TypeError, RuntimeError):
                    memo[id(value)] = value
    return memo


def values_copy(values: Any, copied: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401 - an example
    """A copy of the example."""
    with Copying(copied):
        return copy.deepcopy(values)


def _without_foreign_hooks(part: nn.Module) -> list[str]:
    """Remove the user's functions from the hooks of a copy; their names."""
    gone = []
    for hooks in (getattr(part, name, None) or {} for name in HOOKS):
        for key, hook in list(hooks.items()):
            if isinstance(hook, types.FunctionType) and not str(hook.__module__).startswith("torch."):
                gone.append(hook.__qualname__)
                del hooks[key]
    return gone
