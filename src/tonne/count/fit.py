"""Whether training fits into an accelerator's memory, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tonne.estimate import Z_90, Basis, Estimate, Number
from tonne.reference.memory_model import FRAGMENTS, GIB, RUNTIME, shipped_memory_model

if TYPE_CHECKING:
    from tonne.count.memory import Memory

SOURCE = "tonne.calibrate: memory model fitted on measured_memory.csv"


def needed_bytes(memory: Memory) -> Number:
    """What a layout takes of the accelerator: what it allocates, the allocator's fragments, the driver's context.

    Equation: M = A + g D + R, with A = bytes allocated, D = those of them that come and go in many blocks
    (activations and what the layer at work needs; logits are few), g = fragment_share, R = runtime_gib.

    Returns:
        Bytes [bytes]; arrays where the layout is one.
    """
    return memory.total_bytes + memory.overhead_bytes


def overhead_bytes(living_bytes: Number, framework: str) -> Number:
    """Fragments and the driver's context, beside what is allocated.

    Args:
        living_bytes: What comes and goes in many blocks: activations, and what the layer at work needs [bytes].
        framework: As in a plan.

    Returns:
        Bytes [bytes].
    """
    model = shipped_memory_model()
    return model.of(FRAGMENTS, framework) * living_bytes + model.of(RUNTIME, framework) * GIB


def fit_probability(memory: Memory, capacity_bytes: float, *, framework: str = "unknown") -> float:
    """Probability that a layout fits.

    Equation: P = Phi(ln(C / M) / s), with Phi = the standard normal distribution, C = capacity, M = bytes needed,
    s = w / 1.645, w = half-width of the 90 % interval in logarithms.

    Args:
        memory: Of one layout, not of arrays: see ``largest_fitting_bytes`` for these.
        capacity_bytes: What a process can take of the accelerator, see ``usable_bytes`` [bytes].
        framework: As in a plan; stacks of which no memory was read have a wider interval.

    Returns:
        Between 0 and 1.
    """
    spread = shipped_memory_model().log_half_width(framework) / Z_90
    return normal_share(math.log(capacity_bytes / needed_bytes(memory)) / spread)


def largest_fitting_bytes(capacity_bytes: float, *, framework: str = "unknown", probability: float = 0.5) -> float:
    """The most that a layout may need and still fit with a probability: for arrays, one comparison.

    Equation: M = C exp(- z s), with z = the quantile of P, the other letters as of ``fit_probability``.

    Args:
        capacity_bytes: What a process can take of the accelerator [bytes].
        framework: As in a plan.
        probability: Wanted, between 0 and 1.

    Returns:
        Bytes, to be compared with ``needed_bytes`` [bytes].
    """
    spread = shipped_memory_model().log_half_width(framework) / Z_90
    return capacity_bytes * math.exp(-normal_quantile(probability) * spread)


def with_fit(memory: Memory, capacity_bytes: float | None, *, framework: str = "unknown") -> Memory:
    """The memory with the interval of what is needed and, where the capacity is known, the probability that it fits."""
    needed = needed_bytes(memory)
    factor = math.exp(shipped_memory_model().log_half_width(framework))
    estimate = Estimate(
        value=needed, low=needed / factor, high=needed * factor, basis=Basis.MODELLED, sources=(SOURCE,)
    )
    if capacity_bytes is None:
        return replace(memory, needed=estimate)
    fits = fit_probability(memory, capacity_bytes, framework=framework)
    return replace(memory, needed=estimate, capacity_bytes=capacity_bytes, fit_probability=fits)


def normal_share(deviations: float) -> float:
    """Share of a standard normal distribution below so many standard deviations."""
    return 0.5 * math.erfc(-deviations / math.sqrt(2.0))


def normal_quantile(share: float) -> float:
    """Standard deviations below which a share of a standard normal distribution lies."""
    from statistics import NormalDist  # noqa: PLC0415 - slow to import, and one layout does not need it

    return NormalDist().inv_cdf(share)
