"""The fastest matrix product that this machine was seen to make: what a run's speed is compared with.

A vendor's figure belongs to one clock and one chip; MFU against it has been seen above 100 % and below 1 %. A product
of large squares, timed here and now, is a limit that training shares with the probe. Another program may have slowed
the probe down: a run that is faster than the peak has measured a higher one, so the share never passes 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDES = {"cpu": (512, 1024)}  # squares; beyond these the rate of a processor no longer grows
ACCELERATOR_SIDES = (4096, 8192)
SECONDS_A_SIDE = 0.06
READ_COLUMNS = 1024
LEAST_READ_BYTES, MOST_READ_BYTES = 2**20, 2**28  # beyond it no cache holds it
FLOP_PER_PRODUCT = 2  # a multiplication and an addition


@dataclass(slots=True)
class Peak:
    """FLOP a second of all processes together; grows where a run is seen to be faster."""

    flop_per_s: float

    def look_again(self, flop_per_s: float) -> None:
        """Take a later measurement where it is higher: the machine may have been busy before."""
        self.flop_per_s = max(self.flop_per_s, flop_per_s)

    def share(self, flop_per_s: float) -> float:
        """What share of the peak a speed is, at most 1."""
        self.look_again(flop_per_s)
        return flop_per_s / self.flop_per_s


def product_flop(rows: int, inner: int, columns: int) -> int:
    """FLOP of one matrix product.

    Equation: F = 2 m k n, with m = rows, k = inner, n = columns.
    """
    return FLOP_PER_PRODUCT * rows * inner * columns


def measured_flop_per_s(device: torch.device, dtype: torch.dtype, *, seconds: float = SECONDS_A_SIDE) -> float:
    """Rate of the fastest square product on a device, by the threads that torch now uses [FLOP/s].

    Args:
        device: Where it runs.
        dtype: Of the matrices.
        seconds: How long each size is tried.
    """
    sides = SIDES.get(device.type, ACCELERATOR_SIDES)
    return max(_square_flop_per_s(side, device, dtype, seconds) for side in sides)


def _square_flop_per_s(side: int, device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Rate of the fastest of the products of one size."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return product_flop(side, side, side) / fastest_s(lambda: torch.mm(a, b, out=out), device, seconds)


def measured_bytes_per_s(device: torch.device, held_bytes: int, *, seconds: float = SECONDS_A_SIDE) -> float:
    """Rate at which a device reads matrices that are multiplied by one vector, as in writing token by token [bytes/s].

    Args:
        device: Where it runs.
        held_bytes: Of the model that is read: one that a cache holds is read faster [bytes].
        seconds: How long it is tried.
    """
    rows = min(max(held_bytes, LEAST_READ_BYTES), MOST_READ_BYTES) // (4 * READ_COLUMNS)
    matrix = torch.empty(rows, READ_COLUMNS, device=device).normal_()
    vector, out = torch.ones(READ_COLUMNS, device=device), torch.empty(rows, device=device)
    read_bytes = matrix.numel() * matrix.element_size()
    return read_bytes / fastest_s(lambda: torch.mv(matrix, vector, out=out), device, seconds)


def fastest_s(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Shortest time of some work, tried once for nothing and then for so long, at least once [s]."""
    work()
    waited_for(device)
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        work()
        waited_for(device)
        now = time.perf_counter()
        best = min(best, now - start)
        if now >= end:
            return best


def waited_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
