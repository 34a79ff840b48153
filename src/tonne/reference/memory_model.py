"""What training takes beyond what it allocates, and how far that is off. Written by `make calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tonne.reference.table import table

TABLE = "memory_model"
GIB = 2**30
FRAGMENTS, RUNTIME, USABLE, HALF_WIDTH = "fragment_share", "runtime_gib", "usable_share", "log_half_width"
MEASURED_STACKS = frozenset({"megatron-lm", "megatron-bridge", "nemo", "megatron-deepspeed", "torchtitan"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """Coefficients by name; one that a framework has of its own is called ``name.framework``.

    ``fragment_share``: of what lives for one micro-batch, held by the allocator and used by nobody; ``runtime_gib``:
    the driver's context, libraries and their buffers, outside the allocator [GiB]; ``usable_share``: of the nominal
    memory that the driver leaves; ``log_half_width``: of the 90 % interval, for a measured and an unseen stack.
    """

    coefficients: Mapping[str, float]

    def of(self, name: str, framework: str) -> float:
        """A coefficient, the framework's own where it has one."""
        own = f"{name}.{framework.lower()}"
        return self.coefficients.get(own, self.coefficients[name])

    def log_half_width(self, framework: str) -> float:
        """Half-width of the 90 % interval of the memory needed, in logarithms."""
        stack = "known" if framework.lower() in MEASURED_STACKS else "unseen"
        return self.coefficients[f"{HALF_WIDTH}.{stack}"]


@cache
def shipped_memory_model() -> MemoryModel:
    """The coefficients that come with the package."""
    return MemoryModel(coefficients={row["name"]: float(row["value"]) for row in table(TABLE)})


def usable_bytes(memory_gb: float) -> float:
    """What a process can take of an accelerator's memory [bytes].

    Args:
        memory_gb: As the data sheet names it; accelerators sold as 80 GB hold 80 GiB.
    """
    return memory_gb * GIB * shipped_memory_model().coefficients[USABLE]
