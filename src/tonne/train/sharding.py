"""Tensors that are laid out over processes, told by what they can do: a plain run never imports their package."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether every process holds a part of it alone."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of it, on every process that takes part."""
    found: Any = tensor
    return found.full_tensor() if is_sharded(tensor) else tensor


def like(model: Tensor, tensor: Tensor) -> Tensor:
    """A tensor that all processes hold, laid out as the model is."""
    if not is_sharded(model):
        return tensor
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415 - see the module's docstring

    laid_out: Any = model
    return distribute_tensor(tensor, laid_out.device_mesh, laid_out.placements, src_data_rank=None)
