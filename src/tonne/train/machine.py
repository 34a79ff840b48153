"""The chip that a model lies on: whether it is there, what it is called, and what it was seen to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tonne.errors import DescriptionError
from tonne.train.peak import measured_bytes_per_s, measured_flop_per_s

if TYPE_CHECKING:
    from torch import nn

PROCESSOR = "cpu"
SIXTEEN_BIT = {torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A chip as it was seen just now: its fastest product, and its reading of as many bytes as a model holds."""

    threads: int
    peak_flop_per_s: float
    bandwidth_bytes_per_s: float


def checked_device(name: str | None) -> str | None:
    """The device of this name; None: torch's own choice.

    Raises:
        DescriptionError: There is no such device here.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise DescriptionError(
            f"--device {name!r} cannot be used: {str(error).splitlines()[0]}. Leave it out for the processor."
        ) from None
    return name


def device_of(model: nn.Module) -> torch.device:
    """Where a model lies."""
    return next(model.parameters()).device


def chip_of(model: nn.Module) -> str | None:
    """What the driver calls the accelerator that a model lies on; None on a processor."""
    place = device_of(model)
    return None if place.type == PROCESSOR else str(getattr(torch, place.type).get_device_name(place))


def precision_of(model: nn.Module) -> str:
    """The precision in which a model holds its numbers."""
    return SIXTEEN_BIT.get(next(model.parameters()).dtype, "fp32")


def seen(model: nn.Module, precision: str) -> Seen:
    """What the chip of a model does in a precision, with the threads that torch uses."""
    dtypes = {name: dtype for dtype, name in SIXTEEN_BIT.items()}
    place, threads = device_of(model), torch.get_num_threads()
    held_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return Seen(
        threads=threads,
        peak_flop_per_s=measured_flop_per_s(place, dtypes.get(precision, torch.float32)),
        bandwidth_bytes_per_s=measured_bytes_per_s(place, held_bytes),
    )
