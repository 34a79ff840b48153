"""All tensors that a step changes, under one name each: what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tonne.errors import CheckpointError
from tonne.train.sharding import is_sharded, like

if TYPE_CHECKING:
    from tonne.train.grouped import GroupedOptimizer
    from tonne.train.optimizers import Optimizers

MODEL, OPTIMIZER = "model.", "optimizer."
STEP = "step"  # AdamW's own count; the fused kernel wants it in single precision beside the weights


def tensors_of(model: nn.Module, optimizers: Optimizers) -> dict[str, Tensor]:
    """Weights as ``model.NAME``, the optimizer's as ``optimizer.NAME.KEY``; sharded ones as they are."""
    found: dict[str, Tensor] = {}
    states = {parameter: state for part in optimizers.parts for parameter, state in part.state.items()}
    for name, parameter in model.named_parameters():
        found[MODEL + name] = parameter.detach()
        for key, value in states.get(parameter, {}).items():
            found[f"{OPTIMIZER}{name}.{key}"] = value
    for name, buffer in _persistent(model):
        found[MODEL + name] = buffer
    return found


def wanted_of(model: nn.Module, optimizers: Optimizers, names: Iterable[str]) -> dict[str, Tensor]:
    """Empty tensors of the names of a checkpoint, as this run lays them out; for reading it part by part.

    Raises:
        CheckpointError: A name belongs to no parameter.
    """
    parameters = dict(model.named_parameters()) | dict(_persistent(model))
    found: dict[str, Tensor] = {}
    for name in names:
        owner, key = _owner(name)
        if owner not in parameters:
            raise CheckpointError(f"the checkpoint holds {name}, and this model has no {owner}")
        scalar = key == STEP
        found[name] = torch.zeros(()) if scalar else torch.zeros_like(parameters[owner].detach())
    return found


@torch.no_grad()
def restore(model: nn.Module, optimizers: Optimizers, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors of a checkpoint back where they were.

    Raises:
        CheckpointError: They belong to another model; the text names the first difference.
    """
    parameters = dict(model.named_parameters())
    held = parameters | dict(_persistent(model))
    _check_same(held, tensors)
    for name, tensor in held.items():
        tensor.copy_(_laid_out(tensors[MODEL + name], tensor))
    for part in optimizers.parts:
        owned = {id(parameter) for group in part.param_groups for parameter in group["params"]}
        for name, parameter in parameters.items():
            if id(parameter) in owned:
                _restore_state(part, name, parameter, tensors)


def _restore_state(part: GroupedOptimizer, name: str, parameter: nn.Parameter, tensors: Mapping[str, Tensor]) -> None:
    """What one optimizer keeps of one parameter."""
    prefix = f"{OPTIMIZER}{name}."
    for full, tensor in tensors.items():
        if full.startswith(prefix) and "." not in full[len(prefix) :]:
            key = full[len(prefix) :]
            kept = tensor.to(parameter.device) if key == STEP else _laid_out(tensor, parameter)
            part.state[parameter][key] = kept.clone()


def _laid_out(tensor: Tensor, model: Tensor) -> Tensor:
    """A tensor of a checkpoint on the device of another and laid out as that; a sharded one is already."""
    return tensor if is_sharded(tensor) else like(model, tensor.to(model.device))


def _check_same(held: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Whether a checkpoint has the weights of this model, no more and no fewer."""
    names = {name.removeprefix(MODEL) for name in tensors if name.startswith(MODEL)}
    missing, unknown = sorted(held.keys() - names), sorted(names - held.keys())
    if missing or unknown:
        raise CheckpointError(
            f"it is of another architecture: it {'lacks ' + missing[0] if missing else 'has ' + unknown[0]}"
        )
    for name, tensor in held.items():
        found = tensors[MODEL + name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"it is of another architecture: {name} is {tuple(found.shape)} {found.dtype} there, and "
                f"{tuple(tensor.shape)} {tensor.dtype} here"
            )


def _owner(name: str) -> tuple[str, str]:
    """Parameter that a tensor of a checkpoint belongs to, and the optimizer's key ("" for the weights)."""
    if name.startswith(MODEL):
        return name.removeprefix(MODEL), ""
    owner, _, key = name.removeprefix(OPTIMIZER).rpartition(".")
    return owner, key


def _persistent(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Buffers that belong to the model's state."""
    stored = model.state_dict(keep_vars=True).keys()
    return [(name, buffer) for name, buffer in model.named_buffers() if name in stored]
