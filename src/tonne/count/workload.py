"""Workload: what a run computes and holds, before any hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.conventions import conventions, partial_convention
from tonne.count.finetuning import MODEL, Kernel, Learning, trainable_parameters, training_flop
from tonne.count.flops import executed_flop, model_flop
from tonne.count.masks import whole
from tonne.count.parameters import active_parameters, matmul_parameters, parameter_parts, parameters
from tonne.count.sequence import sequence_of

if TYPE_CHECKING:
    from tonne.count.flops import Recomputation
    from tonne.count.memory import Memory
    from tonne.count.sequence import Sequence
    from tonne.describe.adapters import Lora
    from tonne.describe.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers that the model learns and FLOP that its training takes; parts sum to ``parameters``.

    ``model_flop_per_token`` and ``training_flop_per_token`` are one figure, forward and backward, under the two names
    it goes by; ``training_flop`` is that of the whole run. ``executed_`` figures fill whole attention squares (unless
    the kernel skips them) and repeat what is recomputed. ``sequence_length`` is source plus target.
    ``trainable_parameters`` are all of these where nothing is frozen; low-rank adapters are numbers besides
    ``parameters``. ``conventions`` are those of training the whole model, but for one that names its trainable numbers.
    """

    parameters: int
    active_parameters: int
    trainable_parameters: int
    matmul_parameters: int
    model_flop_per_token: float
    executed_flop_per_token: float
    training_flop: int
    executed_training_flop: int
    training_flop_per_token: float
    parts: dict[str, int]
    sequence_length: int
    tokens: int
    conventions: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run computes and what it holds; memory is None where no layout is known."""

    counts: Counts
    memory: Memory | None = None


def counts_of(  # noqa: PLR0913 - the fields of [data] and [training], by name
    architecture: Architecture,
    *,
    tokens: float,
    sequence_length: int | None = None,
    source_length: int | None = None,
    target_length: int | None = None,
    objective: str = "causal-lm",
    recomputation: Recomputation = "none",
    masked_fraction: float = 0.15,
    flash_attention: bool = False,
    answer_fraction: float = 1.0,
    lora: Lora | None = None,
    frozen_layers: int = 0,
) -> Counts:
    """Counts of a run over ``tokens``.

    Args:
        architecture: Shape of the model.
        tokens: Tokens that enter the model, source plus target for an encoder-decoder [token].
        sequence_length: Tokens of a sequence [token].
        source_length: Those of the source, for an encoder-decoder [token].
        target_length: Those of the target [token].
        objective: As in a plan; says which positions are predicted, and what a prefix sees.
        recomputation: As in a plan; moves the executed figures only.
        masked_fraction: Share of tokens that a masked language model predicts.
        flash_attention: The kernel skips what the mask hides; moves the executed figures only.
        answer_fraction: Share of tokens that instruction tuning predicts.
        lora: Low-rank adapters beside a frozen model.
        frozen_layers: First layers that do not learn, nor do the embeddings.

    Returns:
        Counts; exact ints for plain numbers, float64 for arrays.

    Raises:
        DescriptionError: No length is given.
    """
    a = architecture
    sequence = sequence_of(
        a,
        sequence_length=sequence_length,
        source_length=source_length,
        target_length=target_length,
        objective=objective,
        masked_fraction=masked_fraction,
        answer_fraction=answer_fraction,
    )
    learning = None if lora is None and not frozen_layers else Learning(lora=lora, frozen_layers=frozen_layers)
    model, executed = _flop(a, sequence, learning, recomputation, flash_attention)
    printed = conventions(a, sequence.tokens)
    trainable = parameters(a) if learning is None else trainable_parameters(a, learning)
    if learning is not None:
        printed |= partial_convention(a, trainable)
    parts, run = parameter_parts(a), whole(tokens)
    return Counts(
        parameters=sum(parts.values()),
        active_parameters=active_parameters(a),
        trainable_parameters=trainable,
        matmul_parameters=matmul_parameters(a),
        model_flop_per_token=model / sequence.tokens,
        executed_flop_per_token=executed / sequence.tokens,
        training_flop=model * run // sequence.tokens,
        executed_training_flop=executed * run // sequence.tokens,
        training_flop_per_token=model / sequence.tokens,
        parts=parts,
        sequence_length=sequence.tokens,
        tokens=run,
        conventions=printed,
    )


def _flop(
    a: Architecture, sequence: Sequence, learning: Learning | None, recomputation: Recomputation, flash_attention: bool
) -> tuple[int, int]:
    """FLOP of one sequence: (the model's, executed)."""
    if learning is None:
        executed = executed_flop(a, sequence, recomputation=recomputation, flash_attention=flash_attention)
        return model_flop(a, sequence), executed
    kernel = Kernel(square=not flash_attention, flash_attention=flash_attention, recomputation=recomputation)
    return training_flop(a, sequence, learning, MODEL), training_flop(a, sequence, learning, kernel)
