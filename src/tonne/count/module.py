"""What counting a PyTorch module gives. The type only: counting needs torch and lives in `tonne.model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tonne.count.masks import whole
from tonne.errors import DescriptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCounts:
    """Numbers that a module holds, and the FLOP of one call on its example, as executed.

    A multiply-add counts as two; only matrix products and convolutions are counted, never what works element by
    element. A convolution's products with its padding count. Attention fills the whole square, whatever the mask, in
    every kernel alike, so that the count does not depend on the kernel that a device would choose.

    ``parameters`` counts a shared one once; ``trainable_parameters`` are those that require a gradient; ``examples``
    is the batch of the example, which all FLOP are for. ``backward_flop`` is zero where no backward pass was asked
    for; it holds what activation checkpointing repeats. ``repeated_flop`` is what a fused kernel repeats inside
    itself (the attention scores, in the backward pass); it is in no other figure. ``flop_by_operation`` sums to
    ``training_flop``; in ``flop_by_module`` a module holds those inside it, and "" is the whole. ``uncounted`` names
    operators that multiply matrices, or may, but for which no formula is known, with the number of their calls.
    """

    parameters: int
    trainable_parameters: int
    buffers: int
    examples: int
    forward_flop: int
    backward_flop: int
    repeated_flop: int
    flop_by_operation: dict[str, int]
    flop_by_module: dict[str, int]
    uncounted: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def training_flop(self) -> int:
        """FLOP of the call, forward and backward [FLOP]."""
        return self.forward_flop + self.backward_flop

    @property
    def training_flop_per_example(self) -> float:
        """The same for one example of the batch [FLOP/example]."""
        return self.training_flop / self.examples

    def plan_section(self, *, examples: float, example_tokens: float | None = None) -> dict[str, Any]:
        """The section ``[workload]`` of a plan that trains this module.

        Args:
            examples: Examples that the whole run sees, epochs included, e.g. 90 * 1.28e6.
            example_tokens: Tokens of an example, where it has some [token].

        Returns:
            The fields of the section.

        Raises:
            DescriptionError: The backward pass was not counted.
        """
        if not self.backward_flop:
            raise DescriptionError(
                "backward_flop=0: no training was counted. Count with backward=True, a module with parameters that "
                "require a gradient, and an example that reaches them."
            )
        section: dict[str, Any] = {
            "parameters": self.parameters,
            "training_flop_per_example": self.training_flop_per_example,
            "examples": examples,
        }
        return section if example_tokens is None else {**section, "example_tokens": example_tokens}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkCounts:
    """What a run of a counted module takes: the counts of a forecast where there is no Architecture."""

    parameters: int
    training_flop: int
    training_flop_per_example: float
    examples: int


def work_counts(*, parameters: int, training_flop_per_example: float, examples: float) -> WorkCounts:
    """Counts of a run over ``examples``.

    Args:
        parameters: Numbers of the module.
        training_flop_per_example: Forward and backward [FLOP/example].
        examples: Examples in all, epochs included.

    Returns:
        WorkCounts; exact ints for plain numbers, float64 for arrays.
    """
    return WorkCounts(
        parameters=parameters,
        training_flop=whole(training_flop_per_example * examples),
        training_flop_per_example=training_flop_per_example,
        examples=whole(examples),
    )
